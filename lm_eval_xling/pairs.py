"""Parallel questions ▸ pairs for question alignment (Zhang et al. 2024, arXiv 2405.13816).

A question is a task's prompt up to the point where the answer would follow; no answer is ever read. The source
question and the line ``Translate the input from German to English:`` make the prompt, the same question in the target
language is what the model learns to write. Any language of the questions can be the target, which is the paper's
ablation with a target other than English.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from lm_eval_xling import catalog, literals
from lm_eval_xling.catalog.pair_files import TranslatedQuestion, read_translated_questions
from lm_eval_xling.catalog.question_pairs import SINGLE_FILES, languages_of
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.records import QuestionPair, Row

__all__ = ["QUESTIONS", "Questions", "catalog_questions", "pair_questions", "published_questions", "split_pairs"]

Questions: TypeAlias = dict[str, dict[str, str]]
"""Language code to id to question; questions of the same id are parallel."""


def published_questions(paths: Iterable[Path]) -> Questions:
    """Read pair files, in the published format or in one that ``read_translated_questions`` reads, too.

    Rows of several files are joined on their target text, so that each file may hold other rows.

    Raises:
        UserError: if a file cannot be read or is empty, or a row is no pair.
    """
    questions: Questions = {}
    for path in paths:
        _add(questions, read_translated_questions(path))
    return questions


def catalog_questions(dataset: str, split: str, languages: Iterable[str]) -> Questions:
    """Render the parallel rows of a dataset as the questions of its task.

    Args:
        dataset: name in the catalog, or the path of a description of own data (``.yaml``).
        split: of the dataset; own data has one.
        languages: codes.

    Raises:
        UserError: if the dataset has no question form, or ``catalog.load_rows`` cannot give the rows.
    """
    if dataset == _PAIRS:
        only = SINGLE_FILES.get(split)
        questions: Questions = {} if only else {"en": {}}
        for code in [only] if only is not None else [code for code in languages if code != "en"]:
            rows = catalog.load_rows(dataset, code, split)
            found = [(row.fields["question"], str(row.target), *languages_of(row)) for row in rows]
            _add(questions, [TranslatedQuestion(text, source, goal, to) for text, goal, source, to in found])
        return questions
    if Path(dataset).suffix in (".yaml", ".yml"):
        family = own_family(Path(dataset))
        ((name, render),) = family.questions.items()
        assert family.load is not None
        return {code: {row.id: render(row) for row in family.load(name, code, split)} for code in languages}
    if dataset not in QUESTIONS:
        raise unknown_name("dataset with questions", dataset, [_PAIRS, *QUESTIONS])
    render = QUESTIONS[dataset]
    return {code: {row.id: render(row) for row in catalog.load_rows(dataset, code, split)} for code in languages}


def pair_questions(
    questions: Questions, sources: Sequence[str], target: str, *, limit: int | None = None
) -> list[QuestionPair]:
    """Pair the questions of each source language with the target language's.

    Args:
        questions: parallel questions.
        sources: source languages, in any spelling; their pairs follow one another.
        target: target language.
        limit: at most so many pairs of each source language, the first ones.

    Raises:
        UserError: if no language is given, a source is the target, or a source shares no question with the target.
    """
    goal, codes = resolve(target).code, resolve_all(sources)
    if not codes:
        raise UserError("no source language", where="data.sources", fix="name at least one, such as data.sources=[zh]")
    pairs: list[QuestionPair] = []
    for code in codes:
        if code == goal:
            raise UserError(
                f"{resolve(code).name} is both a source language and the target",
                where="data.sources",
                fix=f"a pair needs two languages: remove {code} from data.sources, or choose another data.target",
            )
        shared = [id_ for id_ in questions.get(code, {}) if id_ in questions.get(goal, {})]
        if not shared:
            raise UserError(
                f"no question is there in both {resolve(code).name} and {resolve(goal).name}",
                where="data",
                fix=f"languages with questions: {', '.join(sorted(questions)) or 'none'}",
            )
        instruction = literals.word("en", "instructions.translate_input").format(
            source=resolve(code).name, target=resolve(goal).name
        )
        pairs += [
            QuestionPair(id_, code, goal, f"{questions[code][id_]}\n{instruction}\n", questions[goal][id_])
            for id_ in shared[:limit]
        ]
    return pairs


def split_pairs(
    pairs: Sequence[QuestionPair], share: float, *, seed: int
) -> tuple[list[QuestionPair], list[QuestionPair]]:
    """Split into training and validation pairs by id, so that no validation target is learnt from another language.

    Args:
        pairs: all pairs.
        share: share of the ids that is held out, in [0, 1).
        seed: draws the ids; the draw depends on the id and the seed alone.
    """

    def draw(id_: str) -> float:
        return int.from_bytes(hashlib.sha256(f"{seed}\n{id_}".encode()).digest()[:8], "big") / 2**64

    held_out = {id_ for id_ in {pair.id for pair in pairs} if draw(id_) < share}
    return [pair for pair in pairs if pair.id not in held_out], [pair for pair in pairs if pair.id in held_out]


_PAIRS = "question_pairs"


def _add(questions: Questions, pairs: Iterable[TranslatedQuestion]) -> None:
    """Add pairs under an id of their target text, which is the same for the same text in every file."""
    # SNLI repeats whole questions; the count keeps the repetitions apart, in the files' order. It is kept for each
    # source language, because a file may have a question in several.
    seen: dict[tuple[str, str, str], int] = {}
    for pair in pairs:
        key = pair.source, pair.target, pair.translation
        seen[key] = seen.get(key, 0) + 1
        id_ = hashlib.sha256(f"{seen[key]}\n{pair.translation}".encode()).hexdigest()[:16]
        questions.setdefault(pair.source, {})[id_] = pair.question
        questions.setdefault(pair.target, {})[id_] = pair.translation


QUESTIONS: Mapping[str, Callable[[Row], str]] = {
    dataset: render for family in FAMILIES.values() for dataset, render in family.questions.items()
}
"""Dataset to the question form of its task; ``question_pairs`` brings its questions ready made."""
