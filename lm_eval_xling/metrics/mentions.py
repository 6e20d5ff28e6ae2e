"""Where a text names an option: by the option's text, or by its letter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lm_eval_xling.metrics.answers import is_unspaced
from lm_eval_xling.metrics.folding import fold_character
from lm_eval_xling.metrics.replies import plain

__all__ = ["CLOSING", "OPENING", "Mentions", "Named", "skip"]

# Letters of other scripts that stand for a Latin one where options are named in the order of that script's letters.
# Cyrillic is left out: В looks like B and is the third option of а, б, в, г.
_NATIVE_LETTERS = {
    "a": ("ا", "الف", "א", "α", "ก", "क", "ক"),
    "b": ("ب", "ב", "β", "ข", "ख", "খ"),
    "c": ("ج", "ג", "γ", "ค", "ग", "গ"),
    "d": ("د", "ד", "δ", "ง", "घ", "ঘ"),
    "e": ("ه", "ה", "ε", "จ", "ङ", "ঙ"),
    "f": ("و", "ו", "ζ", "ฉ", "च", "চ"),
}
OPENING = "([{<\"'“”„‟«»‹›「『（【《"
CLOSING = ")]}>\"'“”«»‹›」』）】》"


@dataclass(frozen=True, slots=True)
class Named:
    """One naming of an option in the text."""

    index: int
    start: int
    end: int
    is_letter: bool
    is_marked: bool
    """Whether brackets stand around a letter."""
    is_strict: bool
    """Whether nothing but punctuation, a bracket or the end of the line follows."""
    is_capital: bool


class Mentions:
    """A text with what it is searched for: options, their letters, and the words around them."""

    def __init__(self, text: str, options: Sequence[str], letters: Sequence[str]) -> None:
        self.folded, self.capital = _folded(plain(text))
        self.letters = {form: index for index, letter in enumerate(letters) for form in _forms(letter, letters)}
        texts = ((_trimmed(_folded(plain(option))[0]), index) for index, option in enumerate(options))
        # The longest first, so that "Paris, Texas" is not taken for "Paris".
        self.options = sorted(((text, index) for text, index in texts if text), key=lambda pair: -len(pair[0]))
        beginnings = {*self.letters, *(text.split()[0] for text, _ in self.options)}
        brackets = f"[{re.escape(OPENING)}]*"
        self.beginning = re.compile(f"{brackets}(?:{'|'.join(map(re.escape, beginnings)) or '(?!)'})")

    # Reading at a position ------------------------------------------------------------------------------------------

    def letter(self, position: int, free: bool = False) -> Named | None:
        """Return the letter at a position, with the brackets around it, or None.

        Args:
            position: where it or its opening bracket begins.
            free: whether the text before has been read, so that it need not be a boundary.
        """
        text = self.folded
        start = position
        while start < len(text) and text[start] in OPENING:
            start += 1
        opened = start > position
        for form in sorted(self.letters, key=len, reverse=True):
            if not text.startswith(form, start):
                continue
            end = start + len(form)
            if not (free or opened) and start and _joins(text[start - 1], form):
                continue
            if not self._ends_letter(start, end):
                continue
            closing = end
            while closing < len(text) and text[closing] in CLOSING and not _is_apostrophe(text, closing):
                closing += 1
            strict = re.match(r"\s*(?:$|[\n.,:;!?)\]}>\"'“”»|–—\-。，、：；！？।۔،؛/&]|\()", text[closing:]) is not None
            strict = strict or (closing < len(text) and not text[closing].isspace() and not text[closing].isascii())
            native = not form.isascii()
            return Named(
                self.letters[form],
                position,
                closing,
                is_letter=True,
                is_marked=closing > end and (opened or text[end] == ")"),
                is_strict=strict,
                is_capital=native or form.isdigit() or self.capital[start],
            )
        return None

    def _ends_letter(self, start: int, end: int) -> bool:
        text = self.folded
        if end >= len(text):
            return True
        after = text[end : end + 3]
        form = text[start:end]
        if _joins(after[0], form) or after[0] in "+#°^_=*%$€":
            return False
        if after[0] in "-–/'" and len(after) > 1 and after[1].isalnum():
            if after[0] == "'":
                # B'dir; but I'm, d'accord.
                return self.capital[start] and form not in "idl"
            return after[0] == "/" and self.letter(end + 1) is not None
        if form.isdigit() and after[0] in ".,:" and after[1:2].isdigit():
            return False
        # Abbreviations such as B.C. and e.g.
        return not (after[0] == "." and re.match(r"\.[a-z](?![a-z])", after) is not None)

    def option(self, position: int, free: bool = False) -> Named | None:
        """Return the longest option whose text stands at a position, or None; quotation marks before it are skipped."""
        text = self.folded
        start = position
        while start < len(text) and text[start] in OPENING:
            start += 1
        for option, index in self.options:
            end = _match(option, text, start)
            if end is None:
                # An option may itself begin with a bracket.
                end = _match(option, text, position)
            if end is None:
                continue
            if not free and start and _joins(text[start - 1], option[0]) and _joins(option[0], "a"):
                continue
            if end < len(text) and _joins(text[end], option[-1]) and not _has_ending(text, end):
                continue
            if _is_part_of_number(text, start, end):
                continue
            while end < len(text) and text[end] in CLOSING:
                end += 1
            return Named(index, position, end, False, False, True, True)
        return None

    def option_behind(self, position: int) -> Named | None:
        """Return the option whose text stands behind a letter and its delimiter, or None: "B. Paris", "B – Paris"."""
        for delimiters in (" \t.):：,、", " \t.):：,、-–—=([（"):
            # A dash may be the option's own sign.
            if found := self.option(skip(self.folded, position, delimiters), free=True):
                return found
        return None

    @cached_property
    def mentions(self) -> list[Named]:
        """Every option text, longest first, and every capital letter between boundaries, in order of position."""
        found: list[Named] = []
        position = 0
        while match := self.beginning.search(self.folded, position):
            named = self.option(match.start()) or self.letter(match.start())
            if named and (not named.is_letter or named.is_capital or named.is_marked):
                found.append(named)
                position = max(named.end, match.start() + 1)
            else:
                position = match.start() + 1
        return found


def _folded(text: str) -> tuple[str, list[bool]]:
    """Return a text folded for comparison, and for each of its characters whether it was a capital."""
    folded: list[str] = []
    capital: list[bool] = []
    for character in text:
        form = fold_character(character, None).replace("ı", "i")
        folded.append(form)
        capital += [character.isupper()] * len(form)
    return "".join(folded), capital


def _forms(letter: str, letters: Sequence[str]) -> list[str]:
    """Return the folded spellings of an option's letter."""
    form = _folded(plain(letter))[0].strip()
    native = [_folded(other)[0] for other in _NATIVE_LETTERS.get(form, ()) if other not in letters]
    return [form, *native] if form else []


def _trimmed(option: str) -> str:
    return " ".join(option.strip().rstrip(".。।").split())


def _match(option: str, text: str, start: int) -> int | None:
    """Return where an option's text ends in a text, any space standing for any other, or None."""
    position = start
    for character in option:
        if character == " ":
            begin = position
            while position < len(text) and text[position].isspace():
                position += 1
            if position == begin:
                return None
        elif text.startswith(character, position):
            position += 1
        else:
            return None
    return position


def _joins(character: str, neighbour: str) -> bool:
    """Whether a character beside another makes one word with it: letters and digits of one script."""
    if unicodedata.category(character)[0] == "M":
        return True
    if not character.isalnum():
        return False
    if is_unspaced(character) or "\uac00" <= character <= "\ud7af":
        # Particles follow Latin letters directly (Bです, B는), and Thai has no spaces; a Thai letter joins Thai ones.
        return "\u0e00" <= character <= "\u0e7f" and "\u0e00" <= neighbour[0] <= "\u0e7f"
    if neighbour[0].isascii():
        return character.isascii() or "\u00c0" <= character <= "\u024f" or "\u1e00" <= character <= "\u1eff"
    return True


def _has_ending(text: str, position: int) -> bool:
    """Whether an ending that Turkish sets behind a predicate follows: olumludur."""
    return re.match(r"[dt][ıiuü]r(?!\w)", text[position:]) is not None


def _is_apostrophe(text: str, position: int) -> bool:
    return text[position] == "'" and text[position + 1 : position + 2].isalnum()


def _is_part_of_number(text: str, start: int, end: int) -> bool:
    """Whether a number goes on where an option's digits end (1 in 1.5), or has begun before them (1 in -1 and 0.1)."""
    if text[end - 1].isdigit() and re.match(r"[.,]\d", text[end:]):
        return True
    return text[start].isdigit() and re.search(r"(?:\d[.,]|(?<![^\s(=:])[-−])$", text[:start][-3:]) is not None


def skip(text: str, position: int, characters: str) -> int:
    """Return the first position, from a given one on, at which none of the characters stands."""
    while position < len(text) and text[position] in characters:
        position += 1
    return position
