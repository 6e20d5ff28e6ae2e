"""Colours of series, the same in every picture."""

from __future__ import annotations

from typing import Any

__all__ = ["PALETTE", "line_style"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C2E", "#7A5195")
"""Okabe and Ito's colours (2008), distinct with every common form of colour blindness. Their yellow is pale on white
and their black is lost on a dark page, so that an olive and a violet of like contrast stand for them."""
_LINES = ("-", "--", ":", "-.")


def line_style(number: int) -> dict[str, Any]:
    """Return matplotlib's colour and line of the n-th series: colours first, then other lines of the same colours."""
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": _LINES[number // len(PALETTE) % len(_LINES)]}
