"""Evaluations of one model, family and setting on a common table of items, and the contrasts between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lm_eval_xling.report.conditions import BASE, LoggedCondition
from lm_eval_xling.report.evaluations import EvaluatedModel, Evaluation, Samples, Setting
from lm_eval_xling.statistics import cluster_numbers

__all__ = [
    "Block",
    "Contrast",
    "contrasts",
    "has_item_scores",
    "make_blocks",
    "matrix_of",
    "other_parameters",
    "reference_row",
]

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Block:
    """What may be compared within one model. T evaluations, N items in the order of the first that has each."""

    model: EvaluatedModel
    """The model."""
    family: str
    """The family."""
    setting: Setting
    """The setting."""
    metric: str
    """The main metric."""
    sign: int
    """1 where more is better, -1 where less is."""
    evaluations: tuple[Evaluation, ...]
    """T evaluations, each with samples."""
    ids: tuple[str, ...]
    """N item ids."""
    scores: Array
    """Shape (T, N): main metric; nan where the evaluation lacks the item."""
    chosen: Array
    """Shape (T, N): index of the chosen option; -1 where there is none."""
    positions: Array
    """Shape (T, N): row of the item in the evaluation's samples; -1 where it lacks the item."""
    subjects: tuple[str, ...]
    """N subjects; empty strings where there are none."""
    clusters: Array | None
    """Shape (N,): integer label of what makes items dependent; None where they are independent."""

    def clusters_of(self, items: Array) -> Array | None:
        """Return the clusters of some items, by index or mask; None where items are independent."""
        return None if self.clusters is None else self.clusters[items]

    def only(self, tasks: Iterable[str]) -> Block:
        """Return the block without the other tasks; items stay."""
        wanted = set(tasks)
        rows = [index for index, evaluation in enumerate(self.evaluations) if evaluation.task in wanted]
        return Block(
            self.model,
            self.family,
            self.setting,
            self.metric,
            self.sign,
            tuple(self.evaluations[row] for row in rows),
            self.ids,
            self.scores[rows],
            self.chosen[rows],
            self.positions[rows],
            self.subjects,
            self.clusters,
        )


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two conditions of a block, item by item; shape (N,) each, nan where an item lacks a part."""

    scope: str
    """``task``, ``mean`` or ``crosslingual``, as in the report."""
    condition: str
    """Name of ``second``."""
    reference: str
    """Name of ``first``."""
    tasks: tuple[str, ...]
    """Tasks that it needs."""
    first: Array
    """Scores in the reference."""
    second: Array
    """Scores in the other condition."""


def make_blocks(evaluations: Iterable[Evaluation]) -> list[Block]:
    """Group the evaluations that have scores of items by model, family, setting and main metric."""
    groups: dict[tuple[EvaluatedModel, str, Setting, str], list[tuple[Evaluation, Samples]]] = defaultdict(list)
    for evaluation in evaluations:
        if evaluation.samples is not None and has_item_scores(evaluation):
            key = (evaluation.model, evaluation.family, evaluation.setting, evaluation.metric)
            groups[key].append((evaluation, evaluation.samples))
    return [_block(*key, group) for key, group in groups.items()]


def _block(
    model: EvaluatedModel, family: str, setting: Setting, metric: str, group: Sequence[tuple[Evaluation, Samples]]
) -> Block:
    # The reference comes first, so that subjects and clusters are named in its language.
    group = sorted(group, key=lambda pair: pair[0].task)
    reference = reference_row([evaluation for evaluation, _ in group])
    if reference is not None:
        group = [group[reference], *group[:reference], *group[reference + 1 :]]
    column: dict[str, int] = {}
    subjects: list[str] = []
    labels: list[str] = []
    for number, (_, samples) in enumerate(group):
        known = {
            cluster: labels[column[item]]
            for item, cluster in zip(samples.ids, samples.clusters, strict=True)
            if item in column and labels[column[item]]
        }
        for item, subject, cluster in zip(samples.ids, samples.groups, samples.clusters, strict=True):
            if item not in column:
                column[item] = len(column)
                subjects.append(subject)
                # A country's name in another language is another label; items that both have say which is which.
                labels.append(known.setdefault(cluster, f"{number} {cluster}") if cluster else "")
    scores = np.full((len(group), len(column)), np.nan)
    chosen = np.full(scores.shape, -1, dtype=np.int64)
    positions = np.full(scores.shape, -1, dtype=np.int64)
    for row, (_, samples) in enumerate(group):
        columns = np.fromiter((column[item] for item in samples.ids), dtype=np.int64, count=len(samples.ids))
        values = samples.metrics[metric]
        scores[row, columns] = np.where(np.isfinite(values), values, np.nan)
        chosen[row, columns] = samples.chosen
        positions[row, columns] = np.arange(len(columns))
    return Block(
        model=model,
        family=family,
        setting=setting,
        metric=metric,
        sign=1 if group[0][0].higher_is_better[metric] else -1,
        evaluations=tuple(evaluation for evaluation, _ in group),
        ids=tuple(column),
        scores=scores,
        chosen=chosen,
        positions=positions,
        subjects=tuple(subjects),
        clusters=cluster_numbers(labels),
    )


def reference_row(evaluations: Sequence[Evaluation]) -> int | None:
    """Return the index of the evaluation that stands wholly in English, or None where there is none."""

    def rank(evaluation: Evaluation) -> int:
        condition = evaluation.condition
        if condition.is_english:
            # Demonstrations and labels count last: they are read beside the item.
            return 0 if all(code == BASE for _, code in condition.languages) else 1
        return 2 if condition.question == BASE and not condition.answer else 3

    rows = sorted(range(len(evaluations)), key=lambda row: (rank(evaluations[row]), evaluations[row].task))
    return rows[0] if rows and rank(evaluations[rows[0]]) < 3 else None


def has_item_scores(evaluation: Evaluation) -> bool:
    """Tell whether items have a score of their own in the main metric (corpus metrics such as BLEU have none)."""
    samples = evaluation.samples
    return samples is not None and bool(np.isfinite(samples.metrics[evaluation.metric]).any())


def matrix_of(evaluations: Sequence[Evaluation]) -> tuple[list[str], list[str], dict[tuple[str, str], int]]:
    """Return question languages, answer languages, and the index of the evaluation of each pair, English first.

    A cell holds a task whose questions are all in the one language and whose answers, with every option, are all in
    the other. Where there are further parts (a context, demonstrations) they stand in all cells with the question, or
    in all with the answer, or in all in one language, so that neighbours differ in what the axes say and in nothing
    else: of several such layouts that with the most cells is taken.
    """
    layouts: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], int]] = defaultdict(dict)
    for index, evaluation in enumerate(evaluations):
        condition = evaluation.condition
        if condition.is_pair:
            for layout in product(*(_roles(condition, part, code) for part, code in condition.others)):
                layouts[layout].setdefault((condition.question, condition.answer), index)
    # Of equally many cells the first in the order question, answer, a fixed language, part by part.
    cells = max((layouts[key] for key in sorted(layouts, key=_preference)), key=len, default={})

    def ordered(codes: Iterable[str]) -> list[str]:
        return sorted(set(codes), key=lambda code: (code != BASE, code))

    return ordered(q for q, _ in cells), ordered(a for _, a in cells), cells


def _roles(condition: LoggedCondition, part: str, code: str) -> list[tuple[str, str]]:
    roles = [(part, role) for role in ("question", "answer") if code == condition.language(role)]
    return [*roles, (part, f"in {code}")]


def _preference(layout: tuple[tuple[str, str], ...]) -> list[tuple[str, int, str]]:
    order = ("question", "answer")
    return [(part, order.index(role) if role in order else len(order), role) for part, role in layout]


def contrasts(block: Block) -> list[Contrast]:
    """Return every comparison with the reference, and of equal with different languages, that the block allows."""
    found: list[Contrast] = []
    at = reference_row(block.evaluations)
    if at is not None:
        others = [index for index in range(len(block.evaluations)) if index != at]
        names = {index: block.evaluations[index].name for index in others}
        found += [_against(block, at, [index], "task", names[index]) for index in others]
        found += [_against(block, at, rows, "mean", name) for name, rows in _averaged(block, others).items()]
    found += _crosslingual(block)
    return found


def _averaged(block: Block, others: Sequence[int]) -> dict[str, list[int]]:
    """Groups of tasks over which a mean says something: one placement in several languages, or a whole matrix."""
    by_placement: dict[str, list[int]] = defaultdict(list)
    seen: set[tuple[str, LoggedCondition]] = set()
    for index in sorted(others, key=lambda index: " " in block.evaluations[index].task):
        evaluation = block.evaluations[index]
        # Parameters make conditions, too: another draw is no further language, and no language counts twice.
        name = f"{evaluation.condition.placement}{other_parameters(evaluation.task)}".strip()
        changed = " " in evaluation.task
        if changed and (evaluation.condition.placement == "mixup" or (name, evaluation.condition) in seen):
            continue
        seen.add((name, evaluation.condition))
        by_placement[name].append(index)
    kept = [index for rows in by_placement.values() for index in rows]
    pairs = [index for index in kept if block.evaluations[index].condition.is_pair]
    # A matrix of question and answer languages has a placement a cell, or one for all.
    if len(by_placement) in (1, len(kept)) and _is_matrix([block.evaluations[index] for index in pairs]):
        return {f"all other pairs (mean of {len(pairs)})": pairs}
    return {
        f"{name or 'other languages'} (mean of {len(rows)})": rows
        for name, rows in by_placement.items()
        if len(rows) > 1
    }


def other_parameters(task: str) -> str:
    """Return those of the parameters after a task's name that name no language of an item."""
    named = [part for part in task.split(" ")[1:] if "=" in part]
    left = [part for part in named if "language" not in part.partition("=")[0] or part.startswith("base_language")]
    return "".join(f" {part}" for part in left)


def _is_matrix(evaluations: Sequence[Evaluation]) -> bool:
    asked = {evaluation.condition.question for evaluation in evaluations}
    answered = {evaluation.condition.answer for evaluation in evaluations}
    both = {(evaluation.condition.question, evaluation.condition.answer) for evaluation in evaluations}
    return len(evaluations) > 2 and min(len(asked), len(answered)) > 1 and any(q != a for q, a in both)


def _against(block: Block, at: int, rows: Sequence[int], scope: str, condition: str) -> Contrast:
    return Contrast(
        scope=scope,
        condition=condition,
        reference=block.evaluations[at].name,
        tasks=tuple(block.evaluations[row].task for row in (at, *rows)),
        first=block.scores[at],
        second=block.scores[list(rows)].mean(axis=0),
    )


def _crosslingual(block: Block) -> list[Contrast]:
    asked, answered, cells = matrix_of(block.evaluations)
    both = [code for code in asked if code in answered]
    if len(both) < 2 or any((q, a) not in cells for q in both for a in both):
        return []
    same = [cells[code, code] for code in both]
    different = [cells[q, a] for q in both for a in both if q != a]
    return [
        Contrast(
            scope="crosslingual",
            condition=f"different languages (mean of {len(different)})",
            reference=f"same language (mean of {len(same)})",
            tasks=tuple(block.evaluations[row].task for row in (*same, *different)),
            first=block.scores[same].mean(axis=0),
            second=block.scores[different].mean(axis=0),
        )
    ]
