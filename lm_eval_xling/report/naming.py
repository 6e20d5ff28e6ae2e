"""Which model made a run: weights, adapter, and what else may change its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.embedded import short_name
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.report.evaluations import EvaluatedModel

__all__ = ["identify", "labelled"]

# Arguments that say where and how fast a model runs, not which model it is.
_INCIDENTAL = frozenset(
    "device batch_size max_batch_size parallelize trust_remote_code cache_dir tensor_parallel_size "
    "data_parallel_size gpu_memory_utilization max_memory_per_gpu offload_folder num_concurrent max_retries "
    "timeout low_cpu_mem_usage".split()
)
_WEIGHTS = ("pretrained", "model", "path", "engine")
_ADAPTER = ("peft", "delta", "lora_local_path", "adapter")


def identify(results: Mapping[str, Any]) -> EvaluatedModel:
    """Return the model of a results file; its label is not yet unique."""
    run = results.get("config") or {}
    arguments = _parse(run.get("model_args"))
    source = next((str(arguments.pop(key)) for key in _WEIGHTS if arguments.get(key)), "") or str(
        run.get("model") or results.get("model_name") or "unknown"
    )
    adapter = next((str(arguments.pop(key)) for key in _ADAPTER if arguments.get(key)), None)
    rest = {key: value for key, value in sorted(arguments.items()) if key not in _INCIDENTAL}
    label = short_name(source) + (f" + {short_name(adapter)}" if adapter else "")
    base, languages = _card(Path(adapter or source))
    return EvaluatedModel(
        label=label,
        source=source,
        adapter=adapter,
        arguments=",".join(f"{key}={value}" for key, value in rest.items()),
        base=source if adapter else base,
        trained_languages=languages,
    )


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
