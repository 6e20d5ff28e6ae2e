"""Report ▸ sentences: what a reader should take away first, each with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.report.cells import counted, shown, untested
from lm_eval_xling.report.schema import BarrierRow, ChangeRow, Report
from lm_eval_xling.report.tables import groups_of, scale_of
from lm_eval_xling.report.wording import Words, words_of

__all__ = ["Finding", "findings"]

_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence."""

    family: str
    """Family that it is about; empty where it is about the input as a whole."""
    setting: str
    """Label of the setting, where the family was run in several; empty otherwise."""
    model: str
    """Label of the model that it is about; empty as ``family``."""
    text: str
    """The sentence."""
    certain: bool
    """Whether it is significant after adjustment."""


def findings(report: Report) -> list[Finding]:
    """Return what the broadest contrasts of every family say, and what adapters changed in them."""
    words = words_of(report)
    found = [
        Finding("", "", "", f"{note.where}: {note.text}.", True) for note in report.notes if note.kind == "suspect"
    ]
    groups = groups_of(report)
    several = {family for family, _ in groups if sum(name == family for name, _ in groups) > 1}
    for family, setting in groups:
        told = setting if family in several else ""
        scale = scale_of(report, family, setting)
        barriers = [row for row in report.barriers if (row.family, row.setting) == (family, setting)]
        changes = [row for row in report.changes if (row.family, row.setting) == (family, setting)]
        for model in dict.fromkeys(row.model for row in barriers):
            rows = _broadest([row for row in barriers if row.model == model])
            found += [Finding(family, told, model, _barrier(row, scale, words), _certain(row.paired)) for row in rows]
        for model in dict.fromkeys(row.model for row in changes):
            rows_of_change = [row for row in changes if row.model == model and row.what == "barrier"]
            broad = _broadest(rows_of_change) or [row for row in changes if row.model == model][:3]
            found += [Finding(family, told, model, _change(row, scale, words), _certain(row.paired)) for row in broad]
    return found


_Row = TypeVar("_Row", BarrierRow, ChangeRow)


def _broadest(rows: list[_Row]) -> list[_Row]:
    return [row for row in rows if row.scope in ("mean", "crosslingual")] or rows[:3]


def _certain(paired: PairedDifference | None) -> bool:
    return paired is not None and paired.adjusted_p < _LEVEL


def _barrier(row: BarrierRow, scale: float, words: Words) -> str:
    reference, condition = (words.short(row.family, name) for name in (row.reference, row.condition))
    scores = f"{reference}: {row.reference_score * scale:.1f}; {condition}: {row.score * scale:.1f}"
    if row.paired is None:
        return (
            f"{scores}. A difference of {_signed(row.barrier * scale)}, from aggregates alone and therefore untested."
        )
    if why := untested(row.paired):
        return f"{scores}. A difference of {_signed(row.barrier * scale)}, untested, because {why}."
    bounds = _bounds(row.paired, scale)
    if _certain(row.paired):
        return f"{scores}. A barrier of {row.barrier * scale:.1f} points {bounds}."
    said = f"{scores}. No barrier shown, {_signed(row.barrier * scale)} points {bounds}."
    if math.isinf(row.paired.detectable):
        units = "items" if row.paired.units == row.paired.n else "clusters"
        return f"{said} All {units} differ by the same, so that the effect they would show is unknown."
    return (
        f"{said} {counted(row.paired)} would show a true barrier of {row.paired.detectable * scale:.1f} points four "
        "times out of five."
    )


def _change(row: ChangeRow, scale: float, words: Words) -> str:
    condition = words.short(row.family, row.condition)
    what = f"the {row.what} of “{condition}” goes from {shown(row.before * scale)} to {shown(row.after * scale)}"
    if row.paired is None:
        return f"Against {row.baseline}, {what}, from aggregates alone and therefore untested."
    if why := untested(row.paired):
        return f"Against {row.baseline}, {what}, untested, because {why}."
    verdict = "" if _certain(row.paired) else ", which the sample does not tell from no change"
    return (
        f"Against {row.baseline}, {what}: {_signed(row.change * scale)} points {_bounds(row.paired, scale)}{verdict}."
    )


def _bounds(paired: PairedDifference, scale: float) -> str:
    p = "p < .001" if paired.adjusted_p < 0.001 else f"p = {paired.adjusted_p:.3f}".replace("0.", ".")
    low, high = paired.difference.low * scale, paired.difference.high * scale
    return f"[{shown(low)}, {shown(high)}] ({p}, {counted(paired)})"


def _signed(value: float) -> str:
    return shown(value, sign=True)
