"""Crosslingual tasks, trainers, probes and reports for EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

__all__ = ["__version__", "task_path"]

__version__ = version("lm-eval-xling")


def task_path() -> Path:
    """Return the folder of the task YAMLs, for ``TaskManager(include_path=…)`` and ``--include_path``.

    Raises:
        UserError: if the installation holds no tasks.
    """
    from lm_eval_xling.harness import tasks_folder

    return tasks_folder()
