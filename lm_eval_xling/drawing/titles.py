"""Titles that stay inside their picture."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["in_lines"]


def in_lines(figure: Figure, text: str, *, size: float) -> str:
    """Return a text with line breaks where the figure ends; those that it has stay.

    Args:
        figure: on which it stands, centred.
        text: such as a title with a model's name in it.
        size: of the font, in points.
    """
    # A letter is at most so wide on average.
    letters = int(figure.get_figwidth() / (0.0085 * size))
    return "\n".join(fill(line, letters) for line in text.splitlines())
