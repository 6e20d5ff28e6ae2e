"""Spellings that a reader takes for one another, brought to one form.

Unicode writes the same word in several ways, and keyboards of one script have several letters for one: full-width and
native digits, presentation forms, decomposed accents, Arabic with and without hamza and vowel signs, Romanian with
cedilla instead of comma. Such differences say how a text was typed, not what it says.
"""

from __future__ import annotations

import unicodedata

__all__ = ["fold", "fold_character", "in_blocks"]

# Letters that stand for one another: alef with hamza, madda or wasla; waw and yeh with hamza; the Persian and Arabic
# forms of kaf and yeh, and yeh without dots, as Egyptian texts write it; the hamza on the line stays.
_ARABIC = str.maketrans(
    {"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ؤ": "و", "ئ": "ي", "ى": "ي", "ی": "ي", "ک": "ك"},
)
_ARABIC_MARKS = ((0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06ED))
_HEBREW_MARKS = ((0x0591, 0x05C7),)
_TATWEEL = "\u0640"
# Romanian with the cedilla of older fonts and keyboards.
_ROMANIAN = str.maketrans("şţ", "șț")
# Apostrophes; the modifier letter is that of Ukrainian.
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc\u02bb\u0060\u00b4", "''''''")
_GREEK_ACCENTS = str.maketrans("άέήίόύώϊϋΐΰ", "αεηιουωιυιυ")


def in_blocks(character: str, blocks: tuple[tuple[int, int], ...]) -> bool:
    """Return whether a character's code lies in one of the ranges, ends included."""
    return any(first <= ord(character) <= last for first, last in blocks)


def fold_character(character: str, language: str | None) -> str:
    """Return the form of one character of an NFKC text: no, one or several characters.

    Args:
        character: a character of a text in normal form NFKC.
        language: code of the text's language, which decides what the small letters of ``I`` are (Turkish ``ı``),
            whether ``ş`` may be Romanian, ``ё`` is ``е`` (Russian), and whether capitals lose accents (Greek).
    """
    if character.isascii():
        return "ı" if character == "I" and language == "tr" else character.lower()
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character == _TATWEEL or unicodedata.category(character) == "Cf":
        return ""
    if in_blocks(character, _ARABIC_MARKS) or (in_blocks(character, _HEBREW_MARKS) and not character.isalnum()):
        return "" if unicodedata.category(character) == "Mn" else character
    if character == "İ":
        return "i"
    folded = character.casefold().translate(_ARABIC).translate(_APOSTROPHES)
    if language == "ro":
        return folded.translate(_ROMANIAN)
    if language == "ru":
        return folded.replace("ё", "е")
    if language == "el":
        return folded.translate(_GREEK_ACCENTS)
    return folded


def fold(text: str, language: str | None) -> str:
    """Return a text in which spellings that a reader takes for one another are the same.

    NFKC; decimal digits of every script as 0–9; small letters by the rules of the language; Arabic without vowel
    signs, tatweel and the hamza of a carrier, Hebrew without points; Romanian ``ş`` and ``ţ`` with comma; Russian
    ``ё`` as ``е``; Greek without accents, which capitals do not have; invisible format characters (joiners,
    directions) removed; one apostrophe.

    Args:
        text: any text.
        language: code of its language, or None.
    """
    folded = "".join(fold_character(character, language) for character in unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", folded)
