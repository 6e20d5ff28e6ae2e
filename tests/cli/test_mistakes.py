"""Every mistake of ``mistakes.tsv`` ends in one message and code 2, writes nothing and loses nothing."""

from __future__ import annotations

import functools
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lm_eval.caching import cache
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import TaskIndex

from lm_eval_xling._cli import main
from lm_eval_xling.harness import tasks_folder
from tests.cli.desk import contents, damage, set_out
from tests.generators.rows import write_published


class Mistake(NamedTuple):
    """A line of the table."""

    command: str
    changes: str
    """What is not as ``set_out`` leaves it; see ``desk.damage``."""
    message: str
    """A piece of what is said."""
    written: str = ""
    """Pattern of new files: what is whole is kept when something later is bad."""


LINES = Path(__file__).with_name("mistakes.tsv").read_text(encoding="utf-8").splitlines()
MISTAKES = [Mistake(*line.split("\t")) for line in LINES if line and not line.startswith("#")]
IN_A_PROCESS = MISTAKES[:: len(MISTAKES) // 5]
"""A few are typed as a user types them."""

# Ours, typer's and argparse's.
MESSAGE = re.compile(r"^xling: |^╭─ Error|^lm-eval.*: error: ", re.MULTILINE)


def run(words: list[str]) -> int:
    sys.argv = ["xling", *words]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


BUILD = TaskIndex.build


@functools.cache
def our_index() -> dict[str, Any]:
    return BUILD([tasks_folder()])


def quick_build(paths: Iterable[Path], *, resolve_includes: bool = True) -> dict[str, Any]:
    """The harness's index of tasks; our files are read once for the whole table."""
    index: dict[str, Any] = {}
    for folder in paths:
        index.update(our_index() if folder == tasks_folder() else BUILD([folder]))
    return index


@pytest.fixture(scope="module")
def made(mirror_of: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of ``set_out``, in an environment that reaches no network and writes no cache of the user."""
    published = write_published(tmp_path_factory.mktemp("published"))
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLING_DATA", str(mirror_of(published)))
        patch.setenv("XLING_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "200")
        # The harness's own tasks take long to read.
        patch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
        patch.setattr(TaskIndex, "build", staticmethod(quick_build))
        patch.setattr(cache, "PATH", str(tmp_path_factory.mktemp("requests")))
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(sys, "argv", sys.argv)
        patch.chdir(folder)

        def good(words: list[str]) -> None:
            assert run(words) == 0, words

        set_out(folder, published, good)
        yield folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.fixture
def folder(made: Path, mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a mistake is made: the folder itself, or a copy with the changes."""
    if not mistake.changes and not mistake.written:
        monkeypatch.chdir(made)
        return made
    copy = shutil.copytree(made, tmp_path / "desk")
    if mistake.changes:
        damage(copy, mistake.changes)
    monkeypatch.chdir(copy)
    return copy


def held(mistake: Mistake, code: int, said: str) -> None:
    assert code == 2, said
    assert "Traceback" not in said
    assert len(MESSAGE.findall(said)) == 1, said
    # typer draws a box around its message.
    flat = re.sub(r"[\s│╭╮╰╯─]+", " ", said)
    assert mistake.message in flat, said


def kept(folder: Path, before: dict[str, str], mistake: Mistake) -> None:
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    new = after.keys() - before.keys()
    assert [name for name in new if not (mistake.written and fnmatch(name, mistake.written))] == []


def number(mistake: Mistake) -> str:
    return f"{MISTAKES.index(mistake) + 1}-{mistake.command[6:50]}"


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=number)
def test_a_mistake_is_one_message(mistake: Mistake, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    code = run(shlex.split(mistake.command)[1:])
    held(mistake, code, capsys.readouterr().err)
    kept(folder, before, mistake)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", IN_A_PROCESS, ids=number)
def test_a_mistake_in_a_process_of_its_own(mistake: Mistake, folder: Path) -> None:
    before = contents(folder)
    command = [sys.executable, "-m", "lm_eval_xling", *shlex.split(mistake.command)[1:]]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    held(mistake, ended.returncode, ended.stderr)
    kept(folder, before, mistake)


def test_the_table_is_of_every_command_and_family() -> None:
    from lm_eval_xling.families import FAMILIES

    assert len({(mistake.command, mistake.changes) for mistake in MISTAKES}) == len(MISTAKES) >= 200
    commands = "\n".join(mistake.command for mistake in MISTAKES)
    parts = (
        "eval|tasks|tasks new|data fetch|data import|data list|data verify|data translate|mix|train align|train mixed"
    )
    parts += "|train facts|probe logit-lens|probe pca|probe similarity|probe mexa|probe patch|probe steer"
    parts += "|probe neurons|report|doctor|export"
    assert [part for part in parts.split("|") if f"xling {part} " not in commands] == []
    assert [family for family in FAMILIES if f"xling_{family}_" not in commands] == []
