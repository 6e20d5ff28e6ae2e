"""Barriers of each model, their change from a baseline, and where in the subjects they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.report.blocks import Array, Block, Contrast, contrasts, has_item_scores, reference_row
from lm_eval_xling.report.evaluations import Evaluation, Note
from lm_eval_xling.report.schema import BarrierRow, ChangeRow, SubjectRow
from lm_eval_xling.statistics import benjamini_hochberg, paired_difference

__all__ = ["aligned", "barrier_rows", "change_rows", "gap", "subject_rows"]

_MOST_SUBJECTS = 120
_FEWEST_ITEMS = 10


def _paired(block: Block, first: Array, second: Array, rows: Array | None = None) -> tuple[PairedDifference, Array]:
    """Compare on the items that both have, more being better, and return which items those are."""
    usable = np.isfinite(first) & np.isfinite(second)
    if rows is not None:
        usable &= rows
    first, second = block.sign * first[usable], block.sign * second[usable]
    return paired_difference(first, second, block.clusters_of(usable)), usable


def barrier_rows(blocks: Iterable[Block], evaluations: Sequence[Evaluation]) -> list[BarrierRow]:
    """Return the barriers of all blocks, and from aggregates those of tasks without samples."""
    rows: list[BarrierRow] = []
    for block in blocks:
        for contrast in contrasts(block):
            if not (np.isfinite(contrast.first) & np.isfinite(contrast.second)).any():
                continue
            paired, usable = _paired(block, contrast.first, contrast.second)
            rows.append(
                BarrierRow(
                    model=block.model.label,
                    family=block.family,
                    setting=block.setting.label,
                    metric=block.metric,
                    scope=contrast.scope,
                    condition=contrast.condition,
                    reference=contrast.reference,
                    reference_score=float(contrast.first[usable].mean()),
                    score=float(contrast.second[usable].mean()),
                    barrier=paired.difference.estimate,
                    paired=paired,
                )
            )
    rows += _from_aggregates(evaluations)
    return _adjusted(rows)


def _from_aggregates(evaluations: Sequence[Evaluation]) -> list[BarrierRow]:
    rows = []
    groups: dict[tuple[object, ...], list[Evaluation]] = {}
    for evaluation in evaluations:
        key = (evaluation.model, evaluation.family, evaluation.setting, evaluation.metric)
        groups.setdefault(key, []).append(evaluation)
    for group in groups.values():
        at = reference_row(group)
        if at is None:
            continue
        reference = group[at]
        for other in group:
            if other is reference or (has_item_scores(other) and has_item_scores(reference)):
                continue
            metric = reference.metric
            high, low = reference.metrics[metric][0], other.metrics[metric][0]
            if not (math.isfinite(high) and math.isfinite(low)):
                continue
            rows.append(
                BarrierRow(
                    model=other.model.label,
                    family=other.family,
                    setting=other.setting.label,
                    metric=metric,
                    scope="task",
                    condition=other.name,
                    reference=reference.name,
                    reference_score=high,
                    score=low,
                    barrier=(high - low) * (1 if reference.higher_is_better[metric] else -1),
                    paired=None,
                )
            )
    return rows


def change_rows(blocks: Sequence[Block], baselines: Mapping[str, str], notes: list[Note]) -> list[ChangeRow]:
    """Return what changed from each model's baseline, on the items that both have.

    Args:
        blocks: of all models.
        baselines: label of a model to the label of its baseline.
        notes: receives why something was not compared.
    """
    rows: list[ChangeRow] = []
    by_key = {(block.model.label, block.family, block.setting, block.metric): block for block in blocks}
    for block in blocks:
        baseline = baselines.get(block.model.label)
        if baseline is None:
            continue
        base = by_key.get((baseline, block.family, block.setting, block.metric))
        if base is None:
            others = {b.setting.label for b in blocks if (b.model.label, b.family) == (baseline, block.family)}
            why = f"the baseline was run {' and '.join(sorted(others))}" if others else "the baseline was not run"
            text = f"{block.family}, {block.setting.label}: not compared with {baseline}, because {why}"
            notes.append(Note("refused", text, block.model.label))
            continue
        rows += _changes(base, block, notes)
    return _adjusted(rows)


def _changes(base: Block, block: Block, notes: list[Note]) -> list[ChangeRow]:
    before, after = aligned(base, block, notes)
    if not after.ids or not after.evaluations:
        return []
    rows = []
    old, new = contrasts(before), contrasts(after)
    levels = [(e.name, "task", before.scores[i], after.scores[i]) for i, e in enumerate(after.evaluations)]
    levels += [(n.condition, n.scope, o.second, n.second) for o, n in zip(old, new, strict=True) if n.scope != "task"]
    for name, tasks in _by_language(after.evaluations).items():
        means = (block.only(tasks).scores.mean(axis=0) for block in (before, after))
        levels.append((name, "language", *means))
    for condition, scope, first, second in levels:
        rows.append(_change(before, after, "score", scope, condition, second, first))
    for was, now in zip(old, new, strict=True):
        change = _change(before, after, "barrier", now.scope, now.condition, gap(after, now), gap(before, was))
        rows.append(change)
    return [row for row in rows if row is not None]


def _by_language(evaluations: Sequence[Evaluation]) -> dict[str, list[str]]:
    """Tasks by question language and by answer language, where there are several tasks of a language."""
    found: dict[str, list[str]] = {}
    for axis in ("question", "answer"):
        groups: dict[str, list[str]] = {}
        for evaluation in evaluations:
            if evaluation.condition.is_pair:
                groups.setdefault(evaluation.condition.language(axis), []).append(evaluation.task)
        if len(groups) > 1 and all(len(tasks) > 1 for tasks in groups.values()):
            found |= {f"{axis} {code} (mean of {len(tasks)})": tasks for code, tasks in sorted(groups.items())}
    return found


def gap(block: Block, contrast: Contrast) -> Array:
    """Return the barrier of every item, shape (N,): nan where an item lacks a part."""
    return block.sign * (contrast.first - contrast.second)


def _change(
    before: Block, after: Block, what: str, scope: str, condition: str, new: Array, old: Array
) -> ChangeRow | None:
    usable = np.isfinite(new) & np.isfinite(old)
    if not usable.any():
        return None
    paired = paired_difference(new[usable], old[usable], after.clusters_of(usable))
    return ChangeRow(
        model=after.model.label,
        baseline=before.model.label,
        family=after.family,
        setting=after.setting.label,
        metric=after.metric,
        what=what,
        scope=scope,
        condition=condition,
        before=float(old[usable].mean()),
        after=float(new[usable].mean()),
        change=paired.difference.estimate,
        paired=paired,
    )


def aligned(base: Block, block: Block, notes: list[Note]) -> tuple[Block, Block]:
    """Return both blocks on their common items and on the tasks whose prompts are the same in both.

    Args:
        base: of one model.
        block: of another, of the same family and setting.
        notes: receives why a task was left out.
    """
    where = {item: index for index, item in enumerate(base.ids)}
    own = np.array([index for index, item in enumerate(block.ids) if item in where], dtype=np.int64)
    other = np.array([where[block.ids[index]] for index in own], dtype=np.int64)
    first, second = _restricted(base, other), _restricted(block, own)
    common = []
    ours = {evaluation.task: index for index, evaluation in enumerate(second.evaluations)}
    for index, evaluation in enumerate(first.evaluations):
        if evaluation.task in ours:
            reason = _forbids(first, index, second, ours[evaluation.task])
            if reason is None:
                common.append(evaluation.task)
            else:
                text = f"not compared with {base.model.label}: {reason}"
                notes.append(Note("refused", text, f"{block.model.label}, {evaluation.task}"))
    return first.only(common), second.only(common)


def _restricted(block: Block, items: Array) -> Block:
    return replace(
        block,
        ids=tuple(block.ids[item] for item in items),
        scores=block.scores[:, items],
        chosen=block.chosen[:, items],
        positions=block.positions[:, items],
        subjects=tuple(block.subjects[item] for item in items),
        clusters=block.clusters_of(items),
    )


def _forbids(first: Block, row: int, second: Block, other: int) -> str | None:
    """Say why two models' runs of one task must not be compared, or None."""
    one, two = first.evaluations[row], second.evaluations[other]
    versions = one.circumstances["task version"], two.circumstances["task version"]
    if versions[0] != versions[1]:
        return f"versions {versions[0]} and {versions[1]} of the task differ"
    if one.setting.chat_template:
        # Each model has its own template, so equal prompts cannot be asked for.
        return None
    assert one.samples is not None and two.samples is not None
    both = (first.positions[row] >= 0) & (second.positions[other] >= 0)
    prompts = one.samples.prompts[first.positions[row][both]] != two.samples.prompts[second.positions[other][both]]
    return f"{int(prompts.sum())} of {len(prompts)} prompts differ" if prompts.any() else None


def subject_rows(blocks: Iterable[Block]) -> list[SubjectRow]:
    """Return the barrier of every task by subject, for subjects of at least ten items."""
    rows = []
    for block in blocks:
        names = sorted(set(block.subjects))
        if not 2 <= len(names) <= _MOST_SUBJECTS:
            continue
        subjects = np.array(block.subjects)
        for contrast in contrasts(block):
            if contrast.scope == "mean":
                continue
            for name in names:
                usable = (subjects == name) & np.isfinite(contrast.first) & np.isfinite(contrast.second)
                if usable.sum() < _FEWEST_ITEMS:
                    continue
                paired, usable = _paired(block, contrast.first, contrast.second, usable)
                rows.append(
                    SubjectRow(
                        model=block.model.label,
                        family=block.family,
                        setting=block.setting.label,
                        condition=contrast.condition,
                        subject=name,
                        n=paired.n,
                        reference_score=float(contrast.first[usable].mean()),
                        score=float(contrast.second[usable].mean()),
                        paired=paired,
                    )
                )
    return _adjusted(rows)


_Row = TypeVar("_Row", BarrierRow, ChangeRow, SubjectRow)


def _adjusted(rows: Sequence[_Row]) -> list[_Row]:
    """The rows with p-values adjusted over all of them."""
    values = benjamini_hochberg(np.array([np.nan if row.paired is None else row.paired.p_value for row in rows]))
    return [
        row if row.paired is None else replace(row, paired=replace(row.paired, adjusted_p=float(value)))
        for row, value in zip(rows, values, strict=True)
    ]
