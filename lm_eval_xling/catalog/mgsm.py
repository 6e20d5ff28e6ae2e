"""MGSM: 250 problems of GSM8K, translated by people into ten languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, csv_records, find_all, rows_of
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_LANGUAGES = tuple("en bn de es fr ja ru sw te th zh".split())


def _paths(part: Part) -> tuple[str, ...]:
    return (f"mgsm/mgsm_{part.language}.tsv",)


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    records = csv_records(paths[0], ("question", "answer"), delimiter="\t")
    return rows_of(records, lambda index, record: _row(record, part, index))


def _row(record: Record, part: Part, index: int) -> Row:
    return Row(
        id=str(index),
        language=part.language,
        fields={"question": record.text("question")},
        target=record.number("answer"),
    )


_FORMAT = Format("tab-separated question and answer: mgsm_LANGUAGE.tsv", find_all(_paths), _read)

DATASET = Dataset(
    name="mgsm",
    title="MGSM, 250 grade-school mathematics problems",
    licence="CC BY 4.0",
    citation="Shi et al. 2022, Language Models are Multilingual Chain-of-Thought Reasoners, arXiv 2210.03057",
    homepage="https://github.com/google-research/url-nlp/tree/main/mgsm",
    schema="fields question; target: the number, without thousands commas",
    text="question",
    splits=("test",),
    languages=_LANGUAGES,
    sources=(
        GitHubFiles(
            "google-research/url-nlp",
            "452a21ad3dae5668c06ceeac21ff073e1e40f9be",
            lambda part: _paths(part) if part.language in _LANGUAGES else (),
            _FORMAT,
        ),
    ),
    formats=(_FORMAT,),
    aligned_by=lambda row: row.target,
)
