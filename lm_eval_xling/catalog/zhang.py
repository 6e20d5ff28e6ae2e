"""The evaluation sets of Zhang et al. 2024: sentiment, natural language inference, paraphrases, in 20 languages.

Gold labels come from the English row at the same index. The label words of the other files are only compared with
them: in Norwegian two are swapped, elsewhere they are wrong senses, but everywhere each stands for one English label,
and where it does not, a row is missing or out of order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.catalog.raw import Record, find_all, json_array
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.records import Row

__all__ = ["PUBLISHED_COLUMNS", "DATASETS", "LABELS", "REPOSITORY_COMMIT"]

LABELS: Mapping[str, tuple[str, ...]] = {
    "sentiment": ("positive", "negative"),
    "nli": ("entailment", "neutral", "contradiction"),
    "paraphrase": ("same", "different"),
}
"""The labels of each dataset in the paper's order: what ``answer`` counts."""

PUBLISHED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "sentiment": {"text": "input"},
    "nli": {"premise": "premise", "hypothesis": "hypothesis"},
    "paraphrase": {"sentence_1": "sentence1", "sentence_2": "sentence2"},
}
"""The published column of each field; ``answer`` is the label's word."""

REPOSITORY_COMMIT = ("Shimao-Zhang/LLM-Multilingual-Learner", "5605459cab2d9c2c170a30268c0ab84cf17bb66a")
"""The paper's repository and the commit of its data."""


def _reader(dataset: str) -> Callable[[Part, Sequence[Path]], Iterator[Row]]:
    """Return the reader of a dataset."""

    def read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
        records, english = list(json_array(paths[0])), list(json_array(paths[-1]))
        answers = [_label(record, dataset) for record in english]
        if len(records) != len(english):
            raise UserError(f"{len(records)} rows, but {len(english)} in English", where=paths[0])
        words: dict[str, int] = {}
        for index, (record, answer) in enumerate(zip(records, answers, strict=True)):
            word = record.text("answer")
            if words.setdefault(word, answer) != answer:
                raise record.error(
                    f"the label {word!r} stands for two English labels: a row is missing or out of order before this",
                    fix="fetch the file again",
                )
            yield Row(
                id=str(index),
                language=part.language,
                fields={field: record.text(column) for field, column in PUBLISHED_COLUMNS[dataset].items()},
                answer=answer,
            )
        if len(words) != len(LABELS[dataset]):
            raise UserError(f"{len(words)} different labels: {', '.join(words)}", where=paths[0])

    return read


def _label(record: Record, dataset: str) -> int:
    word = record.text("answer")
    if word not in LABELS[dataset]:
        raise unknown_name("label", word, LABELS[dataset], where=record.where)
    return LABELS[dataset].index(word)


def _entry(dataset: str, title: str, licence: str, path: str, text_field: str) -> Dataset:
    def paths(part: Part) -> tuple[str, ...]:
        files = (path.format(part.language), path.format("en"))
        return tuple(dict.fromkeys(files)) if part.language in ZHANG else ()

    form = Format(
        f"the paper's JSON files, with the English one: {path.format('LANGUAGE')}",
        find_all(paths),
        _reader(dataset),
        names=re.escape(path.rpartition("/")[2]).replace(r"\{\}", ".+"),
    )
    return Dataset(
        name=dataset,
        title=title,
        licence=f"not stated by the publisher; {licence}",
        citation="Zhang et al. 2024, Large Language Models are Good Spontaneous Multilingual Learners, "
        "arXiv 2405.13816",
        homepage="https://github.com/Shimao-Zhang/LLM-Multilingual-Learner",
        schema=f"fields {', '.join(PUBLISHED_COLUMNS[dataset])}; "
        f"answer: index in {', '.join(LABELS[dataset])}, from the English row",
        splits=("test",),
        languages=ZHANG,
        text_field=text_field,
        sources=(GitHubFiles(*REPOSITORY_COMMIT, paths, form),),
        formats=(form,),
        aligned_by=lambda row: row.answer,
    )


DATASETS = (
    _entry(
        "sentiment",
        "Amazon polarity, 500 reviews, machine-translated",
        "derived from Amazon polarity (no licence stated)",
        "data/ap_emotion/emotion_{}500_test.json",
        "text",
    ),
    _entry(
        "nli",
        "SNLI, 600 pairs, machine-translated",
        "derived from SNLI (CC BY-SA 4.0)",
        "data/snli/snli_{}600_test.json",
        "hypothesis",
    ),
    _entry(
        "paraphrase",
        "PAWS, 500 pairs, machine-translated",
        "derived from PAWS (free use with attribution to Google LLC)",
        "data/paws/paws_{}500_test.json",
        "sentence_1",
    ),
)
