"""Which task files the harness reads: ours alone where no other task can be meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module

from lm_eval_xling.families.available import matching
from lm_eval_xling.harness import folder_to_include, tasks_folder

__all__ = ["task_index"]

_LEAVES = "xling_"
_BEGINNINGS = (_LEAVES, "crosslingual_")
"""Of the names of our tasks and groups: a pattern that begins otherwise, such as ``*_de``, may mean others too."""


@contextmanager
def task_index(arguments: argparse.Namespace) -> Iterator[None]:
    """Keep the harness from reading its own 14,000 files where tasks of ours alone are asked for.

    Reading them takes longer than everything else that an evaluation of one task does without a model. And a pattern
    such as ``xling_*`` stands for each task by its own name and by its family's tag, so that it would be made twice:
    it becomes the names.

    Args:
        arguments: of one evaluation, complete; its tasks and folders of tasks become what is needed.
    """
    from lm_eval import tasks

    if not _ours_alone(arguments):
        yield
        return
    # The evaluator is imported first: it keeps the manager that it finds when it is.
    import_module("lm_eval.evaluator")
    arguments.include_path = [str(tasks_folder())]
    named = [
        name
        for pattern in arguments.tasks
        for name in (sorted(matching([pattern])) if pattern.startswith(_LEAVES) else [pattern])
    ]
    arguments.tasks = list(dict.fromkeys(named))
    whole = tasks.TaskManager
    # The harness makes it where no argument of its command reaches.
    tasks.TaskManager = partial(whole, include_defaults=False)
    try:
        yield
    finally:
        tasks.TaskManager = whole


def _ours_alone(arguments: argparse.Namespace) -> bool:
    patterns = arguments.tasks
    # A group in a folder of the user's may name tasks of the harness.
    others = set(arguments.include_path) - {str(folder_to_include())}
    return (
        bool(patterns)
        and not others
        and all(pattern.startswith(_BEGINNINGS) and bool(matching([pattern])) for pattern in patterns)
    )
