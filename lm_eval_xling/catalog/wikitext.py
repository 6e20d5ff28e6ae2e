"""WikiText: articles of Wikipedia, the corpus of the mixed-language fine-tuning of Chua et al. 2024."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, locate
from lm_eval_xling.catalog.sources import HubTable, HubTables
from lm_eval_xling.catalog.wikitext_hp import COPY, SPLIT, LinesOfWikiText
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import text_lines
from lm_eval_xling.records import Row

__all__ = ["DATASET", "Article", "split_articles"]

_TITLE = re.compile(r"= ([^=].*[^=]|[^=]) =")
_FILES = {"train": "train", "validation": "valid", "test": "test"}


class Article(NamedTuple):
    """One article."""

    title: str | None
    """Without marks; None for what stands before the first title."""
    lines: list[str]
    """All lines that are not blank, the title's first, without white space at their ends."""


def split_articles(lines: Iterable[str]) -> Iterator[Article]:
    """Divide WikiText into articles; memory holds one at a time.

    An article begins with a title (`` = Title = ``) between two blank lines.

    Args:
        lines: of the published files, or the rows of the hub's dataset.
    """
    article = Article(None, [])
    blank, candidate = True, ""
    for line in chain(map(str.strip, lines), [""]):
        if candidate:
            # A line that only looks like a title has text below it.
            if not line:
                if article.lines:
                    yield article
                article = Article(candidate.strip("= "), [])
            article.lines.append(candidate)
            candidate = ""
        if blank and _TITLE.fullmatch(line):
            candidate = line
        elif line:
            article.lines.append(line)
        blank = not line
    if article.lines:
        yield article


def _rows(lines: Iterable[str], where: str) -> Iterator[Row]:
    titled = (article for article in split_articles(lines) if article.title is not None)
    number = -1
    for number, article in enumerate(titled):
        yield Row(
            id=str(number),
            language="en",
            fields={"text": "\n".join(article.lines)},
            extra={"title": article.title},
        )
    if number < 0:
        raise UserError("there is no article: no line like ' = Title = ' between blank lines", where=where)


def _tables(part: Part) -> tuple[HubTable, ...]:
    if part.language != "en" or part.split == SPLIT:
        return ()
    return (("wikitext-103-raw-v1", "train"),) if part.split == "train_103" else (("wikitext-2-raw-v1", part.split),)


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return _rows((record.value("text") for record in tables[0]), f"Salesforce/wikitext, {part.split}")


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    if part.language != "en" or part.split not in _FILES:
        return ()
    name = _FILES[part.split]
    path = locate(folders, f"wikitext-2-raw/wiki.{name}.raw") or locate(folders, f"wikitext-2/{name}.txt")
    return () if path is None else (path,)


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return _rows(text_lines(paths[0]), str(paths[0]))


_HUB = HubTables("Salesforce/wikitext", _tables, _read_tables)

DATASET = Dataset(
    name="wikitext",
    title="WikiText-2, the training split of WikiText-103 (train_103), and its lines about Harry Potter (train_103_hp)",
    licence="CC BY-SA 3.0 and GFDL",
    citation="Merity et al. 2016, Pointer Sentinel Mixture Models, arXiv 1609.07843",
    homepage="https://huggingface.co/datasets/Salesforce/wikitext",
    schema="fields text: an article, a line a heading or paragraph, tokenised by spaces as published; extra title. "
    "train_103_hp: the 4,358 paragraphs that Chua et al. selected, each a row, as WikiText-103 has them with <unk>",
    splits=("train", "validation", "test", "train_103", SPLIT),
    languages=("en",),
    sources=(_HUB, LinesOfWikiText()),
    formats=(
        Format("text files of WikiText-2: wiki.{train,valid,test}.raw or {train,valid,test}.txt", _find, _read),
        _HUB.clone(),
        COPY,
    ),
)
