"""Arithmetic word problems whose answer is a number: MGSM, 250 of GSM8K, and MSVAMP, 1,000 of SVAMP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, csv_records, find_all, json_lines, rows_of
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["DATASETS"]


def _entry(
    name: str,
    title: str,
    licence: str,
    citation: str,
    homepage: str,
    languages: str,
    repository: tuple[str, str],
    layout: str,
    names: str,
    path: Callable[[str], str],
    read: Callable[[Path], Iterable[Record]],
    *,
    columns: tuple[str, str],
    extra: tuple[str, ...] = (),
) -> Dataset:
    """Return an entry of rows whose id is their place in the file.

    Args:
        name: of the dataset.
        title: as in ``Dataset``.
        licence: as in ``Dataset``.
        citation: as in ``Dataset``.
        homepage: as in ``Dataset``.
        languages: codes, separated by spaces.
        repository: owner/name on GitHub, and the commit.
        layout: the files in words.
        names: as in ``Format``.
        path: from a language code to the file's path in the repository.
        read: from a file to its records.
        columns: of the problem and of its answer.
        extra: columns that are kept as they are.
    """
    published = tuple(languages.split())
    question, answer = columns

    def rows(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
        return rows_of(
            read(paths[0]),
            lambda index, record: Row(
                id=str(index),
                language=part.language,
                fields={"question": record.text(question)},
                target=record.number(answer),
                extra={column: record.text(column) for column in extra},
            ),
        )

    form = Format(layout, find_all(lambda part: [path(part.language)]), rows, names=names)
    return Dataset(
        name=name,
        title=title,
        licence=licence,
        citation=citation,
        homepage=homepage,
        schema="fields question; target: the number, in its shortest form and without thousands commas"
        + "".join(f"; extra {column}" for column in extra),
        splits=("test",),
        languages=published,
        text_field="question",
        sources=(
            GitHubFiles(*repository, lambda part: (path(part.language),) if part.language in published else (), form),
        ),
        formats=(form,),
        aligned_by=lambda row: row.target,
    )


def _english_name(language: str) -> str:
    return LANGUAGES[language].name if language in LANGUAGES else language


DATASETS = (
    _entry(
        name="mgsm",
        title="MGSM, 250 grade-school mathematics problems",
        licence="CC BY 4.0",
        citation="Shi et al. 2022, Language Models are Multilingual Chain-of-Thought Reasoners, arXiv 2210.03057",
        homepage="https://github.com/google-research/url-nlp/tree/main/mgsm",
        languages="en bn de es fr ja ru sw te th zh",
        repository=("google-research/url-nlp", "452a21ad3dae5668c06ceeac21ff073e1e40f9be"),
        layout="tab-separated question and answer: mgsm_LANGUAGE.tsv",
        names=r"mgsm_.+\.tsv",
        path=lambda language: f"mgsm/mgsm_{language}.tsv",
        read=lambda path: csv_records(path, ("question", "answer"), delimiter="\t"),
        columns=("question", "answer"),
    ),
    _entry(
        name="msvamp",
        title="MSVAMP, 1,000 arithmetic word problems",
        licence="MIT",
        citation="Chen et al. 2023, Breaking Language Barriers in Multilingual Mathematical Reasoning, "
        "arXiv 2310.20246",
        homepage="https://github.com/microsoft/MathOctopus",
        languages="en bn zh fr de ja ru es sw th",
        repository=("microsoft/MathOctopus", "4d385db696c420b212ccf861fcfab13c1499a576"),
        layout="JSON lines with m_query and response: test_LANGUAGE.json, English names",
        names=r"test_.+\.json",
        path=lambda language: f"step1_supervised_finetuning/data/msvamp/test_{_english_name(language)}.json",
        read=json_lines,
        columns=("m_query", "response"),
        extra=("equation",),
    ),
)
