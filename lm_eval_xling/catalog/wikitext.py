"""WikiText: articles of Wikipedia, the corpus of the mixed-language fine-tuning of Chua et al. 2024."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, locate
from lm_eval_xling.catalog.sources import HubTables, Table
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import text_lines
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_TITLE = re.compile(r"= ([^=].*[^=]|[^=]) =")
_FILES = {"train": "train", "validation": "valid", "test": "test"}


def _articles(lines: Iterable[str], where: str) -> Iterator[Row]:
    """Join the lines of each article; an article begins with a title between two blank lines."""
    stripped = ["", *(line.strip() for line in lines), ""]
    starts = [
        index
        for index in range(1, len(stripped) - 1)
        if _TITLE.fullmatch(stripped[index]) and not stripped[index - 1] and not stripped[index + 1]
    ]
    if not starts:
        raise UserError("there is no article: no line like ' = Title = ' between blank lines", where=where)
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], len(stripped)], strict=True)):
        yield Row(
            id=str(number),
            language="en",
            fields={"text": "\n".join(line for line in stripped[start:end] if line)},
            extra={"title": stripped[start].strip("= ")},
        )


def _tables(part: Part) -> tuple[Table, ...]:
    if part.language != "en":
        return ()
    return (("wikitext-103-raw-v1", "train"),) if part.split == "train_103" else (("wikitext-2-raw-v1", part.split),)


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return _articles((record.value("text") for record in tables[0]), f"Salesforce/wikitext, {part.split}")


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    if part.language != "en" or part.split not in _FILES:
        return ()
    name = _FILES[part.split]
    path = locate(folders, f"wikitext-2-raw/wiki.{name}.raw") or locate(folders, f"wikitext-2/{name}.txt")
    return () if path is None else (path,)


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return _articles(text_lines(paths[0]), str(paths[0]))


_HUB = HubTables("Salesforce/wikitext", _tables, _read_tables)

DATASET = Dataset(
    name="wikitext",
    title="WikiText-2, and the training split of WikiText-103 as train_103",
    licence="CC BY-SA 3.0 and GFDL",
    citation="Merity et al. 2016, Pointer Sentinel Mixture Models, arXiv 1609.07843",
    homepage="https://huggingface.co/datasets/Salesforce/wikitext",
    schema="fields text: an article, a line a heading or paragraph, tokenised by spaces as published; extra title",
    splits=("train", "validation", "test", "train_103"),
    languages=("en",),
    sources=(_HUB,),
    formats=(
        Format("text files of WikiText-2: wiki.{train,valid,test}.raw or {train,valid,test}.txt", _find, _read),
        _HUB.clone(),
    ),
)
