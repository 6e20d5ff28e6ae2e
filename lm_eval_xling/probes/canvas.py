"""Pictures of a run, from its numbers alone: PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_xling.drawing.titles import in_lines
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import identify
from lm_eval_xling.probes import fonts
from lm_eval_xling.probes.probe import ALL_LANGUAGES, Measure, Picture, Quantity
from lm_eval_xling.probes.probed_model import BASE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "View",
    "canvas",
    "draw_band",
    "grid",
    "hide_from",
    "label_words",
    "language_name",
    "last_layer",
    "layer_axis",
    "save",
    "select",
    "unit_label",
    "views",
]

_TITLE_SIZE = 10.8
"""In points."""


@dataclass(frozen=True, slots=True)
class View:
    """What one picture shows: a variant, or its difference from another."""

    variant: str
    """``base`` or an adapter's name."""
    minus: str | None
    """Variant that is subtracted."""

    @property
    def suffix(self) -> str:
        """Ending of the file name."""
        return "" if self.variant == BASE else f"-{self.variant}" + (f"-minus-{self.minus}" if self.minus else "")

    def title(self, model: str) -> str:
        """What stands in the picture's title."""
        name = Path(model).name
        if self.variant == BASE:
            return name
        return f"{name}: {self.variant} minus {self.minus}" if self.minus else f"{name} with {self.variant}"


def views(measures: Sequence[Measure]) -> list[View]:
    """Return the variants and differences of a run, the base first."""
    return list(dict.fromkeys(View(measure.variant, measure.minus) for measure in measures))


def language_name(code: str) -> str:
    """Return the English name, and the native one where it differs: ``Chinese (中文)``."""
    if code == ALL_LANGUAGES:
        return "all languages"
    try:
        language = identify(code)
    except UserError:
        return code
    same = language.native_name.lower() == language.name.lower()
    return language.name if same else f"{language.name} ({language.native_name})"


@contextmanager
def canvas(texts: Sequence[str], rows: int, columns: int, size: tuple[float, float]) -> Iterator[tuple[Figure, Any]]:
    """Give a grid of axes in our style, with fonts for all texts.

    Args:
        texts: everything that will be written, to find fonts for.
        rows: of the grid.
        columns: of the grid.
        size: width and height of one cell in inches.

    Raises:
        UserError: if a character has no font.
    """
    import matplotlib
    from matplotlib.figure import Figure

    written = "".join(texts)
    fonts.require(written)
    settings = {
        "font.family": fonts.families(written),
        "font.size": 9,
        "figure.titlesize": _TITLE_SIZE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        # Without a salt of our own, the same numbers would give another SVG each time.
        "svg.hashsalt": "lm-eval-xling",
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, path: Path, caption: str) -> Picture:
    """Write a figure as PNG and SVG and return where it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A model's name may be long.
    figure.suptitle(in_lines(figure, figure.get_suptitle(), size=_TITLE_SIZE))
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path, dpi=150)
    return Picture(path, caption)


def layer_axis(axes: Axes, last: int) -> None:
    """Label the horizontal axis with layers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(-0.3, last + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.set_xlabel(f"layer (0: embedding, {last}: output)")


def draw_band(axes: Axes, measures: Sequence[Measure], label: str, **look: Any) -> None:
    """Draw one series over the layers with its 95 % band."""
    ordered = sorted((measure for measure in measures if measure.layer is not None), key=lambda m: m.layer or 0)
    layers = [measure.layer or 0 for measure in ordered]
    (line,) = axes.plot(layers, [m.value for m in ordered], label=label, linewidth=1.6, **look)
    axes.fill_between(
        layers,
        [m.low for m in ordered],
        [m.high for m in ordered],
        color=line.get_color(),
        alpha=0.18,
        linewidth=0,
    )


def select(measures: Sequence[Measure], view: View, **wanted: Any) -> list[Measure]:
    """Return the measures of a view with the given quantity, language or other."""
    return [
        measure
        for measure in measures
        if measure.variant == view.variant
        and measure.minus == view.minus
        and all(getattr(measure, name) == value for name, value in wanted.items())
    ]


def unit_label(quantity: Quantity, view: View) -> str:
    """Return the label of the vertical axis."""
    return f"difference of {quantity.unit}" if view.minus else quantity.unit


def last_layer(measures: Sequence[Measure]) -> int:
    """Return the highest layer."""
    return max(measure.layer for measure in measures if measure.layer is not None)


def grid(count: int, columns: int) -> tuple[int, int]:
    """Return rows and columns for a number of panels."""
    columns = min(columns, count)
    return -(-count // columns), columns


def hide_from(axes: Any, used: int) -> None:
    """Switch off the panels that nothing was drawn in."""
    for panel in list(np.ravel(axes))[used:]:
        panel.set_axis_off()


def label_words(labels: Mapping[str, Sequence[str]], language: str) -> str:
    """Return the label words of a language as a panel shows them."""
    return " / ".join(labels.get(language, ()))
