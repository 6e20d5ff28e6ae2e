"""Text ▸ units, as spans of the source: what lies between the spans is kept, so that nothing can be lost.

A line is a paragraph: no unit reaches over a line break. Heading marks of wiki text (``== Title ==``) lie between
the units, because translators mangle them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import sentencex
from icu4py.breakers import WordBreaker

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.languages import UNSPACED_CHARACTER

__all__ = ["UNIT_KINDS", "Span", "UnitKind", "paragraphs", "separators", "sentences", "split", "word_spans"]

UnitKind: TypeAlias = Literal["document", "sentence", "chunk"]
UNIT_KINDS: tuple[UnitKind, ...] = get_args(UnitKind)
"""What is given to one language as a whole."""

_LINE = re.compile(r"[^\r\n]+")
# Six levels, as MediaWiki has: of any number a long line of marks would take minutes.
_HEADING = re.compile(r"\s*(=(?: ?=){0,5})\s(?P<title>.*\S)\s\1\s*")
_TOKEN = re.compile(r"\S+")


class Span(NamedTuple):
    """Half-open range of characters of a text."""

    start: int
    end: int


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Return the range without the white space at its ends, or None if nothing else is in it."""
    part = text[start:end]
    stripped = part.strip()
    if not stripped:
        return None
    first = start + len(part) - len(part.lstrip())
    return Span(first, first + len(stripped))


def paragraphs(text: str) -> Iterator[Span]:
    """Yield the lines that hold more than white space, without white space and heading marks at their ends."""
    for line in _LINE.finditer(text):
        heading = _HEADING.fullmatch(line[0])
        start, end = heading.span("title") if heading else (0, len(line[0]))
        span = _trimmed(text, line.start() + start, line.start() + end)
        if span is not None:
            yield span


def sentences(text: str, paragraph: Span, language: str) -> Iterator[Span]:
    """Yield the sentences of a paragraph, without the white space between them."""
    start = paragraph.start
    for sentence in sentencex.segment(language, text[paragraph.start : paragraph.end]):
        span = _trimmed(text, start, start + len(sentence))
        if span is not None:
            yield span
        start += len(sentence)


def word_spans(text: str, language: str, within: Span | None = None) -> list[Span]:
    """Return the words of a text, punctuation attached, in order.

    A word is what stands between white space; where a token holds characters of a script without spaces, ICU's
    dictionaries break it further.

    Args:
        text: any text.
        language: its code, a locale for ICU.
        within: part of the text to look at; the whole text by default.
    """
    start, end = within or Span(0, len(text))
    spans: list[Span] = []
    for token in _TOKEN.finditer(text, start, end):
        if UNSPACED_CHARACTER.search(token[0]):
            spans.extend(_broken(token[0], token.start(), language))
        else:
            spans.append(Span(*token.span()))
    return spans


def _broken(token: str, start: int, language: str) -> list[Span]:
    """Break a token without spaces into words; punctuation goes to the word before it, or else after it."""
    spans: list[Span] = []
    first, has_word = start, False
    for part in WordBreaker(token, language):
        if has_word and any(map(str.isalnum, part)):
            spans.append(Span(first, start))
            first, has_word = start, False
        has_word = has_word or any(map(str.isalnum, part))
        start += len(part)
    spans.append(Span(first, start))
    return spans


def split(text: str, language: str, unit: UnitKind, words: int = 8) -> list[list[Span]]:
    """Return the units of a text, each as the pieces that are translated one at a time.

    Args:
        text: any text.
        language: its code.
        unit: the whole ``document``, a ``sentence``, or a ``chunk`` of words.
        words: words a chunk; the last chunk of a paragraph is shorter. Chunks reach over the ends of sentences.

    Returns:
        One list of at least one span a unit; spans are in order, do not overlap, and everything between them is
        white space or heading marks. No units if the text is white space.

    Raises:
        UserError: if ``unit`` is unknown.
        ValueError: if a chunk has no word.
    """
    if words < 1:
        raise ValueError(f"a chunk has at least one word, not {words}")
    if unit not in UNIT_KINDS:
        raise unknown_name("unit", unit, UNIT_KINDS)
    if unit == "chunk":
        return [[chunk] for paragraph in paragraphs(text) for chunk in _chunks(text, language, paragraph, words)]
    spans = [span for paragraph in paragraphs(text) for span in sentences(text, paragraph, language)]
    if unit == "sentence":
        return [[span] for span in spans]
    return [spans] if spans else []


def _chunks(text: str, language: str, paragraph: Span, words: int) -> Iterator[Span]:
    spans = word_spans(text, language, paragraph)
    for first in range(0, len(spans), words):
        last = min(first + words, len(spans)) - 1
        yield Span(spans[first].start, spans[last].end)


def separators(text: str, spans: Sequence[Span]) -> tuple[str, list[str]]:
    """Return what stands before the first span, and what stands after each."""
    if not spans:
        return text, []
    starts = [span.start for span in spans[1:]] + [len(text)]
    return text[: spans[0].start], [text[span.end : start] for span, start in zip(spans, starts, strict=True)]
