"""XQuAD: questions on paragraphs of Wikipedia, translated by people, with the answer's place in the paragraph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, find_all, json_object, rows_of
from lm_eval_xling.catalog.sources import GitHubFiles, HubTables
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_LANGUAGES = tuple("en ar de el es hi ro ru th tr vi zh".split())


def _row(record: Record, part: Part) -> Row:
    context = record.text("context")
    answers, starts = record.texts("text"), record.value("answer_start")
    if len(answers) != len(starts):
        raise record.error(f"{len(answers)} answers, but {len(starts)} starts")
    for text, start in zip(answers, starts, strict=True):
        if context[start : start + len(text)] != text:
            raise record.error(f"the answer {text!r} is not at character {start} of its context")
    title = {"title": record.text("title")} if "title" in record else {}
    return Row(
        id=record.text("id"),
        language=part.language,
        fields={"question": record.text("question"), "context": context},
        target=answers[0],
        extra={"answers": list(answers), "answer_start": list(starts), **title},
    )


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return rows_of(_questions(paths[0]), lambda index, record: _row(record, part))


def _questions(path: Path) -> Iterator[Record]:
    for article in json_object(path).records("data"):
        for paragraph in article.records("paragraphs"):
            for question in paragraph.records("qas"):
                answers = question.records("answers")
                yield Record(
                    {
                        "id": question.value("id"),
                        "title": article.value("title"),
                        "context": paragraph.value("context"),
                        "question": question.value("question"),
                        "text": [answer.value("text") for answer in answers],
                        "answer_start": [answer.value("answer_start") for answer in answers],
                    },
                    f"{path}, question {question.value('id')}",
                )


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    return rows_of(tables[0], lambda index, record: _row(_flat(record), part))


def _flat(record: Record) -> Record:
    answers: dict[str, Any] = record.value("answers")
    return Record({**record.values, **answers}, record.where)


def _paths(part: Part) -> tuple[str, ...]:
    return (f"xquad.{part.language}.json",)


_FORMAT = Format("SQuAD 1.1 JSON: xquad.LANGUAGE.json", find_all(_paths), _read, names=r"xquad\..+\.json")
_HUB = HubTables(
    "google/xquad",
    lambda part: ((f"xquad.{part.language}", "validation"),) if part.language in _LANGUAGES else (),
    _read_tables,
)

DATASET = Dataset(
    name="xquad",
    title="XQuAD, 1,190 questions on 240 paragraphs",
    licence="CC BY-SA 4.0",
    citation="Artetxe et al. 2020, On the Cross-lingual Transferability of Monolingual Representations, "
    "arXiv 1910.11856",
    homepage="https://github.com/google-deepmind/xquad",
    schema="fields question, context; target: the first answer; extra answers, answer_start (characters), "
    "title (in the published files; the hub has none)",
    splits=("validation",),
    languages=_LANGUAGES,
    text_field="question",
    sources=(
        GitHubFiles(
            "google-deepmind/xquad",
            "7d30520c717524000f0d9d2f9c10a069acd9d285",
            lambda part: _paths(part) if part.language in _LANGUAGES else (),
            _FORMAT,
        ),
    ),
    formats=(_FORMAT, _HUB.clone()),
)
