"""``xling data``: what datasets there are, and the mirror that makes them available without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lm_eval_xling.errors import UserError, unknown_name

if TYPE_CHECKING:
    from lm_eval_xling.catalog.dataset import Dataset, Part

app = typer.Typer(help="List, fetch, import and verify the datasets.", no_args_is_help=True, rich_markup_mode="rich")

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Datasets, as `xling data list` names them.")]
Everything = Annotated[bool, typer.Option("--all", help="All datasets.")]
To = Annotated[Path, typer.Option("--to", metavar="MIRROR", help="Folder of the mirror; made if it is not there.")]


@app.command(
    "import",
    epilog="Examples: [bold]xling data import mmlu --from mmlu_parallel --from mmlu_en --to mirror[/]; "
    "[bold]xling data import --all --from data --to mirror[/]",
)
def import_(
    folders: Annotated[
        list[Path], typer.Option("--from", metavar="DIR", help="Folder with published files; may be given again.")
    ],
    to: To,
    names: Names = None,
    everything: Everything = False,
) -> None:
    """Add datasets to a mirror from files in a published format, without a network.

    Each folder is searched, and its direct subfolders after it. With --all, datasets whose files are not there
    are left out.
    """
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import NothingToImport, import_dataset, writing

    for folder in folders:
        if not folder.is_dir():
            raise UserError("there is no such folder", where=folder)
    count = 0
    with writing(to, DATASETS) as mirror:
        for entry in _chosen(names, everything):
            try:
                stored = import_dataset(entry, folders, mirror, progress=_bar(entry.name))
            except NothingToImport:
                if everything:
                    continue
                raise
            count += 1
            typer.echo(f"{entry.name}: {sum(part.rows for part in stored):,} rows in {len(stored)} files")
    if not count:
        raise UserError(
            "the folders hold no dataset's files", where=", ".join(map(str, folders)), fix="xling data list"
        )


@app.command(epilog="Example: [bold]xling data verify mirror[/]")
def verify(mirror: Annotated[Path, typer.Argument(metavar="MIRROR", help="Folder of the mirror.")]) -> None:
    """Compare every file of a mirror with its manifest; exit code 2 if a byte differs."""
    from lm_eval_xling.catalog.mirror import Mirror

    opened = Mirror(mirror)
    problems = [f"{stored.file}: {complaint}" for stored, complaint in opened.verify() if complaint is not None]
    problems += [f"{path.relative_to(mirror)}: the manifest does not know this file" for path in opened.strangers()]
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise UserError(
            f"{len(problems)} files of the mirror are not as they were stored",
            where=mirror,
            fix="delete them, then run the same xling data fetch or import again: it makes only what is missing",
        )
    rows = sum(stored.rows for stored in opened.parts.values())
    typer.echo(f"{len(opened.parts)} files, {rows:,} rows: all as they were stored")


def _chosen(names: Sequence[str] | None, everything: bool) -> list[Dataset]:
    from lm_eval_xling.catalog import DATASETS

    kept = {name: entry for name, entry in DATASETS.items() if entry.built_in is None}
    if everything == bool(names):
        raise UserError("name the datasets, or say --all", fix=f"known: {', '.join(kept)}")
    for name in names or ():
        if name in DATASETS and name not in kept:
            raise UserError(f"dataset {name!r} is part of the package and needs no mirror")
        if name not in kept:
            raise unknown_name("dataset", name, kept)
    return [kept[name] for name in names or kept]


def _bar(label: str) -> Callable[[Sequence[Part]], Iterator[Part]]:
    """A progress bar on stderr over the parts of a dataset; silent where stderr is not a terminal."""

    def progress(parts: Sequence[Part]) -> Iterator[Part]:
        from tqdm import tqdm

        return iter(tqdm(parts, desc=label, unit=" files", disable=None))

    return progress
