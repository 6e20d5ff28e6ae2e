"""The first screen of the page: how large the barrier is, whether it is real, and what changed."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.report.cells import counted, shown, untested
from lm_eval_xling.report.conditions import rank_of
from lm_eval_xling.report.schema import BarrierRow, ChangeRow, Report
from lm_eval_xling.report.tables import groups_of, scale_of
from lm_eval_xling.report.wording import Words, words_of

__all__ = ["Bar", "Headline", "Overview", "overviews"]

_LEVEL = 0.05
_BREADTH = {"crosslingual": 0, "mean": 1, "task": 2}


@dataclass(frozen=True, slots=True)
class Bar:
    """One score, drawn as a bar from zero."""

    label: str
    """Condition in words."""
    value: str
    """Score as printed."""
    width: float
    """Length in per cent of the axis."""
    is_reference: bool
    """Whether it is what the others are compared with."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The broadest barrier of one model."""

    model: str
    """Label of the model."""
    barrier: str
    """Size in points, as printed."""
    interval: str
    """95 % interval, as printed; empty where it was not tested."""
    verdict: str
    """Whether it is real, in a few words with p, items and what would have shown."""
    certain: bool
    """Whether it is significant after adjustment."""
    largest: str
    """The mean barrier against English, where the headline is another, and the condition with the largest barrier, in
    words; empty where there is only one."""
    bars: tuple[Bar, ...]
    """Reference, the broadest condition, and the one with the largest barrier."""
    change: str
    """What changed against the baseline, in words; empty without a baseline."""
    changed: bool
    """Whether that is significant after adjustment."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The card of one family in one setting."""

    family: str
    """Family."""
    setting: str
    """Label of the setting."""
    headlines: tuple[Headline, ...]
    """One a model."""
    chance: float
    """Place of a guessing model on the axis in per cent; nan where nothing can be guessed."""
    axis: str
    """What the axis and the line on it mean."""


def overviews(report: Report) -> list[Overview]:
    """Return a card for every family and setting that has a barrier."""
    words = words_of(report)
    made = []
    for family, setting in groups_of(report):
        barriers = [row for row in report.barriers if (row.family, row.setting) == (family, setting)]
        if not barriers:
            continue
        scale = scale_of(report, family, setting)
        own = [row for row in report.scores if (row.family, row.setting, row.role) == (family, setting, "main")]
        most = 100.0 if scale == 100 else max(abs(row.reference_score) for row in barriers) * 1.1 or 1.0
        chances = {row.chance for row in own if math.isfinite(row.chance)}
        chance = chances.pop() * 100 if scale == 100 and len(chances) == 1 else math.nan
        models = list(dict.fromkeys(row.model for row in barriers))
        shown_of = {model: {row.condition for row in barriers if row.model == model} for model in models}
        common = set.intersection(*shown_of.values())
        headlines = [
            # One condition for all models, where there is one: numbers side by side are of one thing.
            _headline(report, [row for row in barriers if row.model == model], common, words, scale, most)
            for model in models
        ]
        unit = "per cent" if scale == 100 else "in the metric's unit"
        line = f"; dashed line: guessing, {shown(chance)}" if math.isfinite(chance) else ""
        made.append(
            Overview(
                family, setting, tuple(headlines), chance, f"{barriers[0].metric}, {unit}, from 0 to {most:g}{line}"
            )
        )
    return made


def _headline(
    report: Report, rows: Sequence[BarrierRow], common: Set[str], words: Words, scale: float, most: float
) -> Headline:
    # The choice does not look at the barriers: the largest of many would be large by chance.
    broadest = min(
        [row for row in rows if row.condition in common] or rows,
        key=lambda row: (_BREADTH[row.scope], -_tasks(row.condition), rank_of(row.condition), row.condition),
    )
    tasks = [row for row in rows if row.scope == "task"]
    largest = max(tasks, key=lambda row: row.barrier) if len(tasks) > 1 else None
    bars = [
        _bar(words.short(broadest.family, broadest.reference), broadest.reference_score, scale, most, True),
        _bar(words.short(broadest.family, broadest.condition), broadest.score, scale, most, False),
    ]
    told = ""
    # Equal against different languages leaves out what both lose against English.
    english = next((row for row in rows if row.scope == "mean" and row.condition in common), None)
    if english is not None and broadest.scope == "crosslingual":
        names = [words.short(english.family, name) for name in (english.reference, english.condition)]
        bounds = f" ({_interval(english.paired, scale)})" if english.paired and _interval(english.paired, scale) else ""
        told = f"From {names[0]} to {names[1]}: {shown(english.barrier * scale)} points{bounds}. "
    if largest is not None:
        name = words.short(largest.family, largest.condition)
        told += f"Largest of {len(tasks)}: {name}, {shown(largest.barrier * scale)} points."
        if largest.reference != broadest.reference:
            reference = words.short(largest.family, largest.reference)
            bars.append(_bar(reference, largest.reference_score, scale, most, True))
        bars.append(_bar(name, largest.score, scale, most, False))
    verdict, certain = _verdict(broadest.paired, scale)
    change, changed = _change(report, broadest, scale)
    return Headline(
        model=broadest.model,
        barrier=shown(broadest.barrier * scale),
        interval="" if broadest.paired is None else _interval(broadest.paired, scale),
        verdict=verdict,
        certain=certain,
        largest=told,
        bars=tuple(bars),
        change=change,
        changed=changed,
    )


def _tasks(condition: str) -> int:
    """Number of tasks behind a mean."""
    count = condition.rpartition("(mean of ")[2].removesuffix(")")
    return int(count) if count.isdigit() else 1


def _bar(label: str, score: float, scale: float, most: float, is_reference: bool) -> Bar:
    return Bar(label, shown(score * scale), max(0.0, min(100.0, 100 * score * scale / most)), is_reference)


def _interval(paired: PairedDifference, scale: float) -> str:
    if not math.isfinite(paired.difference.low):
        return ""
    return f"{shown(paired.difference.low * scale)} to {shown(paired.difference.high * scale)}"


def _verdict(paired: PairedDifference | None, scale: float) -> tuple[str, bool]:
    if paired is None:
        return "Untested: these runs have no samples to pair.", False
    if why := untested(paired):
        return f"Untested: {why}.", False
    p = "p < .001" if paired.adjusted_p < 0.001 else f"p = {paired.adjusted_p:.3f}".replace("0.", ".")
    items = counted(paired)
    if paired.adjusted_p < _LEVEL:
        side = "Real" if paired.difference.estimate > 0 else "Real, and the other way round"
        return f"{side}: {p}, {items}.", True
    if math.isinf(paired.detectable):
        return f"Not shown: {p}. {items}, which all differ by the same.", False
    return f"Not shown: {p}. {items} would show {shown(paired.detectable * scale)} points or more.", False


def _change(report: Report, broadest: BarrierRow, scale: float) -> tuple[str, bool]:
    key = (broadest.model, broadest.family, broadest.setting, broadest.condition)
    row: ChangeRow | None = next(
        (r for r in report.changes if r.what == "barrier" and (r.model, r.family, r.setting, r.condition) == key), None
    )
    if row is None:
        return "", False
    size = f"Against {row.baseline}: barrier {shown(row.before * scale)} → {shown(row.after * scale)}"
    if row.paired is None or untested(row.paired):
        return f"{size}, untested.", False
    changed = row.paired.adjusted_p < _LEVEL
    told = f"{shown(row.change * scale, sign=True)} points, {_interval(row.paired, scale)}"
    return f"{size} ({told}){'' if changed else ', within chance'}.", changed
