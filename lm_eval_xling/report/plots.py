"""Pictures of a report, each drawn from numbers alone. Nothing is computed here.

Figures are made without pyplot, so that no display and no global state is needed. The ink is one colour, which
the page replaces by its own, so that a plot is legible in the light and in the dark theme.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import numpy.typing as npt

from lm_eval_xling.drawing import PALETTE
from lm_eval_xling.drawing.titles import in_lines
from lm_eval_xling.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "heat_map", "points", "save", "slope", "svg", "themed"]

_INK = "#22262b"
_FAINT = "#b9bec6"
_MOST_NUMBERS = 150
_LETTER = 0.08
"""Inches that a letter of a legend takes, at most on average."""
_STYLE = {
    "font.size": 9,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.titlesize": 10,
    "figure.labelsize": 9,
    # A model's name may hold a dollar sign, which is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
}

Matrix = npt.NDArray[Any]
_Arguments = ParamSpec("_Arguments")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """Say below the figure what the colours mean, in as many columns as fit."""
    across = int(figure.get_figwidth() / (_LETTER * max(map(len, names)) + 0.6))
    figure.legend(loc="outside lower center", ncols=max(1, min(3, across, len(names))), frameon=False)


def _styled(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    @wraps(draw)
    def wrapped(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapped


@_styled
def heat_map(
    scores: Matrix,
    errors: Matrix | None,
    rows: Sequence[str],
    columns: Sequence[str],
    path: Path | None = None,
    *,
    title: str = "",
    row_label: str = "question language",
    column_label: str = "answer language",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw a matrix of scores with the number, and its standard error, in every cell.

    Args:
        scores: shape (rows, columns); nan leaves a cell blank.
        errors: standard errors of the same shape, or None.
        rows: language codes or names of the rows, from top to bottom.
        columns: those of the columns.
        path: where to write the picture too; the suffix says the format, ``.png`` or ``.svg``.
        title: stands above.
        row_label: what the rows are.
        column_label: what the columns are.
        limits: scores of the darkest and the brightest colour; those of the matrix if not given.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    scores = np.asarray(scores, dtype=np.float64)
    known = scores[np.isfinite(scores)]
    low, high = limits or ((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
    scale = Normalize(low, high if high > low else low + 1e-9)
    cell = 0.72 if errors is not None else 0.55 if scores.size <= _MOST_NUMBERS else 0.26
    longest = max((len(name) for name in rows), default=2)
    figure, axes = _figure(1.7 + 0.07 * longest + cell * len(columns), 1.2 + min(cell, 0.55) * len(rows))
    image = axes.imshow(np.ma.masked_invalid(scores), cmap="cividis", norm=scale, aspect="auto")
    # Numbers in very many cells are too small to be read.
    for (row, column), score in np.ndenumerate(scores) if scores.size <= _MOST_NUMBERS else ():
        if np.isfinite(score):
            text = f"{score:.2f}".removeprefix("0") if score < 1 else f"{score:.2f}"
            red, green, blue, _ = colormaps["cividis"](scale(score))
            colour = "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
            error = None if errors is None else errors[row, column]
            axes.text(column, row, text, ha="center", va="bottom" if error is not None else "center", color=colour)
            if error is not None and np.isfinite(error):
                small = f"±{f'{error:.2f}'.removeprefix('0')}"
                axes.text(column, row + 0.05, small, ha="center", va="top", color=colour, fontsize=7)
    if scores.size > _MOST_NUMBERS:
        figure.colorbar(image, ax=axes, fraction=0.04)
    crowded = scores.size > _MOST_NUMBERS or any(len(name) > 5 for name in columns)
    axes.set_xticks(range(len(columns)), labels=list(columns), rotation=90 if crowded else 0)
    axes.set_yticks(range(len(rows)), labels=list(rows))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set(xlabel=column_label, ylabel=row_label)
    # Of the figure, not of the axes, which may be too narrow for it.
    figure.suptitle(in_lines(figure, title, size=10))
    if path is not None:
        save(figure, path)
    return figure


@_styled
def bars(
    series: Mapping[str, Mapping[str, tuple[float, float, float, bool]]],
    *,
    title: str = "",
    value_label: str,
) -> Figure:
    """Draw one group of horizontal bars a condition and one bar a model, with confidence intervals.

    Args:
        series: by model, then by condition: estimate, lower bound, upper bound, and whether it is significant;
            what is not is drawn pale. Bounds that are not finite are left out.
        title: stands above.
        value_label: what the length means.
    """
    conditions = list(dict.fromkeys(condition for values in series.values() for condition in values))
    thickness = 0.8 / max(1, len(series))
    height = 1.1 + max(0.3 * len(conditions), 0.16 * len(conditions) * len(series))
    figure, axes = _figure(7.2, height)
    for index, (model, values) in enumerate(series.items()):
        colour = PALETTE[index % len(PALETTE)]
        for condition, (estimate, low, high, significant) in values.items():
            y = conditions.index(condition) + (index - (len(series) - 1) / 2) * thickness
            axes.barh(y, estimate, thickness, color=colour, alpha=1.0 if significant else 0.4)
            if np.isfinite(low) and np.isfinite(high):
                axes.plot([low, high], [y, y], color=_INK, linewidth=1)
        axes.barh(0, 0, 0, color=colour, label=model)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(conditions)), labels=conditions)
    axes.set_ylim(len(conditions) - 0.4, -0.6)
    figure.suptitle(in_lines(figure, title, size=10))
    figure.supxlabel(in_lines(figure, value_label, size=9))
    axes.grid(axis="x", color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    if len(series) > 1:
        _legend(figure, list(series))
    return figure


@_styled
def slope(
    pairs: Mapping[str, tuple[float, float]], *, title: str = "", value_label: str, names: tuple[str, str]
) -> Figure:
    """Draw a line from each condition's value before to the one after; the outermost are named.

    Args:
        pairs: value before and after, by condition.
        title: stands above.
        value_label: what the height means.
        names: what stands under the two ends.
    """
    figure, axes = _figure(4.6, 4.2)
    changes = sorted(pairs, key=lambda condition: pairs[condition][1] - pairs[condition][0])
    named = set(changes if len(changes) <= 10 else [*changes[:4], *changes[-4:]])
    for condition, (before, after) in pairs.items():
        colour = PALETTE[0] if after > before else PALETTE[1] if after < before else _FAINT
        strong = condition in named
        axes.plot([0, 1], [before, after], color=colour, marker="o", markersize=3, alpha=1.0 if strong else 0.35)
    for condition, y in _spread({condition: pairs[condition][1] for condition in named}, axes.get_ylim()).items():
        axes.annotate(condition, (1, pairs[condition][1]), xytext=(1.06, y), fontsize=7, va="center")
    axes.set_xlim(-0.1, 1.5)
    axes.set_xticks([0, 1], labels=list(names))
    axes.set(ylabel=value_label)
    figure.suptitle(in_lines(figure, title, size=10))
    return figure


@_styled
def points(
    groups: Mapping[str, Mapping[str, tuple[float, float, float, float]]],
    *,
    title: str = "",
    place_label: str,
    value_label: str,
) -> Figure:
    """Draw named points with confidence intervals, one colour and marker a group.

    Args:
        groups: by group, then by name: place on the horizontal axis, estimate, lower bound, upper bound.
        title: stands above.
        place_label: what the place means.
        value_label: what the height means.
    """
    figure, axes = _figure(7.2, 4.2)
    # Names at one place stand side by side.
    taken: dict[float, int] = {}
    everything = [(value[1], group, name, value) for group, own in groups.items() for name, value in own.items()]
    shift = {}
    for _, group, name, value in sorted(everything):
        shift[group, name] = taken[value[0]] = taken.get(value[0], -1) + 1
    for index, (group, own) in enumerate(groups.items()):
        colour, marker = PALETTE[index % len(PALETTE)], "osD^v"[index % 5]
        for name, (place, estimate, low, high) in own.items():
            x = place + 0.8 * ((shift[group, name] + 0.5) / (taken[place] + 1) - 0.5)
            axes.plot([x, x], [low, high], color=colour, linewidth=1, alpha=0.5)
            axes.plot([x], [estimate], color=colour, marker=marker, markersize=4, linestyle="")
            # Names of neighbours at one height would cover each other.
            height = 2 if shift[group, name] % 2 == 0 else -8
            axes.annotate(name, (x, estimate), xytext=(4, height), textcoords="offset points", fontsize=7)
        axes.plot([], [], color=colour, marker=marker, markersize=4, linestyle="", label=group)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xticks(sorted(taken))
    axes.set(xlabel=place_label, ylabel=value_label)
    figure.suptitle(in_lines(figure, title, size=10))
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    _legend(figure, list(groups))
    return figure


def _spread(heights: Mapping[str, float], limits: tuple[float, float]) -> dict[str, float]:
    """Heights moved apart, so that names do not cover one another."""
    gap = (limits[1] - limits[0]) / 22
    spread: dict[str, float] = {}
    last = -np.inf
    for name, height in sorted(heights.items(), key=lambda pair: pair[1]):
        last = spread[name] = max(height, last + gap)
    return spread


def save(figure: Figure, path: Path) -> None:
    """Write a figure, in the format that the suffix names."""
    from matplotlib import rc_context

    if path.suffix == ".svg":
        write_atomically(path, svg(figure, path.stem).encode())
        return
    buffer = io.BytesIO()
    with rc_context(_STYLE):
        figure.savefig(buffer, format=path.suffix[1:], dpi=140, metadata={"Software": None}, facecolor="white")
    write_atomically(path, buffer.getvalue())


def svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG document with a transparent ground; ``name`` goes into the ids of the drawing."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def themed(document: str, description: str) -> str:
    """Return an SVG document of ours as an element whose ink is the colour of the surrounding text.

    Args:
        document: from ``svg``.
        description: what the picture shows, for those who do not see it.
    """
    from html import escape

    element = document[document.index("<svg") :].replace(_INK, "currentColor")
    opening, _, rest = element.partition(">")
    return f'{opening} role="img" aria-label="{escape(description, quote=True)}">{rest}'
