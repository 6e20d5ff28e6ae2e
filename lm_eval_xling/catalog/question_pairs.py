"""The question-translation pairs on which Zhang et al. 2024 train: SNLI questions, each with its English original."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import find_all, json_array
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.catalog.zhang import REPOSITORY_COMMIT
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_PUBLISHED = tuple("bn de es hi it sw zh".split())
_FILE = "data/snli/snli_{}10k_train_question.json"


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    instruction = f"\nTranslate the input from {LANGUAGES[part.language].name} to English:\n"
    for index, record in enumerate(json_array(paths[0])):
        text = record.text("input")
        if not text.endswith(instruction):
            raise record.error(f"field 'input' does not end with {instruction.strip()!r}")
        yield Row(
            id=str(index),
            language=part.language,
            fields={"question": text.removesuffix(instruction)},
            target=record.text("answer"),
        )


_WHOLE = Format(
    f"the paper's JSON files: {_FILE.format('LANGUAGE')}", find_all(lambda part: [_FILE.format(part.language)]), _read
)
_FIRST = Format(
    "the first rows of them: snli_LANGUAGE_train_question_first2000.json",
    find_all(lambda part: [f"snli_{part.language}_train_question_first2000.json"]),
    _read,
)

DATASET = Dataset(
    name="question_pairs",
    title="SNLI questions and their English originals, 10,000 a language, for question alignment",
    licence="not stated by the publisher; derived from SNLI (CC BY-SA 4.0)",
    citation="Zhang et al. 2024, Large Language Models are Good Spontaneous Multilingual Learners, arXiv 2405.13816",
    homepage="https://github.com/Shimao-Zhang/LLM-Multilingual-Learner",
    schema="fields question (the prompt without the answer, as in the nli data); target: the English prompt",
    text="question",
    splits=("train",),
    languages=_PUBLISHED,
    sources=(
        GitHubFiles(
            *REPOSITORY_COMMIT,
            lambda part: (_FILE.format(part.language),) if part.language in _PUBLISHED else (),
            _WHOLE,
        ),
    ),
    formats=(_WHOLE, _FIRST),
    aligned_by=lambda row: row.target,
)
