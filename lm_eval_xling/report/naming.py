"""Which model made a run: weights, adapter, and what else may change its numbers."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.models.embedded import EMBEDDED_MODELS
from lm_eval_xling.report.evaluations import EvaluatedModel

__all__ = ["identify", "labelled", "name_of", "public", "weights_of"]

# Arguments that say where and how fast a model runs, not which model it is.
_INCIDENTAL = frozenset(
    "device batch_size max_batch_size parallelize trust_remote_code cache_dir tensor_parallel_size "
    "data_parallel_size gpu_memory_utilization max_memory_per_gpu offload_folder num_concurrent max_retries "
    "timeout low_cpu_mem_usage".split()
)
_WEIGHTS = ("pretrained", "model", "path", "engine")
_ADAPTER = ("peft", "delta", "lora_local_path", "adapter")
# A word of an argument's name that says that its value is a secret, or where a server is.
_PRIVATE = frozenset(
    "key apikey token secret password passwd auth authorization credential credentials bearer header headers cookie "
    "url uri host hostname endpoint address server port proxy".split()
)
# Arguments whose names have such a word, but which speak of text.
_OF_TEXT = frozenset("add_bos_token think_start_token think_end_token prefix_token_id custom_prefix_token_id".split())
_ADDRESS = re.compile(r"://|^[\w.-]+:\d+(/|$)|^\d{1,3}(\.\d{1,3}){3}$")
# The cache's folder of an embedded model has a digest in its name.
_EMBEDDED = re.compile(r"(?:^|/)models/([^/]+)-[0-9a-f]{12}$")
# Names of folders that say what is in them, not whose it is.
_GENERIC = re.compile(
    r"(?i)(hf|model|models|adapter|adapters|lora|peft|weights|checkpoints?|final|last|best|output|outputs|out|merged|"
    r"snapshots|main|checkpoint[-_]\d+|step[-_]?\d+|epoch[-_]?\d+|[0-9a-f]{40})"
)


def identify(results: Mapping[str, Any]) -> EvaluatedModel:
    """Return the model of a results file; its label is not yet unique.

    Addresses of servers and keys are no part of it, wherever they stand among the arguments.
    """
    run = results.get("config") or {}
    arguments = _parse(run.get("model_args"))
    source = next((str(arguments.pop(key)) for key in _WEIGHTS if arguments.get(key)), "") or str(
        run.get("model") or results.get("model_name") or "unknown"
    )
    source = _tidy(_without_address(source))
    adapter = next((_tidy(str(arguments.pop(key))) for key in _ADAPTER if arguments.get(key)), None)
    rest = {key: value for key, value in sorted(public(arguments).items()) if key not in _INCIDENTAL}
    label = name_of(source) + (f" + {name_of(adapter)}" if adapter else "")
    base, languages = _card(Path(adapter or source))
    return EvaluatedModel(
        label=label,
        source=source,
        adapter=adapter,
        arguments=",".join(f"{key}={value}" for key, value in rest.items()),
        base=source if adapter else base,
        trained_languages=languages,
    )


def public(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without keys and addresses, by their names and by their values."""
    return {
        key: value
        for key, value in arguments.items()
        if (key in _OF_TEXT or not _PRIVATE.intersection(re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[A-Z])", key.lower())))
        and not _ADDRESS.search(str(value))
        and not re.match(r"(sk|hf|gsk|xai|AIza)[-_]?\w{12,}", str(value))
    }


def _without_address(source: str) -> str:
    """A server's address is not what its model is called: its path is, if it has one."""
    if "://" not in source:
        return source
    return source.split("://", 1)[1].split("?")[0].partition("/")[2].strip("/") or "model behind an address"


def _tidy(source: str) -> str:
    """One spelling of a path: without a slash at its end, a leading ``./`` or a doubled slash."""
    return posixpath.normpath(source.rstrip("/\\") or source)


def weights_of(source: str) -> str:
    """Return what two names of the same weights have in common.

    Trainers write down the name of an embedded model, and results the folder of the cache that it was loaded from; a
    folder may be named from where it was used.
    """
    source = _tidy(source)
    found = _EMBEDDED.search(source.replace("\\", "/"))
    if found and found.group(1) in EMBEDDED_MODELS:
        return found.group(1)
    return str(Path(source).resolve()) if Path(source).is_dir() and source not in EMBEDDED_MODELS else source


def name_of(source: str) -> str:
    """Return what a model or adapter is called: the last part of its path that says something.

    A folder called ``hf``, ``model``, ``adapter`` or ``checkpoint-500`` is named by what its configuration says it
    was loaded from, else by the folder above it. The digest that the cache of embedded models adds is left out.
    """
    parts = [part for part in source.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if all(_GENERIC.fullmatch(part) for part in parts) and Path(source).is_dir():
        # A relative path of such a folder: what is above it is known here.
        parts = [part for part in Path(source).resolve().parts if part != "/"]
    kept = list(parts)
    while len(kept) > 1 and _GENERIC.fullmatch(kept[-1]):
        kept.pop()
    if kept and _GENERIC.fullmatch(kept[-1]) or len(kept) < len(parts):
        said = _configured_name(Path(source))
        if said and said != source:
            return name_of(said)
    if not kept:
        return source
    # The hub's cache calls a repository's folder models--OWNER--NAME.
    last = kept[-1].split("--")[-1] if kept[-1].startswith("models--") else kept[-1]
    return re.sub(r"-[0-9a-f]{12}$", "", last) or source


def _configured_name(folder: Path) -> str:
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path")
    except (OSError, ValueError, AttributeError):
        return ""
    return said if isinstance(said, str) else ""


def _parse(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, Mapping):
        return dict(arguments)
    pairs = (part.partition("=") for part in str(arguments or "").split(",") if part)
    return {key.strip(): value for key, _, value in pairs}


def labelled(models: Sequence[EvaluatedModel]) -> list[EvaluatedModel]:
    """Return the models with labels that differ where the models do, as short as that allows."""
    distinct = list(dict.fromkeys(models))
    labels = {model: model.label for model in distinct}
    for lengthen in (_with_arguments, _in_full):
        values = list(labels.values())
        for model in distinct:
            if values.count(labels[model]) > 1:
                labels[model] = lengthen(model)
    return [replace(model, label=labels[model]) for model in models]


def _with_arguments(model: EvaluatedModel) -> str:
    return f"{model.label} ({model.arguments})" if model.arguments else model.label


def _in_full(model: EvaluatedModel) -> str:
    weights = model.source + (f" + {model.adapter}" if model.adapter else "")
    return f"{weights} ({model.arguments})" if model.arguments else weights


def _card(folder: Path) -> tuple[str, tuple[str, ...]]:
    """Base model and languages of a trained model: of our provenance file, else of the hub's card; empty without."""
    try:
        said = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        base, languages = said.get("model"), said.get("languages")
    except (OSError, ValueError, AttributeError):
        try:
            header = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]
            said = yaml.safe_load(header)
            base, languages = said.get("base_model"), said.get("language")
        except (OSError, ValueError, IndexError, AttributeError, yaml.YAMLError):
            return "", ()
    named = [languages] if isinstance(languages, str) else languages if isinstance(languages, list) else []
    return base if isinstance(base, str) else "", tuple(code for code in named if code in LANGUAGES)
