"""Whether an export asks and scores as we do: it is evaluated in a process with the harness alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, family_named
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.upstream import alone
from lm_eval_xling.upstream.at_source import at_source
from lm_eval_xling.upstream.contributing import MANIFEST, TASKS, dataset_path
from lm_eval_xling.upstream.exportable import contribution
from lm_eval_xling.upstream.harness_checks import linted, validated
from lm_eval_xling.upstream.harness_files import upstream_metrics

__all__ = ["Agreement", "check"]

_PYTHON = "the path of a Python that has lm_eval: PYTHON -m pip install lm_eval"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was found of one leaf, or by one of the harness's own checks."""

    task: str
    """Name of the task, of a group that is missing, or of a check of the harness's own."""
    documents: int
    """How many were compared, none by the harness's own checks; twice as many where demonstrations are shown only if
    asked for."""
    requests: int
    """How many were compared."""
    difference: str | None
    """The first one; ``None`` where every request and score is equal."""


def check(folder: Path, python: str = sys.executable) -> Iterator[Agreement]:
    """Compare every request and score of an export with ours, and yield what was found, leaf by leaf.

    What the harness's repository itself asks of tasks is looked at too: the fields that its tests look at,
    ``lm_eval validate``, and its linters where ruff is installed.

    Args:
        folder: as ``export`` wrote it.
        python: interpreter of an environment with the harness; this package is out of its reach, even where it is
            installed.

    Raises:
        UserError: a folder that is no export, an interpreter that is none or has no harness, or a process that ended
            before it had evaluated all.
    """
    from lm_eval.tasks import TaskManager

    folder = folder.resolve()
    # It is started in another working directory; a link to it stays one, since it stands for an environment.
    python = os.path.abspath(shutil.which(python) or python)
    entries = _entries(folder)
    leaves = {family.task(name): (family, family.leaf(name)) for family, entry in entries for name in entry["leaves"]}
    groups = [group for _, entry in entries for group in entry["groups"]]
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    with _stage(folder, entries) as (run, tasks):
        with closing(_alone(folder, run, tasks, python, groups, list(leaves))) as answers:
            known = next(answers, None)
            if known is None:
                raise UserError("it ends without an answer", where=f"--python {python}", fix=_PYTHON)
            for group in groups:
                if group not in known["groups"]:
                    yield Agreement(group, 0, 0, "the harness does not find the group")
            # Theirs first: where the process ends before its time, it has an error to raise.
            for theirs, found in zip(answers, alone.evaluated_tasks(manager, list(leaves)), strict=False):
                # As the other process writes it.
                ours = json.loads(json.dumps(found))
                family, leaf = leaves[ours["task"]]
                metrics = {metric.name for metric in upstream_metrics(family.forms[leaf.form])}
                documents = [document for run in ours.get("runs", ()) for document in run["documents"]]
                sent = sum(document["sent"] for document in documents)
                difference = _difference(ours, theirs, metrics) or theirs.get("complaint")
                yield Agreement(ours["task"], len(documents), sent, difference)
        yield Agreement("lm_eval validate", 0, 0, validated(python, tasks, [*leaves, *groups], run))
        for linter, complaint in linted(folder / TASKS):
            yield Agreement(linter, 0, 0, complaint)


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


@contextmanager
def _stage(folder: Path, entries: Sequence[tuple[Family, Mapping[str, Any]]]) -> Iterator[tuple[Path, Path]]:
    """Put the data where the tasks look for them, and yield a working directory and the folder of the tasks."""
    with tempfile.TemporaryDirectory() as scratch:
        run, tasks = Path(scratch, "run"), folder / TASKS
        run.mkdir()
        moved: dict[str, str] = {}
        for family, entry in entries:
            if contribution(family).licence is None:
                moved |= at_source(family).stand_in([family.leaf(name) for name in entry["leaves"]], run)
                continue
            # `datasets` looks for a folder before it asks the hub.
            data = run / dataset_path(family, entry["hub"])
            data.parent.mkdir(parents=True, exist_ok=True)
            data.symlink_to(folder / "data" / f"xling_{family.name}", target_is_directory=True)
        if moved:
            tasks = shutil.copytree(tasks, Path(scratch, TASKS))
            for path in tasks.rglob("*.yaml"):
                text = path.read_text(encoding="utf-8")
                # Each address ends its line, so that none is taken for the beginning of another.
                here = re.sub(r"https://\S+$", lambda found: moved.get(found[0], found[0]), text, flags=re.MULTILINE)
                path.write_text(here, encoding="utf-8")
        yield run, tasks


def _alone(
    folder: Path, run: Path, tasks: Path, python: str, groups: Sequence[str], names: Sequence[str]
) -> Generator[dict[str, Any], None, None]:
    """Yield the groups that the harness finds, and then what it says of each task, without this package."""
    offline = {"HF_DATASETS_CACHE": str(run.parent / "cache"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        try:
            process = subprocess.Popen(
                [python, "-I", "-B", alone.__file__, str(tasks)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                cwd=run,
                env={**os.environ, **offline},
            )
        except OSError as error:
            raise UserError(f"no interpreter: {error.strerror}", where=f"--python {python}", fix=_PYTHON) from error
        assert process.stdin is not None and process.stdout is not None
        began = False
        with process:
            try:
                # Who ends at once reads nothing, and says why elsewhere.
                with suppress(BrokenPipeError):
                    process.stdin.write(json.dumps([list(groups), list(names)]))
                    process.stdin.close()
                for line in process.stdout:
                    yield json.loads(line)
                    began = True
            except GeneratorExit:
                # Whoever compares has stopped.
                process.kill()
                raise
            except ValueError:
                process.kill()
                raise UserError(
                    "it answers as no Python interpreter does", where=f"--python {python}", fix=_PYTHON
                ) from None
        if process.returncode:
            said.seek(0)
            last = (said.read().strip().splitlines() or ["it says nothing"])[-1]
            if not began:
                raise UserError(f"the harness does not start: {last}", where=f"--python {python}", fix=_PYTHON)
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
