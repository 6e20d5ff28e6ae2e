"""Crosslingual tasks, trainers, probes and reports for EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

__all__ = ["__version__", "task_path"]

__version__ = version("lm-eval-xling")


def task_path() -> Path | None:
    """Return what to give to ``TaskManager(include_path=…)``: the folder of the task YAMLs, or nothing.

    ``None`` where the harness finds the tasks itself, as with an installed wheel: named twice, each would be reported
    as overridden. ``lm_eval_xling.harness.tasks_folder()`` is the folder in any case, for a manager that is made with
    ``include_defaults=False``.

    Raises:
        UserError: if the installation holds no tasks.
    """
    from lm_eval_xling.harness import folder_to_include

    return folder_to_include()
