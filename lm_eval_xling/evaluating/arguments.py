"""Arguments of the harness ▸ what it is called with: our tasks in sight, our backend, and every mistake said first."""

from __future__ import annotations

import argparse
import copy
import logging
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["check_tasks", "complete", "runs"]

_LOGGER = logging.getLogger(__name__)


def complete(arguments: argparse.Namespace) -> None:
    """Add what this command knows and the harness does not, to what the command line and its configuration say."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    from lm_eval_xling.evaluating.argument_values import check_values
    from lm_eval_xling.harness import folder_to_include
    from lm_eval_xling.scoring import MODEL_NAME, model_name
    from lm_eval_xling.scoring.preflight import check_model_folders

    given = EvaluatorConfig.load_yaml_config(arguments.config) if arguments.config else {}
    given.update({name: value for name, value in vars(arguments).items() if value or value == 0})
    tasks = given.get("tasks")
    if not isinstance(tasks, str | list) or not any(tasks):
        raise UserError("no task is named", where="--tasks", fix="--tasks crosslingual_atlas; xling tasks lists all")
    named = [tasks] if isinstance(tasks, str) else tasks
    if not all(isinstance(name, str) for name in named):
        raise UserError("a task is not called by a name", where="tasks", fix="names, such as xling_atlas_en_de")
    arguments.tasks = [part for name in named for part in name.split(",") if part]
    arguments.metadata = _pairs(given.get("metadata"), "metadata")
    arguments.model = _known_model(model_name(given.get("model") or "hf"))
    arguments.apply_chat_template = given.get("apply_chat_template", False)
    arguments.model_args = _model_arguments(given.get("model_args"))
    check_values(given, arguments.model_args)
    folders = given.get("include_path") or []
    folders = [folders] if isinstance(folders, str) else folders
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError("there is no such folder of tasks", where=f"--include_path {folder}", fix="check the path")
    ours = folder_to_include()
    arguments.include_path = [*folders, *([] if ours is None else [str(ours)])]
    if arguments.model == MODEL_NAME:
        check_model_folders(arguments.model_args)
        if not given.get("device"):
            # The harness's default is cuda:0, which nobody asked for.
            from lm_eval_xling.models import choose_device

            arguments.device = choose_device()
    arguments.use_cache = given.get("use_cache")
    for adapter in arguments.peft:
        if arguments.model != MODEL_NAME:
            raise UserError(
                f"--peft means adapters of a model that is loaded here, not of {arguments.model}",
                where=f"--peft {adapter}",
                fix="--model hf, or the adapter as an argument of the model: --model_args",
            )
        if arguments.model_args.get("peft"):
            raise UserError(
                "an adapter is given both in --model_args and in --peft",
                where=f"--peft {adapter}",
                fix="--peft for each of them; the model without any is evaluated, too",
            )
        check_model_folders({**arguments.model_args, "peft": adapter})


def check_tasks(arguments: argparse.Namespace) -> None:
    """Refuse, before any model is loaded, what the model cannot do; refuse or leave out the leaves that lack data."""
    from lm_eval_xling.catalog.mirror import VARIABLE
    from lm_eval_xling.evaluating.task_index import further_folders, own_leaves, without
    from lm_eval_xling.families.available import matching, missing_data, missing_error
    from lm_eval_xling.families.parameters import check_place, configure
    from lm_eval_xling.leaf_dataset import leaf_dataset
    from lm_eval_xling.servers import check_model

    skip = arguments.__dict__.pop("skip_missing")
    folders = further_folders(arguments)
    parameters = arguments.metadata.get("xling")
    wanted = matching(arguments.tasks)
    own = own_leaves(arguments.tasks, folders) if folders and arguments.metadata else {}
    for place in (*wanted.values(), *own.values()):
        check_place(*place, arguments.metadata)
    check_model(arguments.model, arguments.apply_chat_template, wanted, parameters)
    missing = {task: parts for task, place in wanted.items() if (parts := missing_data(*place, parameters))}
    left = without(missing.keys(), arguments.tasks, folders) if missing and skip else []
    if missing and not left:
        raise missing_error(missing)
    here = {task: place for task, place in wanted.items() if task not in missing}
    for family, leaf in here.values():
        shown, given = configure(family, leaf, parameters)
        if getattr(given, "translator", None):
            # A translator that cannot be used is a mistake of the command line; the documents are made but once.
            leaf_dataset(family, shown.name, shown.form, given, os.environ.get(VARIABLE))
    for place in own.values():
        configure(*place, parameters)
    if not missing:
        return
    arguments.tasks = left
    arguments.metadata = {**arguments.metadata, "left_out": sorted(missing)}
    _LOGGER.warning("left out for want of data: %s", ", ".join(sorted(missing)))


def runs(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The evaluations that a command stands for: of the model, and of each of its adapters."""
    from lm_eval_xling.scoring.response_cache import response_cache

    adapters = arguments.__dict__.pop("peft")
    runs = []
    for further in ({}, *({"peft": adapter} for adapter in dict.fromkeys(adapters))):
        # The harness changes what it is given.
        settings = {name: copy.deepcopy(value) for name, value in vars(arguments).items() if name != "func"}
        run = argparse.Namespace(**settings, func=arguments.func)
        run.model_args = {**run.model_args, **further}
        if run.use_cache:
            run.use_cache = response_cache(str(run.use_cache), run.model, run.model_args)
            _LOGGER.info("answers of this model are kept in %s_rank*.db", run.use_cache)
        runs.append(run)
    return runs


def _known_model(name: str) -> str:
    from lm_eval.api.registry import model_registry

    names = list(model_registry.keys())
    if name not in names:
        raise unknown_name("model", name, sorted(names), where="--model")
    return name


def _pairs(given: Any, option: str) -> dict[str, Any]:
    """What stands after an option, or in a configuration, as a dictionary."""
    from lm_eval.utils import simple_parse_args_string

    found = simple_parse_args_string(given) if isinstance(given, str) else given or {}
    if not isinstance(found, Mapping):
        raise UserError(f"{found!r} is no list of names and values", where=option, fix="name=value,…, or a map")
    return dict(found)


def _model_arguments(given: Any) -> dict[str, Any]:
    """The model arguments as a dictionary, with folders in place of the names of embedded models."""
    from lm_eval_xling.models import EMBEDDED_MODELS, model_folder

    arguments = _pairs(given, "model_args")
    for name in ("pretrained", "tokenizer"):
        value = arguments.get(name)
        if not isinstance(value, str) or Path(value).exists():
            continue
        if value in EMBEDDED_MODELS:
            arguments[name] = str(model_folder(value, say=lambda message: print(message, file=sys.stderr)))
        elif "/" not in value and get_close_matches(value.lower(), EMBEDDED_MODELS, cutoff=0.9):
            # The hub would be asked for minutes, and names without an owner are no longer given there.
            raise unknown_name("model", value, EMBEDDED_MODELS, where=f"--model_args {name}=…")
    return arguments
