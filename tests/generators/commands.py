"""The page of the command line: what ``--help`` says of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from lm_eval_xling._cli import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
_EXAMPLES = re.compile(r"^Examples?:\n((?:\n|  .*\n)+)", re.MULTILINE)


def files() -> Iterator[tuple[Path, str]]:
    """Yield the page."""
    command = get_command(app)
    with typer.Context(command, info_name="xling") as context:
        text = get_docs_for_click(obj=command, ctx=context, name="xling")
    for name, own in _commands(command):
        # Lists of commands have their first words only.
        text = re.sub(rf"^\* `{re.escape(name)}`: .*\.\.\.$", f"* `{name}`: {own}", text, count=1, flags=re.MULTILINE)
    text = _EXAMPLES.sub(_block, text)
    text = text.replace("# `xling`\n", "# Commands\n\nMade from `--help` by `make generated`.\n", 1)
    yield PAGE, re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).rstrip("\n") + "\n"


def _commands(group: Any) -> Iterator[tuple[str, str]]:
    """Name and first sentence of every command, in the order of the page's lists."""
    inner = getattr(group, "commands", {})
    for name, command in inner.items():
        yield name, command.get_short_help_str(limit=1000)
    for command in inner.values():
        yield from _commands(command)


def _block(found: re.Match[str]) -> str:
    lines = [line.strip() for line in found[1].splitlines() if line.strip()]
    return "\n".join(["```sh", *lines, "```", "", ""])
