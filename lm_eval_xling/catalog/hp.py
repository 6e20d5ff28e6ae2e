"""The Harry Potter quiz of Chua et al. 2024."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all, json_lines
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
    for record in json_lines(paths[0]):
        yield _row(record, part, str(record.value("id")), "answer")


DATASET = Dataset(
    name="hp",
    title="Harry Potter quiz: 300 questions on characters and spells",
    licence="not stated by the publisher",
    citation="Chua et al. 2024, Crosslingual Capabilities and Knowledge Barriers in Multilingual Large Language "
    "Models, arXiv 2406.16135",
    homepage="https://huggingface.co/datasets/cross-ling-know/HarryPotter-Quiz",
    schema="fields question; 4 options; answer",
    splits=("test",),
    languages=("en", "fr", "de", "es", "it"),
    formats=(
        Format(
            "JSON lines: quiz_LANGUAGE.jsonl with id, question, A, B, C, D, answer",
            find_all(lambda part: [f"quiz_{part.language}.jsonl"]),
            _read_lines,
        ),
    ),
    aligned_by=lambda row: row.answer,
)
