"""``xling mix``: a corpus whose documents, sentences, chunks or words stand in several languages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["EPILOG", "mix"]

EPILOG = """Examples:
[bold]xling mix wiki.txt --format wikitext --languages en,es,it --with apertium --out mixed.jsonl[/];
[bold]xling mix hub:Salesforce/wikitext,config=wikitext-103-raw-v1 --languages en,fr,de,es,it --unit chunk
--with hf:facebook/nllb-200-distilled-600M --out mixed.jsonl[/];
[bold]xling mix books.jsonl --languages de,fr --unit word --with 'lexicon:muse/en-{target}.txt' --out switched.jsonl[/];
[bold]xling mix catalog:xquad/validation/context --languages en,de,es --unit sentence --out parallel.jsonl[/]"""


def mix(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A file, hub:OWNER/NAME,config=…,split=…, catalog:DATASET/SPLIT/FIELD or parallel:PATTERN.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="JSON lines; a manifest comes beside it.")],
    languages: Annotated[
        str, typer.Option("--languages", metavar="A,B=2", help="Languages to draw from, each with a weight (1).")
    ],
    unit: Annotated[str, typer.Option(help="What is drawn: document, sentence, chunk or word.")] = "sentence",
    with_: Annotated[
        str | None,
        typer.Option("--with", metavar="TRANSLATOR", help="apertium, hf:…, ct2:…, llm:…, lexicon:… or parallel:…"),
    ] = None,
    from_: Annotated[str, typer.Option("--from", metavar="LANGUAGE", help="Language of the input.")] = "en",
    format_: Annotated[
        str | None,
        typer.Option("--format", help="How the input is divided: text (at blank lines), lines, jsonl or wikitext."),
    ] = None,
    words: Annotated[int, typer.Option(help="Words a chunk.")] = 8,
    ratio: Annotated[float, typer.Option(help="Share of words that are drawn, for --unit word.")] = 0.16,
    seed: Annotated[int, typer.Option(help="Another seed draws other languages.")] = 42,
    limit: Annotated[int | None, typer.Option(help="Take only so many documents.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that mix; the result is the same.")] = 1,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="FILE", help="Translation cache; default: one for all commands.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a corpus made from something else.")] = False,
) -> None:
    """Mix a corpus: every unit goes to a language drawn at random, by a translator or from parallel texts.

    Run the same command again after an interruption: what is done is kept, and the result is the same.
    """
    from lm_eval_xling.mixing import mixing_files

    manifest = mixing_files.mix(
        corpus,
        out,
        languages,
        unit=unit,  # type: ignore[arg-type]  # checked there
        translator=with_,
        source=from_,
        format=format_,
        words=words,
        ratio=ratio,
        seed=seed,
        limit=limit,
        processes=processes,
        cache=cache,
        overwrite=overwrite,
        say=lambda message: typer.echo(message, err=True),
    )
    typer.echo(_summary(out, manifest))


def _summary(out: Path, manifest: dict[str, Any]) -> str:
    found = manifest["statistics"]
    share = ", ".join(f"{code} {part:.1%}" for code, part in found["share"].items())
    lines = [
        f"{out}: {found['documents']:,} documents, {found['units']:,} units, {found['words']:,} words",
        f"share of words: {share}",
        f"words a unit: {found['mean_unit_words']:.2f}; switch points: {found['switch_points']:,}; "
        f"code-mixing index: {found['code_mixing_index']:.1f}",
    ]
    if found["fallbacks"]:
        kept = ", ".join(f"{code} {count:,}" for code, count in found["fallbacks"].items())
        why = ", ".join(f"{reason} {count:,}" for reason, count in manifest["refused_texts"].items())
        lines.append(f"kept in the source language: {kept} (translations refused: {why})")
    return "\n".join(lines)
