"""Crosslingual tasks, trainers, probes and reports for EleutherAI's lm-evaluation-harness.

>>> import lm_eval_xling as xling
>>> results = xling.evaluate("crosslingual_atlas", model_args="pretrained=gemma-3-270m", limit=50, batch_size=16)
>>> xling.barrier(xling.samples(results), "en_en", "en_fr")

Nothing is imported before it is used, so that ``import lm_eval_xling`` is light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval_xling.errors import UserError
    from lm_eval_xling.evaluating.calling import evaluate
    from lm_eval_xling.evaluating.results import Results
    from lm_eval_xling.harness import folder_to_include as task_path
    from lm_eval_xling.harness import task_manager
    from lm_eval_xling.mixing.mixing_files import mix
    from lm_eval_xling.probes.spine import run as probe
    from lm_eval_xling.report.frame_barriers import Barrier, barrier
    from lm_eval_xling.report.item_frames import samples
    from lm_eval_xling.report.writing import read_report, write_report
    from lm_eval_xling.trainers.recipes import train

    __version__: str

__all__ = [
    "Barrier",
    "Results",
    "UserError",
    "__version__",
    "barrier",
    "evaluate",
    "mix",
    "probe",
    "read_report",
    "samples",
    "task_manager",
    "task_path",
    "train",
    "write_report",
]

_PLACES = {
    "Barrier": "report.frame_barriers",
    "Results": "evaluating.results",
    "UserError": "errors",
    "barrier": "report.frame_barriers",
    "evaluate": "evaluating.calling",
    "mix": "mixing.mixing_files",
    "probe": "probes.spine:run",
    "read_report": "report.writing",
    "samples": "report.item_frames",
    "task_manager": "harness",
    "task_path": "harness:folder_to_include",
    "train": "trainers.recipes",
    "write_report": "report.writing",
}
"""Module of every public name, and after a colon its name there where that is another."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("lm-eval-xling")
    elif name in _PLACES:
        from importlib import import_module

        module, _, there = _PLACES[name].partition(":")
        value = getattr(import_module(f"{__name__}.{module}"), there or name)
        if not isinstance(value, type):
            from lm_eval_xling.errors import naming_arguments

            value = naming_arguments(value)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
