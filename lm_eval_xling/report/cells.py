"""What a table shows: cells that know how they are sorted, lines that know how they are filtered."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.statistics import too_few

__all__ = ["PAIRED", "Cell", "Line", "Listing", "interval", "number", "p_value", "paired_cells", "shown", "text"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a reader sees, and what the column is sorted by."""

    text: str
    """As shown."""
    value: float | str
    """Sort key."""
    strong: bool = False
    """Whether it is set in bold: significant after adjustment."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table, with what it can be filtered by."""

    cells: tuple[Cell, ...]
    """One a column."""
    model: str = ""
    """Label of the model."""
    languages: tuple[str, ...] = ()
    """Codes of the languages that it concerns; empty where it concerns all."""
    subject: str = ""
    """Subject, where it concerns one."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as a reader sees it."""

    name: str
    """Field of the report."""
    title: str
    """Heading."""
    explanation: str
    """How to read it, in a sentence or two."""
    columns: tuple[str, ...]
    """Headings."""
    lines: tuple[Line, ...]
    """Lines."""


def text(value: str) -> Cell:
    """Return a cell of text."""
    return Cell(value, value)


def number(value: float, scale: float = 1.0, digits: int = 1, sign: bool = False, strong: bool = False) -> Cell:
    """Return a cell of a number; what is not defined is a dash that sorts last."""
    if not math.isfinite(value):
        return Cell("–", math.inf)
    return Cell(shown(value * scale, digits, sign), value * scale, strong)


def shown(value: float, digits: int = 1, sign: bool = False) -> str:
    """Return a number as it is printed: with a minus sign, and none before zero."""
    rounded = round(value, digits) + 0.0
    return (f"{rounded:+.{digits}f}" if sign else f"{rounded:.{digits}f}").replace("-", "−")


def counted(paired: PairedDifference) -> str:
    """Return how many items, and how many clusters where they depend on each other."""
    return f"{paired.n:,} items" + (f" in {paired.units:,} clusters" if paired.units < paired.n else "")


def untested(paired: PairedDifference) -> str | None:
    """Return why nothing can be said of a difference, or None."""
    if paired.units < 2:
        return f"all {paired.n:,} items depend on one another"
    return f"{counted(paired)} are too few" if too_few(paired.units) else None


def interval(low: float, high: float, scale: float) -> Cell:
    """Return a cell of the two bounds, sorted by the lower one."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell("–", math.inf)
    return Cell(f"[{shown(low * scale)}, {shown(high * scale)}]", low * scale)


def p_value(value: float) -> Cell:
    """Return a cell of a p-value."""
    if not math.isfinite(value):
        return Cell("–", math.inf)
    return Cell("<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0"), value, value < 0.05)


def paired_cells(paired: PairedDifference | None, value: float, scale: float) -> tuple[Cell, ...]:
    """Return difference, interval, adjusted p, items and detectable effect; ``PAIRED`` names all but the first."""
    if paired is None:
        unknown = Cell("aggregates only", math.inf)
        return (number(value, scale, sign=True), unknown, number(math.nan), number(math.nan), number(math.nan))
    significant = paired.adjusted_p < 0.05
    return (
        number(value, scale, sign=True, strong=significant),
        interval(paired.difference.low, paired.difference.high, scale),
        p_value(paired.adjusted_p),
        number(paired.n, digits=0),
        number(paired.detectable, scale),
    )


PAIRED = ("95 % interval", "adjusted p", "items", "detectable")
