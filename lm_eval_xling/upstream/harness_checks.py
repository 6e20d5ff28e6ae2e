"""What the harness's repository itself asks of tasks: ``lm_eval validate``, and its linters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

__all__ = ["linted", "validated"]

# The harness's pyproject.toml, at v0.4.13 and later: what stands there under [tool.ruff.lint].
_RULES = (
    "--preview",
    "--extend-select=B,C419,D,E,F,FURB,I,TC,RUF034,S,SIM,S307,UP,W605",
    "--ignore=D10,D200,D202,D205,D212,D415,D417,E11,E402,E501,E701,E731,E741,SIM108,SIM105,SIM401,SIM118,S311,S701,S101",
    "--config=lint.explicit-preview-rules=true",
    "--config=lint.isort={combine-as-imports=true, known-first-party=['lm_eval'], lines-after-imports=2}",
    "--config=lint.pydocstyle={convention='google', ignore-var-parameters=true}",
)


def validated(python: str, tasks: Path, names: Sequence[str], where: Path) -> str | None:
    """Return what ``lm_eval validate`` says against tasks, or ``None`` if nothing.

    Args:
        python: interpreter of an environment with the harness.
        tasks: folder of the tasks.
        names: of the tasks.
        where: working directory.
    """
    command = [python, "-I", "-m", "lm_eval", "validate", "--tasks", ",".join(names), "--include_path", str(tasks)]
    *_, last = _complaints(command, where) or [None]
    return last


def linted(tasks: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each linter of the harness's repository, and what it says against tasks, or ``None``.

    Nothing is yielded where ruff is not installed.
    """
    if find_spec("ruff") is None:
        return
    ruff = [sys.executable, "-m", "ruff"]
    options = ("--isolated", "--no-cache", ".")
    first, *_ = _complaints([*ruff, "check", "--output-format=concise", *_RULES, *options], tasks) or [None]
    yield "ruff check", first
    *_, last = _complaints([*ruff, "format", "--check", *options], tasks) or [None]
    yield "ruff format", last


def _complaints(command: Sequence[str], where: Path) -> list[str | None]:
    """Return the lines that a command writes if it ends with another code than 0."""
    ended = subprocess.run(command, cwd=where, capture_output=True, text=True, encoding="utf-8")
    said = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
    return [] if ended.returncode == 0 else [*(said or [f"it ends with code {ended.returncode}"])]
