"""Belebele: reading comprehension on FLORES passages, translated by people, parallel in every language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all, json_lines, rows_of
from lm_eval_xling.catalog.sources import HubTables
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_PUBLISHED = tuple(dict.fromkeys(("en", *LANGUAGES)))  # and 76 more that the table of languages does not have


def _row_of_letters(record: Record, part: Part) -> Row:
    return Row(
        id=record.text("id"),
        language=part.language,
        fields={"question": record.text("question"), "context": record.text("passage")},
        options=tuple(record.text(letter) for letter in "ABCD"),
        answer=record.letter("answer"),
    )


def _row_of_hub(record: Record, part: Part) -> Row:
    return Row(
        id=f"{record.text('link')} {record.value('question_number')}",
        language=part.language,
        fields={"question": record.text("question"), "context": record.text("flores_passage")},
        options=tuple(record.text(f"mc_answer{position}") for position in range(1, 5)),
        answer=record.index("correct_answer_num", 4, first=1),
    )


def _read_lines(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return rows_of(json_lines(paths[0]), lambda index, record: _row_of_letters(record, part))


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return rows_of(tables[0], lambda index, record: _row_of_hub(record, part))


_HUB = HubTables(
    "facebook/belebele",
    lambda part: ((LANGUAGES[part.language].flores, "test"),) if part.language in LANGUAGES else (),
    _read_tables,
)

DATASET = Dataset(
    name="belebele",
    title="Belebele, 900 multiple-choice questions on 488 passages",
    licence="CC BY-SA 4.0",
    citation="Bandarkar et al. 2023, The Belebele Benchmark, arXiv 2308.16884",
    homepage="https://huggingface.co/datasets/facebook/belebele",
    schema="fields question, context; 4 options; answer; ids: the passage's link and the question's number",
    splits=("test",),
    languages=_PUBLISHED,
    text_field="question",
    sources=(_HUB,),
    formats=(
        Format(
            "JSON lines: belebele_LANGUAGE.jsonl with id, passage, question, A, B, C, D, answer",
            find_all(lambda part: [f"belebele_{part.language}.jsonl"]),
            _read_lines,
            names=r"belebele_.+\.jsonl",
        ),
        _HUB.clone(),
    ),
)
