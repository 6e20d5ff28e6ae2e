"""Which language a token belongs to, by script and lexicon: where in the layers does the probability mass speak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache

import numpy as np
import regex
from numpy.typing import NDArray

from lm_eval_xling.languages import LANGUAGES

__all__ = ["NO_LETTERS", "SHARE", "UNASSIGNED", "assign"]

SHARE = "share."
"""Prefix of the quantities of the language share; the group's name follows."""
UNASSIGNED = "unassigned"
"""Tokens with letters that no language, or more than one, claims."""
NO_LETTERS = "no letters"
"""Digits, punctuation, white space, special tokens, and bytes that are no characters."""

# ISO 15924 codes that name several Unicode scripts at once.
_UNICODE_SCRIPTS = {"Hans": ("Han",), "Hant": ("Han",), "Jpan": ("Han", "Hiragana", "Katakana"), "Hang": ("Hangul",)}
_UNICODE_SCRIPTS |= {
    code: (name,)
    for code, name in (
        ("Arab", "Arabic"),
        ("Beng", "Bengali"),
        ("Cyrl", "Cyrillic"),
        ("Deva", "Devanagari"),
        ("Ethi", "Ethiopic"),
        ("Grek", "Greek"),
        ("Hebr", "Hebrew"),
        ("Latn", "Latin"),
        ("Sinh", "Sinhala"),
        ("Telu", "Telugu"),
        ("Thai", "Thai"),
    )
}
_LETTER = regex.compile(r"[\p{L}\p{M}]")
# A piece of fewer letters begins words of almost every language.
_SHORTEST_PIECE = 4


@cache
def _pattern(script: str) -> regex.Pattern[str]:
    # Marks (vowel signs) carry their script too; characters common to all scripts (digits, dots) do not count.
    return regex.compile("".join(rf"|\p{{Script={name}}}" for name in _UNICODE_SCRIPTS[script])[1:])


def assign(
    pieces: Sequence[bytes], languages: Sequence[str], lexicons: Mapping[str, Collection[str]]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Assign every token of a vocabulary to one language, to ``UNASSIGNED`` or to ``NO_LETTERS``.

    A token belongs to the languages whose script all its letters have. If that is one language, it is assigned. If
    it is several, the lexicons decide: the token must be a word, or (from four letters on) begin a word, of exactly
    one of them. Whole words win over beginnings.

    Args:
        pieces: the bytes of each token.
        languages: language codes that compete, English among them for the latent-English stage.
        lexicons: words of each language; a language without a lexicon is assigned by its script alone.

    Returns:
        The group names (languages, ``UNASSIGNED``, ``NO_LETTERS``) and the group's index of each token ``(tokens,)``.
    """
    groups = (*languages, UNASSIGNED, NO_LETTERS)
    index = {name: number for number, name in enumerate(groups)}
    words: dict[str, set[str]] = defaultdict(set)
    beginnings: dict[str, set[str]] = defaultdict(set)
    for language in languages:
        for entry in lexicons.get(language, ()):
            word = entry.lower()
            words[word].add(language)
            for end in range(_SHORTEST_PIECE, len(word)):
                beginnings[word[:end]].add(language)
    scripts = {language: LANGUAGES[language].script for language in languages}
    result = np.full(len(pieces), index[UNASSIGNED], dtype=np.int64)
    claimed: dict[str, frozenset[str]] = {}
    for number, piece in enumerate(pieces):
        letters = _LETTER.findall(piece.decode(errors="ignore"))
        if not letters:
            result[number] = index[NO_LETTERS]
            continue
        for letter in letters:
            if letter not in claimed:
                claimed[letter] = frozenset(
                    language for language, script in scripts.items() if _pattern(script).match(letter)
                )
        candidates = set.intersection(*(set(claimed[letter]) for letter in letters))
        if len(candidates) > 1:
            text = piece.decode(errors="ignore").strip().lower()
            candidates &= words.get(text) or beginnings.get(text) or set()
        if len(candidates) == 1:
            result[number] = index[candidates.pop()]
    return groups, result
