"""``xling data``: what datasets there are, and the mirror that makes them available without a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lm_eval_xling.errors import UserError, unknown_name

if TYPE_CHECKING:
    from lm_eval_xling.catalog.dataset import Dataset, Part
    from lm_eval_xling.catalog.mirror import Mirror, StoredPart

__all__ = ["app"]

app = typer.Typer(
    help="List, fetch, import, translate and verify the datasets.", no_args_is_help=True, rich_markup_mode="rich"
)

Item = TypeVar("Item")
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Datasets, as `xling data list` names them.")]
Everything = Annotated[bool, typer.Option("--all", help="All datasets.")]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave bad rows out, and say which; without it their file is refused.")
]
To = Annotated[Path, typer.Option("--to", metavar="MIRROR", help="Folder of the mirror; made if it is not there.")]


@app.command(
    "list",
    epilog="Examples: [bold]xling data list[/]; [bold]xling data list mmlu[/]; "
    "[bold]xling data list --mirror mirror[/]",
)
def list_(
    names: Names = None,
    mirror: Annotated[
        Path | None, typer.Option("--mirror", metavar="MIRROR", help="Folder of a mirror; default: $XLING_DATA.")
    ] = None,
) -> None:
    """List the datasets: what each is, its languages, licence and source, and what the mirror holds.

    With names, everything that the catalog says of these datasets.
    """
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirror import Mirror, mirror_from_environment

    opened = mirror_from_environment() if mirror is None else Mirror(mirror)
    for name in names or ():
        if name not in DATASETS:
            raise unknown_name("dataset", name, DATASETS)
        _describe(DATASETS[name], opened)
    if not names:
        for entry in DATASETS.values():
            origin = f"from {', '.join(source.name for source in entry.sources)}" if entry.sources else "in the package"
            typer.echo(f"{entry.name:15} {entry.title}")
            typer.echo(f"{'':15} {_languages(len(entry.languages))}, {origin}; licence: {entry.licence}")
            if opened is not None and entry.sources:
                typer.echo(f"{'':15} {_held(entry, opened)}")


def _describe(entry: Dataset, mirror: Mirror | None) -> None:
    formats = [f"{'import:' if first else '':10} {form.name}" for first, form in _marked(entry.formats)]
    sources = [f"{'fetch:' if first else '':10} {source.name}" for first, source in _marked(entry.sources)]
    typer.echo(
        "\n".join(
            [
                f"{entry.name}: {entry.title}",
                f"{'licence:':10} {entry.licence}",
                f"{'cite:':10} {entry.citation}",
                f"{'read:':10} {entry.homepage}",
                f"{'rows:':10} {entry.schema}",
                f"{'splits:':10} {', '.join(entry.splits)}",
                f"{'languages:':10} {', '.join(entry.languages)}",
                *sources,
                *formats,
                f"{'mirror:':10} {_held(entry, mirror)}",
            ]
        )
    )


def _marked(items: Sequence[Item]) -> list[tuple[bool, Item]]:
    return [(index == 0, item) for index, item in enumerate(items)]


def _held(entry: Dataset, mirror: Mirror | None) -> str:
    if mirror is None:
        return "no mirror"
    stored = mirror.of(entry.name)
    if not stored:
        return "not in the mirror"
    languages = _languages(len({part.language for part in stored}))
    origins = ", ".join(dict.fromkeys(part.source for part in stored))
    return f"in the mirror: {sum(part.rows for part in stored):,} rows, {languages}, {origins}"


def _languages(count: int) -> str:
    return "1 language" if count == 1 else f"{count} languages"


@app.command(
    epilog="Examples: [bold]xling data fetch mmlu --languages en,de,fr,es,it --to mirror[/]; "
    "[bold]xling data fetch --all --to mirror[/]; then [bold]export XLING_DATA=mirror[/]"
)
def fetch(
    to: To,
    names: Names = None,
    everything: Everything = False,
    languages: Annotated[
        str | None,
        typer.Option("--languages", metavar="A,B", help="Only these languages (mul: mixed); default: all published."),
    ] = None,
    splits: Annotated[
        str | None, typer.Option("--splits", metavar="A,B", help="Only these splits; default: all published.")
    ] = None,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Fetch datasets from the hub and from published files into a mirror.

    Run it again after an interruption: what is complete is skipped, and the rest comes from the same commits.
    """
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import fetch_dataset, raise_all, writing
    from lm_eval_xling.languages import MULTIPLE, resolve_all

    codes = None
    if languages is not None:
        named = [part.strip() for part in languages.split(",")]
        # The rows that mix languages stand under a code that is no language's.
        codes = (*resolve_all(name for name in named if name != MULTIPLE), *(n for n in named if n == MULTIPLE))
    chosen = _chosen(names, everything)
    problems: list[UserError] = []
    with writing(to, DATASETS) as mirror:
        for entry in chosen:
            kept = codes
            if everything and codes is not None:
                kept = tuple(code for code in codes if code in entry.languages)
                if not kept:
                    continue
            try:
                stored = fetch_dataset(
                    entry,
                    mirror,
                    languages=kept,
                    splits=None if splits is None else splits.split(","),
                    skip_bad_rows=skip_bad_rows,
                    progress=_bar(entry.name),
                )
            except UserError as error:
                # The others may well be reachable: the hub and GitHub are not the same.
                problems.append(error)
                continue
            _report(entry, stored)
        raise_all(problems)


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
    skip_bad_rows: SkipBadRows = False,
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
                stored = import_dataset(entry, folders, mirror, skip_bad_rows=skip_bad_rows, progress=_bar(entry.name))
            except NothingToImport:
                if everything:
                    continue
                raise
            count += 1
            _report(entry, stored)
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
            f"the mirror is not as it was stored; files: {len(problems)}",
            where=mirror,
            fix="delete them, then run the same xling data fetch or import again: it makes only what is missing",
        )
    rows = sum(stored.rows for stored in opened.parts.values())
    typer.echo(f"{len(opened.parts)} files, {rows:,} rows: all as they were stored")


@app.command(
    epilog="Examples: [bold]xling data translate tofu --to fr,de,it,es --with hf:facebook/nllb-200-distilled-600M "
    "--mirror mirror[/]; [bold]xling data translate hp --to es --with apertium --mirror mirror[/]"
)
def translate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Dataset, as `xling data list` names it.")],
    to: Annotated[str, typer.Option("--to", metavar="A,B", help="Languages to translate into.")],
    with_: Annotated[
        str, typer.Option("--with", metavar="TRANSLATOR", help="apertium, hf:…, ct2:…, llm:…, lexicon:… or parallel:…")
    ],
    more: Annotated[list[str] | None, typer.Argument(metavar="[LANGUAGE…]", help="Further languages.")] = None,
    mirror: Annotated[
        Path | None, typer.Option("--mirror", metavar="MIRROR", help="Folder of the mirror; default: $XLING_DATA.")
    ] = None,
    from_: Annotated[str, typer.Option("--from", metavar="LANGUAGE", help="Language to translate from.")] = "en",
    splits: Annotated[
        str | None, typer.Option("--splits", metavar="A,B", help="Only these splits; default: those that can be had.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="FILE", help="Translation cache; default: one for all commands.")
    ] = None,
) -> None:
    """Translate a dataset and add it to a mirror, for languages that it is not published in.

    What a translator refuses or garbles stays in the language it was in; rows name it in their `untranslated`.
    Run it again after an interruption: nothing is translated twice.
    """
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.dataset import Part
    from lm_eval_xling.catalog.mirroring import writing
    from lm_eval_xling.files import disk_full
    from lm_eval_xling.languages import resolve, resolve_all
    from lm_eval_xling.translation import Cache, GuardedTranslator, default_cache, open_translator
    from lm_eval_xling.translation.rows import check_translatable, source_rows, translate_part

    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    entry, source = DATASETS[name], resolve(from_).code
    check_translatable(entry)
    targets = resolve_all([*filter(None, to.split(",")), *(more or ())])
    if not targets:
        raise UserError("no language to translate into", where="--to", fix="--to fr,de")
    folder = mirror or (Path(os.environ["XLING_DATA"]) if os.environ.get("XLING_DATA") else None)
    if folder is None:
        raise UserError("no mirror to add to", fix="--mirror MIRROR, or export XLING_DATA=MIRROR")
    translator = open_translator(with_)
    for target in targets:
        if target == source:
            raise UserError(f"the rows are in {source!r} already", where=f"--to {target}", fix="another language")
        translator.check(source, target)
    guarded = GuardedTranslator(translator, Cache(cache or default_cache()))
    with disk_full(folder), writing(folder, DATASETS) as opened:
        for split, rows in source_rows(entry, source, splits.split(",") if splits else None, opened):
            for target in targets:
                with _counting(f"{name} {split} {target}", len(rows)) as advance:
                    stored, kept = translate_part(entry, rows, Part(target, split), guarded, opened, advance=advance)
                notes = ", ".join(f"{count:,} {part}" for part, count in sorted(kept.items()))
                typer.echo(f"{stored.file}: {stored.rows:,} rows" + (f"; left in {source}: {notes}" if notes else ""))


@contextmanager
def _counting(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; silent where stderr is not a terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit=" rows", disable=None) as bar:
        yield lambda count: (bar.update(count), None)[1]


def _report(entry: Dataset, stored: Sequence[StoredPart]) -> None:
    skipped = sum(part.skipped for part in stored)
    left_out = f"; left out: {skipped:,} bad rows" if skipped else ""
    typer.echo(f"{entry.name}: {sum(part.rows for part in stored):,} rows in {len(stored)} files{left_out}")


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
