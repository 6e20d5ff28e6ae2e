"""Whether an export asks and scores as we do: it is evaluated in a process with the harness alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, family_named
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.upstream import alone
from lm_eval_xling.upstream.contributing import MANIFEST, TASKS, dataset_path
from lm_eval_xling.upstream.harness_files import upstream_metrics

__all__ = ["Agreement", "check"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found of one leaf."""

    task: str
    """Name of the task, or of a group that is missing."""
    documents: int
    """How many were compared; twice as many where demonstrations are shown only if asked for."""
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
    from lm_eval.tasks import TaskManager

    entries = _entries(folder)
    leaves = {family.task(name): (family, family.leaf(name)) for family, entry in entries for name in entry["leaves"]}
    groups = [group for _, entry in entries for group in entry["groups"]]
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    with closing(_alone(folder.resolve(), entries, groups, list(leaves))) as answers:
        known = next(answers)["groups"]
        for group in groups:
            if group not in known:
                yield Agreement(group, 0, 0, "the harness does not find the group")
        # Theirs first: where the process ends before its time, it has an error to raise.
        for theirs, found in zip(answers, alone.evaluated_tasks(manager, list(leaves)), strict=False):
            # As the other process writes it.
            ours = json.loads(json.dumps(found))
            family, leaf = leaves[ours["task"]]
            metrics = {metric.name for metric in upstream_metrics(family.forms[leaf.form])}
            documents = [document for run in ours.get("runs", ()) for document in run["documents"]]
            sent = sum(document["sent"] for document in documents)
            yield Agreement(ours["task"], len(documents), sent, _difference(ours, theirs, metrics))


def _entries(folder: Path) -> list[tuple[Family, dict[str, Any]]]:
    """Return what an export holds: leaves and groups by name, and the dataset's name on the hub."""
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = [
            (family_named(name), {key: entry[key] for key in ("leaves", "groups", "hub")})
            for name, entry in written.items()
        ]
        if not entries or not all(entry["leaves"] and isinstance(entry["hub"], str | None) for _, entry in entries):
            raise ValueError("a manifest without leaves, or with a name that is none")
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError("the folder is no export", where=folder, fix="xling export FAMILY --to FOLDER") from error
    return entries


def _alone(
    folder: Path, entries: Sequence[tuple[Family, Mapping[str, Any]]], groups: Sequence[str], names: Sequence[str]
) -> Generator[dict[str, Any], None, None]:
    """Yield the groups that the harness finds, and then what it says of each task, without this package."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        for family, entry in entries:
            # The dataset stands where the tasks look for it: `datasets` looks for a folder before it asks the hub.
            data = Path(scratch, "run", dataset_path(family, entry["hub"]))
            data.parent.mkdir(parents=True, exist_ok=True)
            data.symlink_to(folder / "data" / f"xling_{family.name}", target_is_directory=True)
        offline = {"HF_DATASETS_CACHE": f"{scratch}/cache", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", alone.__file__, str(folder / TASKS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            encoding="utf-8",
            cwd=Path(scratch, "run"),
            env={**os.environ, **offline},
        )
        assert process.stdin is not None and process.stdout is not None
        with process:
            try:
                json.dump([list(groups), list(names)], process.stdin)
                process.stdin.close()
                yield from map(json.loads, process.stdout)
            except GeneratorExit:
                # Whoever compares has stopped.
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            last = (said.read().strip().splitlines() or ["it says nothing"])[-1]
            raise UserError(f"the harness alone cannot evaluate the export: {last}", where=folder / TASKS)


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: set[str]) -> str | None:
    """Return the first difference of two records of ``alone.evaluated_tasks``, or ``None``."""
    for who, found in (("here", ours), ("the export", theirs)):
        if "error" in found:
            return f"{who}: {found['error']}"
    if len(ours["runs"]) != len(theirs["runs"]):
        return "the number of demonstrations is fixed in one of them only"
    for run, other in zip(ours["runs"], theirs["runs"], strict=True):
        difference = _of_runs(run, other, metrics)
        if difference:
            return difference if run["shots"] is None else f"{run['shots']} demonstrations: {difference}"
    return None


def _of_runs(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: set[str]) -> str | None:
    a, b = ours["documents"], theirs["documents"]
    if len(a) != len(b):
        return f"{len(b)} documents instead of {len(a)}"
    for row, (mine, other) in enumerate(zip(a, b, strict=True)):
        if mine["requests"] != other["requests"]:
            return f"row {row} sends something else"
        difference = _scores(mine["scores"], other["scores"], metrics)
        if difference:
            return f"row {row}: {difference}"
    if metrics.isdisjoint(ours["scores"]):
        return f"there is no score to compare: {', '.join(sorted(metrics))}"
    difference = _scores(ours["scores"], theirs["scores"], metrics)
    return f"all rows: {difference}" if difference else None


def _scores(ours: Mapping[str, Any], theirs: Mapping[str, Any], metrics: set[str]) -> str | None:
    for name in sorted(metrics & {*ours, *theirs}):
        # Both sum the same numbers in the same order, so that even means are equal to the last bit; a mean of nothing
        # is no number, and that is no difference.
        mine, other = ours.get(name), theirs.get(name)
        if mine != other and not (mine != mine and other != other):
            return f"{name} is {other} instead of {mine}"
    return None
