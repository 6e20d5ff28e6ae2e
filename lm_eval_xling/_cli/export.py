"""``xling export``: families as tasks that lm-evaluation-harness can take, and whether they equal ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "export"]

EPILOG = """
Examples:\n
  xling export atlas --to upstream\n
  xling export --check upstream\n
  xling export --check upstream --python other-env/bin/python\n
  xling export mmlu --leaves 'question_*' --hub OWNER/crosslingual-mmlu --to upstream_mmlu
"""


def export(
    families: Annotated[list[str] | None, typer.Argument(metavar="FAMILY…", help="Families to export.")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help="New folder of the export.")] = None,
    leaves: Annotated[
        list[str] | None,
        typer.Option("--leaves", metavar="PATTERN", help="Only these leaves; may be given several times."),
    ] = None,
    hub: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="What the dataset will be called on the hub.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FOLDER", help="Compare an export's requests and scores with ours."),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="INTERPRETER",
            help="Evaluate the export with this Python, of an environment that has lm_eval alone.",
        ),
    ] = None,
) -> None:
    """Write tasks that a pull request to lm-evaluation-harness can take, without this package, or check them."""
    from lm_eval_xling import upstream

    if check is not None:
        if families or to or leaves or hub:
            raise UserError(
                "--check takes nothing else but --python", where="xling export", fix="check after the export is written"
            )
        _check(check, python)
        return
    if python is not None:
        raise UserError("only a check runs another Python", where="--python", fix="xling export --check FOLDER")
    if not families:
        raise UserError("no family is named", where="xling export", fix="xling export atlas --to FOLDER")
    if to is None:
        raise UserError("no folder is named", where="--to", fix="xling export atlas --to FOLDER")
    upstream.export(families, to, leaves=leaves or (), hub=hub, say=print)
    print(f"{to}\nxling export --check {to}")


def _check(folder: Path, python: str | None) -> None:
    from lm_eval_xling import upstream

    differ = 0
    for found in upstream.check(folder, sys.executable if python is None else python):
        differ += found.difference is not None
        equal = f"{found.documents} documents, {found.requests} requests: equal" if found.documents else "no complaint"
        said = found.difference or equal
        print(f"{found.task}  {said}", flush=True)
    if differ:
        print(f"xling: {differ} of the tasks differ", file=sys.stderr)
        raise typer.Exit(2)
