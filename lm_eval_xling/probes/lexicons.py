"""Bilingual word lists in MUSE's format: one pair a line, a file a language pair."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve
from lm_eval_xling.translation.muse import read_word_pairs

__all__ = ["Lexicons", "read_lexicons", "words_by_language"]

Lexicons: TypeAlias = Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]]
"""From (source language, target language) to lower-cased source word to its translations, in the file's order."""

_NAME = re.compile(r"([A-Za-z_]+)-([A-Za-z_]+)\.")


def read_lexicons(folder: Path) -> Lexicons:
    """Read every file of a folder that is named ``SOURCE-TARGET.…``, such as ``en-de.txt``.

    Pairs whose two sides are equal are left out: names and loans, a fifth to a quarter of MUSE, replace nothing.

    Args:
        folder: has files with one pair a line, separated by a tab or a space.

    Raises:
        UserError: if there is no such file, or one is no word list.
    """
    lexicons: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = _NAME.match(path.name)
        if match is None or not path.is_file():
            continue
        pair = resolve(match[1]).code, resolve(match[2]).code
        found = lexicons.setdefault(pair, {})
        for word, translation in read_word_pairs(path):
            if word.lower() != translation.lower() and translation not in found.get(word.lower(), ()):
                found[word.lower()] = (*found.get(word.lower(), ()), translation)
    if not lexicons:
        raise UserError(
            "there is no lexicon here",
            where=folder,
            fix="give a folder with files such as en-de.txt (github.com/facebookresearch/MUSE has them)",
        )
    return lexicons


def words_by_language(lexicons: Lexicons) -> dict[str, frozenset[str]]:
    """Return the words of each language on either side of the lexicons."""
    words: dict[str, set[str]] = {}
    for (source, target), pairs in lexicons.items():
        words.setdefault(source, set()).update(pairs)
        words.setdefault(target, set()).update(word for found in pairs.values() for word in found)
    return {language: frozenset(found) for language, found in words.items()}
