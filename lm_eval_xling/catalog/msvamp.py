"""MSVAMP: 1,000 arithmetic word problems of SVAMP in ten languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all, json_lines, rows_of
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_LANGUAGES = tuple("en bn zh fr de ja ru es sw th".split())


def _paths(part: Part) -> tuple[str, ...]:
    if part.language not in LANGUAGES:
        return ()
    return (f"step1_supervised_finetuning/data/msvamp/test_{LANGUAGES[part.language].name}.json",)


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    records = json_lines(paths[0])
    return rows_of(records, lambda index, record: _row(record, part, index))


def _row(record: Record, part: Part, index: int) -> Row:
    return Row(
        id=str(index),
        language=part.language,
        fields={"question": record.text("m_query")},
        target=record.number("response"),
        extra={"equation": record.text("equation")},
    )


_FORMAT = Format("JSON lines with m_query and response: test_LANGUAGE.json, English names", find_all(_paths), _read)

DATASET = Dataset(
    name="msvamp",
    title="MSVAMP, 1,000 arithmetic word problems",
    licence="MIT",
    citation="Chen et al. 2023, Breaking Language Barriers in Multilingual Mathematical Reasoning, arXiv 2310.20246",
    homepage="https://github.com/microsoft/MathOctopus",
    schema="fields question; target: the number, in its shortest form; extra equation",
    text="question",
    splits=("test",),
    languages=_LANGUAGES,
    sources=(
        GitHubFiles(
            "microsoft/MathOctopus",
            "4d385db696c420b212ccf861fcfab13c1499a576",
            lambda part: _paths(part) if part.language in _LANGUAGES else (),
            _FORMAT,
        ),
    ),
    formats=(_FORMAT,),
    aligned_by=lambda row: row.target,
)
