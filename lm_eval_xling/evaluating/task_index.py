"""Which tasks a command line stands for, and which files the harness reads: ours alone where no other can be meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module

from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.available import matching
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.harness import folder_to_include, task_manager, tasks_folder

__all__ = ["further_folders", "own_leaves", "task_index", "without"]

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


def further_folders(arguments: argparse.Namespace) -> list[str]:
    """Return the folders of tasks beside ours, of complete arguments."""
    return [folder for folder in arguments.include_path if folder != str(folder_to_include())]


def own_leaves(patterns: Sequence[str], folders: Sequence[str]) -> dict[str, tuple[Family, Leaf]]:
    """Return the leaves of own data in folders of tasks that names, patterns, tags and groups stand for.

    Raises:
        UserError: a description or its rows that cannot be read.
    """
    found = {}
    for name, entry in task_manager(folders, include_defaults=False).task_index.items():
        place = (entry.cfg or {}).get("dataset_kwargs") or {}
        names = (name, f"xling_{place.get('family')}", f"crosslingual_{place.get('family')}")
        asked = any(fnmatchcase(one, pattern) for one in names for pattern in patterns)
        if asked and "description" in place and entry.yaml_path is not None:
            family = own_family(entry.yaml_path.parent / place["description"])
            found[name] = (family, family.leaf(place["leaf"]))
    return found


def without(missing: Set[str], patterns: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Return what names and patterns stand for but for some leaves of ours; those that mean none of them stay.

    Args:
        missing: names of the leaves.
        patterns: names and patterns of tasks, tags and groups, of ours, of the harness and in the folders.
        folders: of tasks, beside ours.
    """
    left: list[str] = []
    for pattern in patterns:
        ours = matching([pattern])
        if missing & ours.keys():
            left += [*_others(pattern, folders), *(task for task in ours if task not in missing)]
        else:
            left.append(pattern)
    return list(dict.fromkeys(left))


def _others(pattern: str, folders: Sequence[str]) -> list[str]:
    """Names of tasks, tags and groups that are not ours."""
    among_the_harness = not pattern.startswith(_BEGINNINGS)
    if not folders and not among_the_harness:
        return []
    ours = set(task_manager(include_defaults=False).all_tasks)
    known = task_manager(folders, include_defaults=among_the_harness).all_tasks
    return [name for name in known if name not in ours and fnmatchcase(name, pattern)]


def _ours_alone(arguments: argparse.Namespace) -> bool:
    patterns = arguments.tasks
    # A group in a folder of the user's may name tasks of the harness.
    return (
        bool(patterns)
        and not further_folders(arguments)
        and all(pattern.startswith(_BEGINNINGS) and bool(matching([pattern])) for pattern in patterns)
    )
