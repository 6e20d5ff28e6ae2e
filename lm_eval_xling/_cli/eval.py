"""``xling eval``: the harness's own command line, with our tasks in sight and the fast scoring backend."""

from __future__ import annotations

import argparse
import copy
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["EPILOG", "evaluate", "run"]

EPILOG = """
Examples:\n
  xling eval --model hf --model_args pretrained=MODEL --tasks crosslingual_atlas --batch_size 16 --output_path results\n
  xling eval --model hf --model_args pretrained=MODEL,peft=ADAPTER --tasks xling_mmlu_mixup --batch_size 16\n
  xling eval --model hf --model_args pretrained=MODEL --peft A --peft B --tasks xling_mmlu_mixup --batch_size 16\n
  xling eval --model hf --model_args pretrained=gemma-3-270m --tasks crosslingual_atlas --batch_size 16\n
  xling eval --model dummy --tasks 'xling_*' --limit 1
"""

_LOGGER = logging.getLogger(__name__)

_LOADING = ("create_from_arg_obj", "create_from_arg_string", "from_pretrained")
"""Functions of the harness and of transformers in which a model or a tokenizer is loaded."""
_LOADING_DATA = ("load_dataset", "dataset_module_factory")
"""Functions of the datasets library in which a task's own data is sought."""
_CHECKING = ("from_cli", "process_tasks", "load_yaml_config")
"""Functions of the harness in which arguments are checked."""


def evaluate(context: typer.Context) -> None:
    """Run `lm_eval run` with every flag it knows; `lm_eval run --help` lists them.

    `--model hf` scores with the shared-prefix backend (same numbers, computed once a prefix). `pretrained` may be an
    embedded model. `--include_path` may stand several times, and our tasks are always among them. `--use_cache` and
    `--cache_requests` keep apart what belongs to different models, parameters and data. `--skip-missing` leaves out
    the tasks of ours whose data is not here; without it they are all named before a model is loaded. `--peft ADAPTER`,
    once or several times, evaluates the model and then each adapter as so many commands do, with one load and one plan.
    """
    run(context.args)


def run(words: Sequence[str]) -> None:
    """Run the command with these arguments, in this process.

    Raises:
        UserError: for what the command line, the model or the data do not allow.
    """
    from lm_eval_xling.harness import check_version
    from lm_eval_xling.scoring.one_load import one_load
    from lm_eval_xling.servers import failures, served

    check_version()
    with _messages():
        arguments = _parse(list(words))
        _complete(arguments)
        _check_tasks(arguments)
        runs = _runs(arguments)
        with one_load() if len(runs) > 1 else nullcontext():
            for one in runs:
                with served(one.model, one.model_args, one.apply_chat_template) as one.model_args:
                    with failures(one.model, kept=bool(one.use_cache)):
                        one.func(one)


def _parse(words: list[str]) -> argparse.Namespace:
    """Read the command line with the harness's own parser, but for flags that may stand several times."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    several = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    several.add_argument("--include_path", action="append", default=[])
    several.add_argument("--peft", action="append", default=[])
    several.add_argument("--skip-missing", action="store_true")
    own, rest = several.parse_known_args(words)
    sys.argv = ["lm_eval", "run", *(rest or ["--help"])]
    try:
        arguments: argparse.Namespace = HarnessCLI().parse_args()
    except ValueError as error:
        # The harness reads JSON while it parses.
        raise UserError(
            str(error).partition(" Hint:")[0],
            where="--metadata, --model_args or --gen_kwargs",
            fix="""quote the whole for the shell, names in double quotes: --metadata '{"xling": {"demos": 3}}'""",
        ) from None
    arguments.include_path = own.include_path
    arguments.peft = own.peft
    arguments.skip_missing = own.skip_missing
    return arguments


def _complete(arguments: argparse.Namespace) -> None:
    """Add what this command knows and the harness does not, to what the command line and its configuration say."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    from lm_eval_xling._cli.argument_values import check_values
    from lm_eval_xling.harness import folder_to_include
    from lm_eval_xling.scoring import MODEL_NAME, model_name
    from lm_eval_xling.scoring.preflight import check_model_folders

    given = EvaluatorConfig.load_yaml_config(arguments.config) if arguments.config else {}
    given.update({name: value for name, value in vars(arguments).items() if value or value == 0})
    tasks = given.get("tasks")
    if not isinstance(tasks, str | list) or not any(tasks):
        raise UserError("no task is named", where="--tasks", fix="--tasks crosslingual_atlas; xling tasks lists all")
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
                "an adapter stands both in --model_args and in --peft",
                where=f"--peft {adapter}",
                fix="--peft for each of them; the model without any is evaluated, too",
            )
        check_model_folders({**arguments.model_args, "peft": adapter})


def _runs(arguments: argparse.Namespace) -> list[argparse.Namespace]:
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


def _check_tasks(arguments: argparse.Namespace) -> None:
    """Refuse, before any model is loaded, what the model cannot do; refuse or leave out the leaves that lack data."""
    from lm_eval_xling.families.available import matching, missing_data, missing_error
    from lm_eval_xling.servers import check_model

    skip = arguments.__dict__.pop("skip_missing")
    tasks = arguments.tasks
    patterns = tasks.split(",") if isinstance(tasks, str) else list(tasks or ())
    parameters = (arguments.metadata or {}).get("xling")
    wanted = matching(patterns)
    check_model(arguments.model, arguments.apply_chat_template, wanted, parameters)
    missing = {task: parts for task, place in wanted.items() if (parts := missing_data(*place, parameters))}
    if not missing:
        return
    if not skip or len(missing) == len(wanted):
        raise missing_error(missing)
    others = [pattern for pattern in patterns if not matching([pattern])]
    arguments.tasks = ",".join([*others, *(task for task in wanted if task not in missing)])
    arguments.metadata = {**(arguments.metadata or {}), "left_out": sorted(missing)}
    _LOGGER.warning("left out for want of data: %s", ", ".join(sorted(missing)))


def _known_model(name: str) -> str:
    from lm_eval.api.registry import model_registry

    names = list(model_registry.keys())
    if name not in names:
        raise unknown_name("model", name, sorted(names), where="--model")
    return name


def _model_arguments(given: Any) -> dict[str, Any]:
    """The model arguments as a dictionary, with folders in place of the names of embedded models."""
    from lm_eval.utils import simple_parse_args_string

    from lm_eval_xling.models import EMBEDDED_MODELS, model_folder

    arguments = dict(simple_parse_args_string(given) if isinstance(given, str) else given or {})
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


@contextmanager
def _messages() -> Iterator[None]:
    """Turn what the harness raises about the user's input into a message; what is nobody's input stays as it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        passed = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        _LOGGER.debug("raised by the harness", exc_info=True)
        if str(error).startswith("Tasks not found: "):
            raise _unknown_task(str(error).removeprefix("Tasks not found: ").split(", ")[0]) from None
        if passed.intersection(_LOADING):
            raise UserError(
                f"the model could not be loaded: {_first_line(error)}",
                where="--model_args",
                fix="check the name, the files and the arguments; LMEVAL_LOG_LEVEL=DEBUG shows where it failed",
            ) from None
        if passed.intersection(_LOADING_DATA):
            raise UserError(
                f"the data of a task cannot be had: {_first_line(error)}",
                where="--tasks",
                fix="check dataset_path and dataset_kwargs of the task, and the network",
            ) from None
        if "chat_template" in str(error) and "apply_chat_template" in passed:
            raise UserError(
                f"the chat template cannot be applied: {_first_line(error)}",
                where="--apply_chat_template",
                fix="leave it out, or name a model whose tokenizer has a chat template",
            ) from None
        if isinstance(error, AssertionError) and "--samples" in str(error):
            raise UserError(_first_line(error), where="--samples", fix="name rows that the task has") from None
        if passed.intersection(_CHECKING) and isinstance(error, ValueError | TypeError | OSError):
            raise UserError(_first_line(error), fix="lm_eval run --help lists the arguments") from None
        raise


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    return (
        f"{type(error).__name__}: {text}"
        if text and not isinstance(error, ValueError | OSError)
        else text or repr(error)
    )


def _unknown_task(name: str) -> UserError:
    from lm_eval_xling.harness import task_names

    names = [name for kind in ("all_subtasks", "all_groups", "all_tags") for name in task_names(kind)]
    error = unknown_name("task", name, names, where="--tasks")
    lists = "xling tasks lists ours, lm_eval ls tasks those of the harness"
    near = str(error.fix).startswith("did you mean")
    return UserError(error.what, where=error.where, fix=f"{error.fix} {lists}" if near else lists)
