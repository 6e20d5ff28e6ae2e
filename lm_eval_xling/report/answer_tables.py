"""Tables of what a model answers, right or wrong: consistency over conditions, and the pull of English options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lm_eval_xling.report.cells import Line, Listing, interval, number, p_value, text
from lm_eval_xling.report.schema import Report
from lm_eval_xling.report.wording import Words

__all__ = ["agreement", "consistency", "lone_options", "rows_of"]


def rows_of(rows: Iterable[Any], family: str, setting: str) -> list[Any]:
    """Return the rows of one family in one setting."""
    return [row for row in rows if row.family == family and row.setting == setting]


def lone_options(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    """Return the table of options that alone are, or are not, in English."""
    lines = [
        Line(
            (
                text(row.model),
                text(words.full(family, row.condition)),
                text(row.option),
                text(row.right),
                number(row.chosen.estimate, 100),
                interval(row.chosen.low, row.chosen.high, 100),
                number(row.chance, 100),
                p_value(row.chance_p),
                number(row.reference, 100),
                number(math.nan if row.difference is None else row.difference.difference.estimate, 100, sign=True),
                number(row.n, digits=0),
            ),
            row.model,
            languages.get(row.condition, ()),
        )
        for row in rows_of(report.lone_options, family, setting)
    ]
    return Listing(
        "lone_options",
        "Bias towards English options",
        "How often the option that alone is (not) in English is chosen. In English: how often the same option is "
        "chosen where all are in English; avoided is the difference. A model that avoids foreign options avoids them "
        "where they are wrong, too.",
        (
            "model",
            "condition",
            "lone option",
            "is right",
            "chosen %",
            "95 % interval",
            "chance %",
            "p against chance",
            "in English %",
            "avoided",
            "items",
        ),
        tuple(lines),
    )


def consistency(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    """Return the table over all conditions."""
    lines = [
        Line(
            (
                text(row.model),
                number(row.conditions, digits=0),
                number(row.n, digits=0),
                number(row.pairwise, 100),
                number(row.all_same.estimate, 100),
                interval(row.all_same.low, row.all_same.high, 100),
                number(row.all_right.estimate, 100),
                number(row.ac3, 100),
            ),
            row.model,
        )
        for row in rows_of(report.consistency, family, setting)
    ]
    return Listing(
        "consistency",
        "Consistency over all conditions",
        "Whether the same item gets the same answer, right or wrong. AC3 is the harmonic mean of accuracy and "
        "pairwise agreement.",
        (
            "model",
            "conditions",
            "items",
            "same in a pair %",
            "same in all %",
            "95 % interval",
            "right in all %",
            "AC3 %",
        ),
        tuple(lines),
    )


def agreement(
    report: Report, family: str, setting: str, scale: float, languages: Mapping[str, tuple[str, ...]], words: Words
) -> Listing:
    """Return the table of pairs of conditions."""
    lines = [
        Line(
            (
                text(row.model),
                text(words.full(family, row.first)),
                text(words.full(family, row.second)),
                number(row.same.estimate, 100),
                interval(row.same.low, row.same.high, 100),
                number(row.same_if_first_right, 100),
                number(row.same_if_second_right, 100),
                number(row.rank_consistency, digits=3),
                number(row.n, digits=0),
            ),
            row.model,
            tuple(dict.fromkeys((*languages.get(row.first, ()), *languages.get(row.second, ())))),
        )
        for row in rows_of(report.agreement, family, setting)
    ]
    return Listing(
        "agreement",
        "Agreement of pairs of conditions",
        "Share of items with the same answer; the same among items that are right in the first, and in the second; "
        "RankC, agreement of the options' ranking.",
        ("model", "first", "second", "same %", "95 % interval", "if first right", "if second right", "RankC", "items"),
        tuple(lines),
    )
