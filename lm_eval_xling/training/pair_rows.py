"""Configuration ▸ question pairs, and what they were read from."""

from __future__ import annotations

import hashlib
import json

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.pairs import Questions, catalog_questions, pair_questions, published_questions
from lm_eval_xling.records import QuestionPair
from lm_eval_xling.training.configuration import PairData
from lm_eval_xling.training.publishing import DataFile, describe_files

__all__ = ["read_pairs", "refuse_test_split"]


def read_pairs(data: PairData) -> tuple[list[QuestionPair], list[DataFile]]:
    """Return the pairs of each source language with the target, and what they were read from.

    Raises:
        UserError: if no pairs are given, or those that are cannot be read or may not be trained on.
    """
    questions, files = _read(data)
    sources = data.sources or tuple(code for code in questions if code != resolve(data.target).code)
    return pair_questions(questions, sources, data.target, limit=data.limit), files


def refuse_test_split(dataset: str, split: str, allowed: bool) -> None:
    """Refuse to train on what is scored, unless that was asked for.

    Raises:
        UserError: if the split is ``test`` and ``train_on_test`` is not set.
    """
    if split == "test" and not allowed:
        raise UserError(
            f"{dataset} would be trained on its test split, on which models are scored",
            where="data.split",
            fix="choose another split or dataset; or, to be evaluated on other tasks, set data.train_on_test=true",
        )


def _read(data: PairData) -> tuple[Questions, list[DataFile]]:
    if data.files and data.dataset is None:
        return published_questions(data.files), describe_files(data.files)
    if data.dataset is not None and not data.files:
        refuse_test_split(data.dataset, data.split, data.train_on_test)
        languages = resolve_all([*data.sources, data.target])
        questions = catalog_questions(data.dataset, data.split, languages)
        return questions, [
            DataFile(f"{data.dataset}/{data.split}/{code}", hashlib.sha256(json.dumps(rows).encode()).hexdigest())
            for code, rows in questions.items()
        ]
    raise UserError(
        "data.files and data.dataset are both given" if data.files else "no pairs are given",
        where="data",
        fix="set data.files=[pairs.json, …], or data.dataset=question_pairs with data.sources=[zh, …]",
    )
