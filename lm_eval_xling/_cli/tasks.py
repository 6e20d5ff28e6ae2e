"""``xling tasks``: what there is to evaluate, where its files are, and what a model is shown."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "tasks"]

EPILOG = """
Examples:\n
  xling tasks\n
  xling tasks --family atlas\n
  xling tasks --show xling_atlas_fr_es --row 3\n
  xling tasks --show xling_mmlu_mixup --row 0 --num-fewshot 1 --metadata '{"xling": {"demos": "placement"}}'\n
  lm_eval --include_path "$(xling tasks --path)" --model dummy --tasks xling_atlas_en_de --limit 2
"""


def tasks(
    path: Annotated[bool, typer.Option("--path", help="Print the folder of the task YAMLs and nothing else.")] = False,
    family: Annotated[str | None, typer.Option(help="List the leaves of one family.")] = None,
    show: Annotated[str | None, typer.Option(metavar="TASK", help="Print the exact prompt of a row, no model.")] = None,
    row: Annotated[int, typer.Option(min=0, help="Row to show, from 0.")] = 0,
    num_fewshot: Annotated[
        int | None, typer.Option(min=0, help="Demonstrations, instead of the task's own number.")
    ] = None,
    metadata: Annotated[str | None, typer.Option(help="JSON as for lm_eval --metadata.")] = None,
) -> None:
    """List the families and their leaf tasks, print their folder, or show the exact prompt of a row."""
    if path:
        from lm_eval_xling.harness import tasks_folder

        print(tasks_folder())
    elif show is not None:
        _show(show, row, num_fewshot, metadata)
    elif family is not None:
        _list_leaves(family)
    else:
        _list_families()


def _list_families() -> None:
    from rich.console import Console
    from rich.table import Table

    from lm_eval_xling.families import FAMILIES

    table = Table("family", "leaves", "languages")
    for family in FAMILIES.values():
        table.add_row(family.name, str(len(family.leaves)), " ".join(family.languages))
    console = Console()
    console.print(table)
    console.print("All leaves of a family: --tasks xling_FAMILY; with their averages: --tasks crosslingual_FAMILY.")


def _list_leaves(name: str) -> None:
    from lm_eval_xling.families import family_named

    family = family_named(name)
    for leaf in family.leaves:
        print(family.task(leaf))


def _show(task: str, row: int, num_fewshot: int | None, metadata: str | None) -> None:
    import logging

    from lm_eval_xling.harness import requests

    # The harness warns about defaults that our YAML sets on purpose.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    (request,) = requests(task, rows=[row], num_fewshot=num_fewshot, metadata=_parsed(metadata))
    print(request.context, end="")
    print("⟨the model goes on here⟩")
    if request.continuations:
        print("\nscored continuations:")
        for index, continuation in enumerate(request.continuations):
            mark = "  ← right" if index == request.document.answer else ""
            print(f"  {json.dumps(continuation, ensure_ascii=False)}{mark}")
    elif request.document.target is not None:
        print(f"\ntarget: {request.document.target}")


def _parsed(metadata: str | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    try:
        value = json.loads(metadata)
    except json.JSONDecodeError as error:
        raise UserError(
            f"--metadata is not JSON: {error}", where=metadata, fix="""write it like '{"xling": {"seed": 1}}'"""
        ) from error
    if not isinstance(value, dict):
        raise UserError("--metadata is not a JSON object", where=metadata)
    return value
