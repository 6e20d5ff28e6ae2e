"""Whether an export asks and scores as we do: it is evaluated in a process with the harness alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, family_named
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.upstream import alone
from lm_eval_xling.upstream.contributing import MANIFEST, TASKS
from lm_eval_xling.upstream.harness_files import upstream_metrics

__all__ = ["Agreement", "check"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found of one leaf."""

    task: str
    """Name of the task, with the number of demonstrations where it is not the task's own."""
    documents: int
    """How many were compared."""
    requests: int
    """How many were compared."""
    difference: str | None
    """The first one; ``None`` where every request and score is equal."""


def check(folder: Path) -> Iterator[Agreement]:
    """Compare every request and score of an export with ours, and yield what was found, leaf by leaf.

    Args:
        folder: as ``export`` wrote it.

    Raises:
        UserError: a folder that is no export, or a process that ended before it had evaluated all.
    """
    try:
        exported: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        families = {family_named(name): entry for name, entry in exported.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError("the folder is no export", where=folder, fix="xling export FAMILY --to FOLDER") from error
    for family, entry in families.items():
        yield from _checked(family, entry, folder.resolve())


def _checked(family: Family, entry: Mapping[str, Any], folder: Path) -> Iterator[Agreement]:
    from lm_eval.tasks import TaskManager

    names = [family.task(family.leaf(name)) for name in entry["leaves"]]
    with tempfile.TemporaryDirectory() as scratch:
        groups, lines = _alone(entry, names, folder, family, Path(scratch))
        for group in set(entry["groups"]) - set(groups):
            yield Agreement(group, 0, 0, "the harness does not find the group")
        theirs = {(found["task"], found["shots"]): found for found in lines}
        manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
        for ours in alone.evaluated_tasks(manager, names):
            leaf = family.leaf(ours["task"].removeprefix(f"xling_{family.name}_"))
            metrics = {metric.name for metric in upstream_metrics(family.forms[leaf.form])}
            shots = ours["shots"]
            label = ours["task"] + ("" if shots is None else f", {shots} demonstrations")
            found = theirs.get((ours["task"], shots), {"error": "the harness does not find the task"})
            # The harness's process knows our requests by their digests only.
            ours = json.loads(json.dumps(ours))
            documents = ours.get("documents", [])
            sent = sum(document["sent"] for document in documents)
            yield Agreement(label, len(documents), sent, _difference(ours, found, metrics))


def _alone(
    entry: Mapping[str, Any], names: list[str], folder: Path, family: Family, scratch: Path
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the groups that the harness finds, and what it says of the tasks, without this package."""
    # The dataset stands where the tasks look for it, under the hub's name too, which a local folder goes before.
    data = scratch / "run" / entry["dataset_path"]
    data.parent.mkdir(parents=True)
    data.symlink_to(folder / "data" / f"xling_{family.name}", target_is_directory=True)
    written = scratch / "answers.jsonl"
    ran = subprocess.run(
        [sys.executable, "-I", alone.__file__, str(folder / TASKS), str(written)],
        input=json.dumps([entry["groups"], names]),
        capture_output=True,
        text=True,
        cwd=scratch / "run",
        env={
            **os.environ,
            "HF_DATASETS_CACHE": str(scratch / "cache"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
        },
    )
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise UserError(f"the harness alone cannot evaluate the export: {last[0]}", where=folder / TASKS)
    head, *lines = map(json.loads, written.read_text(encoding="utf-8").splitlines())
    return head["groups"], lines


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: set[str]) -> str | None:
    """Return the first difference of two records of ``alone.evaluated_tasks``, or ``None``."""
    for who, found in (("here", ours), ("the export", theirs)):
        if "error" in found:
            return f"{who}: {found['error']}"
    a, b = ours["documents"], theirs["documents"]
    if len(a) != len(b):
        return f"{len(b)} documents instead of {len(a)}"
    for row, (mine, other) in enumerate(zip(a, b, strict=True)):
        if mine["requests"] != other["requests"]:
            return f"row {row} sends something else"
        difference = _scores(mine["scores"], other["scores"], metrics)
        if difference:
            return f"row {row}: {difference}"
    difference = _scores(ours["scores"], theirs["scores"], metrics)
    return f"aggregated: {difference}" if difference else None


def _scores(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: set[str]) -> str | None:
    for name in sorted(metrics & {*ours, *theirs}):
        if not _equal(ours.get(name), theirs.get(name)):
            return f"{name} is {theirs.get(name)} instead of {ours.get(name)}"
    return None


def _equal(one: Any, other: Any) -> bool:
    # The harness sums floats in the order of its documents, which is the same; a mean of equal numbers is equal.
    if isinstance(one, float) and isinstance(other, int | float):
        return one == other or math.isnan(one) and math.isnan(other)
    return bool(one == other)
