"""Parallel questions ▸ pairs for question alignment (Zhang et al. 2024, arXiv 2405.13816).

A question is a task's prompt up to the point where the answer would follow; no answer is ever read. The source
question and the line ``Translate the input from German to English:`` make the prompt, the same question in the target
language is what the model learns to write. Any language of the questions can be the target, which is the paper's
ablation with a target other than English.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from lm_eval_xling import catalog, literals
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.records import QuestionPair, Row

__all__ = ["QUESTIONS", "Questions", "catalog_questions", "pair_questions", "published_questions", "split_pairs"]

Questions: TypeAlias = dict[str, dict[str, str]]
"""Language code to id to question; questions of the same id are parallel."""


def published_questions(paths: Iterable[Path]) -> Questions:
    """Read files in the published format: a JSON array of rows ``input`` and ``answer``.

    ``input`` is a question and the instruction line that names both languages, ``answer`` the question in the target
    language. Rows of several files are joined on their target text, so that each file may hold other rows.

    Raises:
        UserError: if a file is not of that format, or empty.
    """
    questions: Questions = {}
    for path in paths:
        rows = _read_rows(path)
        read: list[tuple[str, str, str, str]] = []
        for number, row in enumerate(rows, start=1):
            try:
                source, spelling, target_spelling = _split_input(row["input"])
                target = row["answer"]
            except (KeyError, TypeError, ValueError):
                raise UserError(
                    "not a row of a published pair file",
                    where=f"{path}, row {number}",
                    fix="each row has `input`, which ends in `Translate the input from X to Y:`, and `answer`",
                ) from None
            if not source.strip() or not target.strip():
                raise UserError("an empty question", where=f"{path}, row {number}", fix="remove the row")
            read.append((source, resolve(spelling).code, target, resolve(target_spelling).code))
        ids = _target_ids(target for _, _, target, _ in read)
        for id_, (source, source_code, target, target_code) in zip(ids, read, strict=True):
            questions.setdefault(source_code, {})[id_] = source
            questions.setdefault(target_code, {})[id_] = target
    return questions


def catalog_questions(dataset: str, split: str, languages: Iterable[str]) -> Questions:
    """Render the parallel rows of a dataset as the questions of its task.

    Raises:
        UserError: if the dataset has no question form, or ``catalog.load_rows`` cannot give the rows.
    """
    if dataset == _PAIRS:
        questions: Questions = {"en": {}}
        for code in (code for code in languages if code != "en"):
            rows = catalog.load_rows(dataset, code, split)
            ids = _target_ids(str(row.target) for row in rows)
            questions[code] = {id_: row.fields["question"] for id_, row in zip(ids, rows, strict=True)}
            questions["en"].update((id_, str(row.target)) for id_, row in zip(ids, rows, strict=True))
        return questions
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


def _target_ids(targets: Iterable[str]) -> list[str]:
    """Return an id for each target text, the same for the same text in every file."""
    # SNLI repeats whole questions; the count keeps the repetitions apart, in the files' order.
    seen: dict[str, int] = {}
    ids: list[str] = []
    for target in targets:
        seen[target] = seen.get(target, 0) + 1
        ids.append(hashlib.sha256(f"{seen[target]}\n{target}".encode()).hexdigest()[:16])
    return ids


_INSTRUCTION = re.compile(r"\n?Translate the input from (?P<source>.+) to (?P<target>.+?):\s*\Z")


def _split_input(text: str) -> tuple[str, str, str]:
    found = _INSTRUCTION.search(text)
    if found is None:
        raise ValueError(text)
    return text[: found.start()], found["source"], found["target"]


def _read_rows(path: Path) -> list[Mapping[str, str]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the pairs: {error.strerror}", where=path, fix="check data.files") from None
    except ValueError as error:
        raise UserError(f"not a JSON array: {error}", where=path, fix="fetch the file again") from None
    if not isinstance(rows, list) or not rows:
        raise UserError("no pairs: the file is empty", where=path, fix="fetch the file again")
    return rows


QUESTIONS: Mapping[str, Callable[[Row], str]] = {
    dataset: render for family in FAMILIES.values() for dataset, render in family.questions.items()
}
"""Dataset to the question form of its task; ``question_pairs`` brings its questions ready made."""
