"""Demonstrations that slide from one language to another (CSICL: Yoo et al. 2025, arXiv 2510.05678)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from lm_eval_xling.families.switching import SWITCHED
from lm_eval_xling.mixing import switch_parallel

__all__ = ["SHARES", "SLIDES", "Slide", "SlidingPart", "slide"]

Slide = Literal["to_english", "from_english"]
"""Direction of a slide."""

SLIDES: tuple[Slide, ...] = get_args(Slide)
"""Both directions."""

SHARES = (0, 25, 50, 75, 100)
"""English of each step in per cent; five steps, as the paper's generator of demonstrations makes."""

_WORDS = 2  # Of chunks: in longer ones most demonstrations would have two or three steps.


class SlidingPart(NamedTuple):
    """A part of a demonstration."""

    text: str
    """As it is shown in the leaf."""
    language: str
    """Code of its language."""
    english: str
    """The same in English."""


def slide(parts: Sequence[SlidingPart], direction: Slide, *, id: str) -> list[tuple[str, ...]]:
    """Return the steps of a demonstration, each the texts of its parts.

    Each part slides by itself, in chunks of two words; what is English in one step is English in the next. Steps that
    are equal are one: a short demonstration has fewer than five, and one in English has one.

    Args:
        parts: such as a question and its options.
        direction: ``to_english``, or the same steps the other way round.
        id: of the demonstration; which chunks turn first depends on it alone.
    """
    steps = [tuple(_step(part, share, f"{id}/{index}") for index, part in enumerate(parts)) for share in SHARES]
    distinct = list(dict.fromkeys(steps))
    return distinct if direction == "to_english" else distinct[::-1]


def _step(part: SlidingPart, share: int, id: str) -> str:
    own, english = part.text.strip(), part.english.strip()
    if own == english:
        return own
    # English text under another language's prompt word is a text in both.
    language = SWITCHED if part.language == "en" else part.language
    texts = {language: own, "en": english}
    return switch_parallel(texts, language, "en", share, id=id, unit="chunk", words=_WORDS).text
