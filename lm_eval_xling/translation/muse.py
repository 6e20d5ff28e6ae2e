"""Bilingual word lists in MUSE's format (Conneau et al. 2018, arXiv 1710.04087): a word, a space, its translation."""

from __future__ import annotations

import logging
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import text_lines

__all__ = ["read_word_pairs"]

log = logging.getLogger(__name__)

# Marks of a sentence that extraction left at a word. Not the apostrophe and the hyphen (l', anti-), nor marks that
# belong to a word in Hebrew (׳ ״), Thai (ฯ) and Hindi (॰).
_OPENING = '([{"“„‚«‹¿¡（「『《'
_CLOSING = ',;:!?…)]}"“”’»›、。，；：！？．）」』》،؛؟۔।'
_NO_BREAK_SPACE = "\u00a0"


def read_word_pairs(path: Path) -> list[tuple[str, str]]:
    """Return the pairs of a word list, in the file's order; equal pairs and pairs of equal words stay.

    Fields are divided by a tab or, without one, by spaces. Punctuation around a word is not part of it, and a
    no-break space inside a field is a space. A line that is no pair (without tabs, one with a phrase: nobody knows
    where it ends) is left out, and the number of such lines is logged.

    Raises:
        UserError: if the file cannot be read, or more lines are no pairs than are.
    """
    pairs: list[tuple[str, str]] = []
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        fields = _fields(line)
        if len(fields) == 2:
            pairs.append((fields[0], fields[1]))
        else:
            bad.append((number, f"line {number} has {len(fields)} fields, a word pair has 2"))
    if len(bad) > len(pairs):
        raise UserError(
            bad[0][1],
            where=f"{path}, line {bad[0][0]}",
            fix="give a file in MUSE's format: word, tab or space, translation",
        )
    if bad:
        log.warning("%s: %d of %d lines left out: %s", path, len(bad), len(bad) + len(pairs), bad[0][1])
    return pairs


def _fields(line: str) -> list[str]:
    line = line.strip()
    for separator in ("\t", " ", _NO_BREAK_SPACE):
        if separator in line:
            return [word for field in line.split(separator) if (word := _word(field))]
    return [line]


def _word(field: str) -> str:
    """A field without the punctuation around it; a field of punctuation alone as it is."""
    plain = " ".join(field.split())
    word = plain.lstrip(_OPENING).rstrip(_CLOSING).strip()
    # The full stop of an abbreviation stands after another one or a single letter (z.B., p.).
    if word.endswith(".") and "." not in word[:-1] and len(word) > 2:
        word = word.rstrip(".")
    return word if any(map(str.isalnum, word)) else plain
