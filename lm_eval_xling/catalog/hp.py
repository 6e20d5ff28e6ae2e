"""The Harry Potter quiz of Chua et al. 2024."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all, json_lines, rows_of
from lm_eval_xling.catalog.sources import HubTables, Table
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["DATASET"]


def _row(record: Record, part: Part, identifier: str, answer: str) -> Row:
    return Row(
        id=identifier,
        language=part.language,
        fields={"question": record.text("question")},
        options=tuple(record.text(letter) for letter in "ABCD"),
        answer=record.letter(answer),
    )


def _read_lines(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return rows_of(json_lines(paths[0]), lambda index, record: _row(record, part, str(record.value("id")), "answer"))


def _tables(part: Part) -> tuple[Table, ...]:
    # One split a language, named by the language's English name.
    return ((None, LANGUAGES[part.language].name),) if part.language in _PUBLISHED else ()


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return rows_of(tables[0], lambda index, record: _row(record, part, str(index), "GT"))


_PUBLISHED = ("en", "fr", "de", "es", "it")
_HUB = HubTables("cross-ling-know/HarryPotter-Quiz", _tables, _read_tables)

DATASET = Dataset(
    name="hp",
    title="Harry Potter quiz: 300 questions on characters and spells",
    licence="not stated by the publisher",
    citation="Chua et al. 2024, Crosslingual Capabilities and Knowledge Barriers in Multilingual Large Language "
    "Models, arXiv 2406.16135",
    homepage="https://huggingface.co/datasets/cross-ling-know/HarryPotter-Quiz",
    schema="fields question; 4 options; answer",
    text="question",
    splits=("test",),
    languages=_PUBLISHED,
    sources=(_HUB,),
    formats=(
        Format(
            "JSON lines: quiz_LANGUAGE.jsonl with id, question, A, B, C, D, answer",
            find_all(lambda part: [f"quiz_{part.language}.jsonl"]),
            _read_lines,
        ),
        _HUB.clone(),
    ),
    aligned_by=lambda row: row.answer,
)
