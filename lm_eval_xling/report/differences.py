"""Barriers of every two models on the items that both have: what the page's comparison of two models shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from lm_eval_xling.records import Interval
from lm_eval_xling.report.barriers import aligned, gap
from lm_eval_xling.report.blocks import Array, Block, contrasts
from lm_eval_xling.report.evaluations import Note
from lm_eval_xling.report.schema import BarrierRow, DifferenceRow
from lm_eval_xling.statistics import bootstrap_mean

__all__ = ["difference_rows"]

_NONE = Interval(math.nan, math.nan, math.nan)


def difference_rows(blocks: Sequence[Block], barriers: Iterable[BarrierRow]) -> list[DifferenceRow]:
    """Return both barriers and their difference for every two models, family, setting and condition.

    Args:
        blocks: of all models.
        barriers: their barriers, of which those that cannot be compared item by item are shown side by side.
    """
    told = {(row.model, row.family, row.setting, row.metric, row.condition): row for row in barriers}
    rows = []
    for one, two in combinations(sorted(blocks, key=lambda block: block.model.label), 2):
        if (one.family, one.setting, one.metric) != (two.family, two.setting, two.metric) or one.model == two.model:
            continue
        notes: list[Note] = []
        first, second = aligned(one, two, notes)
        compared = _compared(first, second) if first.ids and first.evaluations else []
        rows += compared
        why = "; ".join(sorted({note.text.partition(": ")[2] for note in notes})) or "no items in common"
        shown = {row.condition for row in compared}
        for key, row in told.items():
            other = told.get((two.model.label, *key[1:]))
            ours = key[:4] == (one.model.label, one.family, one.setting.label, one.metric)
            if ours and other is not None and row.condition not in shown:
                rows.append(_apart(row, other, why))
    return rows


def _compared(first: Block, second: Block) -> list[DifferenceRow]:
    rows = []
    for one, two in zip(contrasts(first), contrasts(second), strict=True):
        own, other = gap(first, one), gap(second, two)
        usable = np.isfinite(own) & np.isfinite(other)
        if not usable.any():
            continue
        clusters = second.clusters_of(usable)

        def mean(values: Array, usable: Array = usable, clusters: Array | None = clusters) -> Interval:
            return bootstrap_mean(values[usable], clusters)

        rows.append(
            DifferenceRow(
                first=first.model.label,
                second=second.model.label,
                family=first.family,
                setting=first.setting.label,
                metric=first.metric,
                scope=one.scope,
                condition=one.condition,
                reference=one.reference,
                first_barrier=mean(own),
                second_barrier=mean(other),
                difference=mean(other - own),
                n=int(usable.sum()),
                why="",
            )
        )
    return rows


def _apart(one: BarrierRow, two: BarrierRow, why: str) -> DifferenceRow:
    """Both barriers, each on the items of its own model."""
    return DifferenceRow(
        first=one.model,
        second=two.model,
        family=one.family,
        setting=one.setting,
        metric=one.metric,
        scope=one.scope,
        condition=one.condition,
        reference=one.reference,
        first_barrier=_interval(one),
        second_barrier=_interval(two),
        difference=_NONE,
        n=0,
        why=why,
    )


def _interval(row: BarrierRow) -> Interval:
    return Interval(row.barrier, math.nan, math.nan) if row.paired is None else row.paired.difference
