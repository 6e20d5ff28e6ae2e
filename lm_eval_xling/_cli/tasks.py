"""``xling tasks``: what there is to evaluate, where its files are, and what a model is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from lm_eval_xling._cli.metadata import parse_metadata
from lm_eval_xling.errors import UserError

__all__ = ["app"]

_EPILOG = """
Examples:\n
  xling tasks\n
  xling tasks --family atlas\n
  xling tasks --available --missing\n
  xling tasks --show xling_atlas_fr_es --row 3\n
  xling tasks --show xling_mmlu_mixup --row 0 --num-fewshot 1 --metadata '{"xling": {"demos": "placement"}}'\n
  xling tasks --show xling_hp_generate_en --model smollm2-135m-instruct --apply-chat-template\n
  xling tasks --cost crosslingual_atlas,xling_mmlu_generate_mixup --model smollm2-135m-instruct\n
  xling tasks new capitals.yaml --to capitals_tasks\n
  lm_eval --include_path "$(xling tasks --path)" --model dummy --tasks xling_atlas_en_de --limit 2
"""

_ASKED = {"num_fewshot", "metadata", "include_path", "model", "apply_chat_template"}
_READ: dict[str, set[str]] = {
    "path": set(),
    "show": {"row", *_ASKED},
    "cost": {"limit", *_ASKED},
    "available": {"family", "missing"},
    "missing": {"family"},
    "family": set(),
}
"""Options that ask for an answer, and what each answer reads beside."""

app = typer.Typer(help="List families and leaf tasks, show their prompts, or make tasks of your own data.")

IncludePath = Annotated[
    list[str] | None,
    typer.Option("--include-path", metavar="FOLDER", help="Folder of own tasks; may be given several times."),
]


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def tasks(
    context: typer.Context,
    path: Annotated[bool, typer.Option("--path", help="Print the folder of the task YAMLs and nothing else.")] = False,
    family: Annotated[str | None, typer.Option(help="List the leaves of one family.")] = None,
    show: Annotated[str | None, typer.Option(metavar="TASK", help="Print the exact prompt of a row, no model.")] = None,
    row: Annotated[int, typer.Option(min=0, help="Row to show, from 0.")] = 0,
    num_fewshot: Annotated[
        int | None, typer.Option(min=0, help="Demonstrations, instead of the task's own number.")
    ] = None,
    metadata: Annotated[str | None, typer.Option(help="JSON as for lm_eval --metadata.")] = None,
    cost: Annotated[
        str | None,
        typer.Option(metavar="TASKS", help="Print requests and tokens of a run: names, patterns, groups, with commas."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Embedded model, folder or hub name of the tokenizer that counts and writes turns."),
    ] = None,
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="As lm_eval does, with the model's template.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Count the first documents of each task only.")] = None,
    include_path: IncludePath = None,
    available: Annotated[bool, typer.Option("--available", help="Say which leaves can be evaluated here.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Only those that cannot, and what each needs.")] = False,
) -> None:
    """List the families and their leaf tasks, print their folder, or show the exact prompt of a row."""
    _check_read(context)
    if context.invoked_subcommand is not None:
        return
    if path:
        from lm_eval_xling.harness import folder_to_include, tasks_folder

        print(tasks_folder())
        if folder_to_include() is None:
            print("the harness looks there without --include_path, and warns of each task named twice", file=sys.stderr)
    elif show is not None:
        _show(show, row, num_fewshot, metadata, include_path or [], _template(model) if apply_chat_template else None)
    elif cost is not None:
        asked = {"num_fewshot": num_fewshot, "metadata": parse_metadata(metadata), "include_path": include_path or []}
        _print_costs(cost, model, apply_chat_template, {**asked, "limit": limit})
    elif available or missing:
        _list_available(family, only_missing=missing)
    elif family is not None:
        _list_leaves(family)
    else:
        _list_families()


def _check_read(context: typer.Context) -> None:
    """Refuse the options that the answer asked for does not read."""
    given = [name for name in context.params if _is_given(context, name)]
    chosen = next((name for name in _READ if name in given), None)
    if context.invoked_subcommand is not None:
        _refuse(given, f"xling tasks {context.invoked_subcommand}")
    elif chosen is None:
        _refuse(given, "the list of families")
    else:
        _refuse([name for name in given if name not in {chosen, *_READ[chosen]}], f"--{chosen}")
        if chosen == "show" and "model" in given and not context.params["apply_chat_template"]:
            raise UserError(
                "--show reads the model's tokenizer for turns alone",
                where="--model",
                fix="--apply-chat-template, or leave --model out",
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse(names: Collection[str], answer: str) -> None:
    if names:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise UserError(f"{answer} does not read {options}", where="xling tasks", fix=f"leave out {options}")


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
    from lm_eval_xling.families.leaf_words import leaf_in_words

    family = family_named(name)
    width = max(len(family.task(leaf)) for leaf in family.leaves)
    for leaf in family.leaves:
        print(f"{family.task(leaf):<{width}}  {leaf_in_words(leaf)}".rstrip())


@app.command("new", epilog="Example:\n\n  xling tasks new capitals.yaml --to capitals_tasks")
def new(
    description: Annotated[Path, typer.Argument(help="Description of the data (YAML); docs/own-data.md says how.")],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder that the task files are written to.")],
) -> None:
    """Check your own parallel data and write its tasks: every placement and language that the rows allow."""
    from lm_eval_xling.families.own_data import own_family
    from lm_eval_xling.families.own_tasks import write_tasks

    family = own_family(description)
    items = write_tasks(description, family, to)
    print(f"{items} items, {len(family.leaves)} tasks in {to}")
    print(f"xling eval --include_path {to} --tasks 'xling_{family.name}_*' --model hf --model_args pretrained=MODEL")


def _list_available(name: str | None, *, only_missing: bool) -> None:
    from lm_eval_xling.catalog import Lacking, commands, lacks_in_words
    from lm_eval_xling.families import FAMILIES, family_named
    from lm_eval_xling.families.available import missing_data
    from lm_eval_xling.families.leaf_words import leaf_in_words

    lacked: list[Lacking] = []
    runs = total = 0
    for family in FAMILIES.values() if name is None else [family_named(name)]:
        for leaf in family.leaves:
            lacks = missing_data(family, leaf)
            lacked += lacks
            runs, total = runs + (not lacks), total + 1
            words = leaf_in_words(leaf)
            named = family.task(leaf) + (f" ({words})" if words else "")
            if not lacks and not only_missing:
                print(f"{named}  can be evaluated")
            if lacks:
                print(f"{named}  lacks {lacks_in_words(lacks)}")
    print(f"{runs} of {total} leaves can be evaluated")
    for command in commands(lacked):
        print(f"  {command}")


def _named(model: str | None) -> str:
    if model is None:
        raise UserError(
            "no model is named", where="--model", fix="--model smollm2-135m-instruct, a folder or a hub name"
        )
    return model


def _template(model: str | None) -> Callable[..., str]:
    from lm_eval_xling.cost import tokenizer_of
    from lm_eval_xling.harness import chat_template

    return chat_template(tokenizer_of(_named(model)))


def _print_costs(patterns: str, model: str | None, turns: bool, asked: dict[str, Any]) -> None:
    import logging
    from functools import reduce
    from operator import add

    from rich.console import Console
    from rich.table import Table

    from lm_eval_xling.cost import costs, named_tasks, tokenizer_of

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tokenizer = tokenizer_of(_named(model))
    found = costs(named_tasks(patterns.split(","), asked["include_path"]), tokenizer, turns=turns, **asked)
    table = Table()
    for number, name in enumerate(("task", "documents", "requests", "prompt tokens", "generated tokens, at most")):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    lines = {**found, "all": reduce(add, found.values())} if len(found) > 1 else found
    for task, cost in lines.items():
        numbers = (cost.documents, cost.requests, cost.prompt_tokens, cost.generated_tokens)
        table.add_row(task, *(f"{number:,}" for number in numbers), end_section=task == list(found)[-1])
    Console().print(table)


def _show(
    task: str,
    row: int,
    num_fewshot: int | None,
    metadata: str | None,
    include_path: list[str],
    template: Callable[..., str] | None,
) -> None:
    import logging

    from lm_eval_xling.harness import requests

    # The harness warns about defaults that our YAML sets on purpose.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    (request,) = requests(
        task,
        rows=[row],
        num_fewshot=num_fewshot,
        metadata=parse_metadata(metadata),
        include_path=include_path,
        chat_template=template,
    )
    print(request.context, end="")
    print("⟨the model goes on here⟩")
    if request.continuations:
        print("\nscored continuations:")
        for index, continuation in enumerate(request.continuations):
            mark = "  ← right" if index == request.document.answer else ""
            print(f"  {json.dumps(continuation, ensure_ascii=False)}{mark}")
    elif request.document.target is not None:
        print(f"\ntarget: {request.document.target}")
