"""A table of items ▸ the barrier between any two conditions in it, with the report's statistics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lm_eval_xling.drawing.html_tables import html_table
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.records import Interval, PairedDifference
from lm_eval_xling.report.cells import number, p_value, shown
from lm_eval_xling.statistics import cluster_numbers, paired_difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Barrier", "Chosen", "barrier"]

Chosen: TypeAlias = str | Mapping[str, Any]
"""A condition by its name (``en_fr``, ``mixup``), or by columns of the table: the value, or values, of each."""

_EQUAL = ("model", "family", "setting")
_NEEDED = (*_EQUAL, "task", "condition", "id", "cluster", "metric", "score", "higher_is_better")


@dataclass(frozen=True, slots=True)
class Barrier:
    """What a model loses from one condition to another, on the same items."""

    reference: str
    """The first condition, as it was asked for."""
    condition: str
    """The second condition."""
    metric: str
    """Name of the main metric, in whose unit all scores are."""
    reference_score: float
    """Mean score in the first condition."""
    score: float
    """Mean score in the second condition, on the same items."""
    paired: PairedDifference
    """Difference, its interval, test, numbers of items and units, and the smallest effect that could be detected."""

    @property
    def difference(self) -> Interval:
        """First minus second, with its 95 % interval; the reverse for metrics of which less is better."""
        return self.paired.difference

    @property
    def p_value(self) -> float:
        """Two-sided: exact McNemar for right or wrong, otherwise Fisher's paired randomisation; not adjusted."""
        return self.paired.p_value

    def __str__(self) -> str:
        low, high = self.difference.low, self.difference.high
        return (
            f"{self.reference} {shown(self.reference_score, 3)}, {self.condition} {shown(self.score, 3)}: barrier "
            f"{shown(self.difference.estimate, 3, sign=True)} [{shown(low, 3)}, {shown(high, 3)}], "
            f"p {p_value(self.p_value).text}, {self.paired.n} items"
        )

    def _repr_html_(self) -> str:
        low, high = self.difference.low, self.difference.high
        row = (
            self.reference,
            self.condition,
            shown(self.reference_score, 3),
            shown(self.score, 3),
            shown(self.difference.estimate, 3, sign=True),
            f"[{shown(low, 3)}, {shown(high, 3)}]",
            p_value(self.p_value).text,
            str(self.paired.n),
            number(self.paired.detectable, digits=3).text,
        )
        columns = ("reference", "condition", "score there", "score here", "barrier", "95 % interval", "p")
        return html_table((*columns, "items", "detectable"), [row], caption=self.metric)


def barrier(samples: pd.DataFrame, reference: Chosen, condition: Chosen) -> Barrier:
    """Compare two conditions on the items that both have.

    An item's score in a condition of several tasks is its mean over them, as in the report; items that one of the
    tasks lacks are left out. Items that share a ``cluster`` are resampled and tested together.

    Args:
        samples: as ``samples`` returns them, or a part of that table.
        reference: the condition that is expected to score higher: a name such as ``en_en``, or values by column:
            ``{"question_language": "en", "answer_language": ["de", "fr"]}``.
        condition: the other one. With ``model`` among its columns two models are compared.

    Raises:
        UserError: no table of items, an unknown column or condition, several models, families or settings in one
            condition, two metrics, or no common items.
    """
    missing = [name for name in _NEEDED if name not in getattr(samples, "columns", ())]
    if missing:
        kind = type(samples).__name__
        raise UserError(
            f"a table without {', '.join(missing)}" if hasattr(samples, "columns") else f"{kind} is no table of items",
            where="the first argument of barrier",
            fix="pass xling.samples(…) of results or of run folders",
        )
    first, second = _chosen(samples, reference, "reference"), _chosen(samples, condition, "condition")
    named = {"condition"} if isinstance(reference, str) else set(reference)
    named |= set() if isinstance(condition, str) else set(condition)
    for column in _EQUAL:
        one, other = str(first[column].iloc[0]), str(second[column].iloc[0])
        if one != other and column in ("model", "setting") and column not in named:
            raise UserError(
                f"the conditions are of two {column}s: {one} and {other}",
                where=f"{_told(reference)}, {_told(condition)}",
                fix=f"if that is meant, name each: {{{column!r}: …}}",
            )
    if first["metric"].iloc[0] != second["metric"].iloc[0] or first["family"].iloc[0] != second["family"].iloc[0]:
        told = [f"{part['family'].iloc[0]} in {part['metric'].iloc[0]}" for part in (first, second)]
        raise UserError(f"the conditions cannot be compared: {told[0]} and {told[1]}", fix="choose one family")
    scores = [_by_item(part) for part in (first, second)]
    ids = scores[0].index.intersection(scores[1].index, sort=False)
    if ids.empty:
        raise UserError(
            "the conditions have no item with a score in both", where=f"{_told(reference)}, {_told(condition)}"
        )
    before, after = (part.loc[ids].to_numpy(dtype=np.float64) for part in scores)
    # Of one task, because labels may be in a language: all tasks of a condition have each of these items.
    labels = first[first["task"] == first["task"].iloc[0]].set_index("id")["cluster"].loc[ids]
    sign = 1 if bool(first["higher_is_better"].iloc[0]) else -1
    return Barrier(
        reference=_told(reference),
        condition=_told(condition),
        metric=str(first["metric"].iloc[0]),
        reference_score=float(before.mean()),
        score=float(after.mean()),
        paired=paired_difference(sign * before, sign * after, cluster_numbers(labels.tolist())),
    )


def _chosen(samples: pd.DataFrame, asked: Chosen, where: str) -> pd.DataFrame:
    """The rows of a condition, which must be of one model in one setting."""
    wanted = {"condition": asked} if isinstance(asked, str) else dict(asked)
    found = samples
    for column, values in wanted.items():
        if column not in samples.columns:
            raise unknown_name("column", str(column), [str(name) for name in samples.columns], where=where)
        allowed = list(values) if isinstance(values, Collection) and not isinstance(values, str) else [values]
        known = samples[column].unique().tolist()
        for value in allowed:
            if value not in known:
                raise unknown_name(str(column), str(value), map(str, known), where=where)
        found = found[found[column].isin(allowed)]
    if found.empty:
        raise UserError("no item is in this condition", where=f"{where}: {_told(asked)}")
    for column in _EQUAL:
        several = sorted(map(str, found[column].unique()))
        if len(several) > 1:
            raise UserError(
                f"the condition holds more than one {column}: {', '.join(several)}",
                where=f"{where}: {_told(asked)}",
                fix=f"name one, such as {{{column!r}: {several[0]!r}, …}}",
            )
    return found


def _by_item(rows: pd.DataFrame) -> pd.Series[float]:
    """Mean score of every item that all tasks of the condition have scored."""
    twice = rows[rows.duplicated(["id", "task"])]
    if not twice.empty:
        raise UserError(
            f"the table has {twice['task'].iloc[0]}, id {twice['id'].iloc[0]!r}, twice",
            fix="xling.samples of all runs at once, which keeps the newest of each",
        )
    table = rows.pivot(index="id", columns="task", values="score").reindex(rows["id"].unique())
    return table.where(np.isfinite(table)).dropna().mean(axis=1)


def _told(asked: Chosen) -> str:
    if isinstance(asked, str):
        return asked
    return ", ".join(f"{column} {value}" for column, value in asked.items())
