"""The question-translation pairs on which Zhang et al. 2024 train: prompts of their tasks, each with its translation.

The published files are of three kinds: one source language with English targets (``train`` are those of NLI), English
questions with targets in another language, and mixes of several languages, some of whose targets are Chinese. A mix
stands under the language ``mul``, one split a file. Every row names its languages; where they are not the part's own
and English, they stand in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.pair_files import split_instruction
from lm_eval_xling.catalog.raw import Record, find_all, json_array, rows_of
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.catalog.zhang import REPOSITORY_COMMIT
from lm_eval_xling.languages import MULTIPLE, resolve
from lm_eval_xling.records import Row

__all__ = ["DATASET", "SINGLE_FILES", "languages_of"]

_LANGUAGES = {
    "train": ("data/snli/snli_{}10k_train_question.json", "bn de es hi it sw zh"),
    "sentiment": ("data/ap_emotion/emotion_{}10k_question.json", "bn de es hi it ja ru sv sw th zh"),
    "paraphrase": ("data/paws/paws_{}10k_train_question.json", "de es hi it sw zh"),
}
"""Splits with a file for each source language: its path, and the languages."""

_FILES = {
    "sentiment_en": ("data/ap_emotion/emotion_en10k_question.json", "en"),
    **{
        f"nli_{mix}": (f"data/snli/snli_{mix}10k_question.json", MULTIPLE) for mix in "swbn swhi zhde zhes zhit".split()
    },
    **{
        f"paraphrase_{mix}": (f"data/paws/paws_{mix}10k_question.json", MULTIPLE)
        for mix in "swhi zhde zhes zhit".split()
    },
    **{
        f"sentiment_{mix}": (f"data/ap_emotion/emotion_{mix}10k_question.json", MULTIPLE)
        for mix in "en2zhja2zh ja2zhit2zh sw2zhhi2zh swbn swhi swth zhde zhdeit zhes zhesru zhit zhsw".split()
    },
}
"""Splits of one file: its path and its language."""

SINGLE_FILES = {split: language for split, (_, language) in _FILES.items()}
"""Splits of one file with the language that ``load_rows`` takes for it."""


def languages_of(row: Row) -> tuple[str, str]:
    """Return the languages of a row's question and of its target."""
    source, target = row.extra.get("languages", (row.language, "en"))
    return source, target


def _paths(part: Part) -> tuple[str, ...]:
    if part.split in _FILES:
        path, language = _FILES[part.split]
        return (path,) if part.language == language else ()
    return (_LANGUAGES[part.split][0].format(part.language),)


def _published(part: Part) -> tuple[str, ...]:
    known = part.split in _FILES or part.language in _LANGUAGES[part.split][1].split()
    return _paths(part) if known else ()


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    return rows_of(json_array(paths[0]), _maker(part))


def _maker(part: Part) -> Callable[[int, Record], Row]:
    def make(index: int, record: Record) -> Row:
        found = split_instruction(record.text("input"))
        if found is None:
            raise record.error("field 'input' does not end with 'Translate the input from X to Y:'")
        question, source, target = found[0], resolve(found[1]).code, resolve(found[2]).code
        if part.language not in (MULTIPLE, source):
            raise record.error(f"the question is said to be in {source}, the file's name says {part.language}")
        own = part.split == "train" and target == "en"
        return Row(
            id=str(index),
            language=part.language,
            fields={"question": question},
            target=record.text("answer"),
            extra={} if own else {"languages": [source, target]},
        )

    return make


_WHOLE = Format(
    f"the paper's JSON files: {_LANGUAGES['train'][0].format('LANGUAGE')}, "
    f"{_LANGUAGES['sentiment'][0].format('LANGUAGE')} …",
    find_all(_paths),
    _read,
    names=r"(snli|emotion|paws)_.+10k(_train)?_question\.json",
)
_FIRST = Format(
    "the first rows of them: snli_LANGUAGE_train_question_first2000.json",
    find_all(lambda part: [f"snli_{part.language}_train_question_first2000.json"] if part.split == "train" else []),
    _read,
    names=r"snli_.+_train_question_first2000\.json",
)

DATASET = Dataset(
    name="question_pairs",
    title="questions and their translations, 10,000 a file, for question alignment: all 46 published files",
    licence="not stated by the publisher; derived from SNLI (CC BY-SA 4.0), PAWS (free use with attribution to "
    "Google LLC) and Amazon polarity (no licence stated)",
    citation="Zhang et al. 2024, Large Language Models are Good Spontaneous Multilingual Learners, arXiv 2405.13816",
    homepage="https://github.com/Shimao-Zhang/LLM-Multilingual-Learner",
    schema="fields question (the prompt without the answer, as in the data of its task); target: its translation; "
    "extra languages: of question and target, where they are not the row's and English. train is NLI; splits with a "
    "suffix are one file each: English questions (_en) or a mix of languages (mul)",
    splits=(*_LANGUAGES, *_FILES),
    languages=("en", *"bn de es hi it ja ru sv sw th zh".split(), MULTIPLE),
    sources=(GitHubFiles(*REPOSITORY_COMMIT, _published, _WHOLE),),
    formats=(_WHOLE, _FIRST),
    aligned_by=lambda row: None if row.extra else row.target,
)
