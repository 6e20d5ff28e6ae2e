"""Numbers in running text of any language, as a mathematics answer states them.

A mark between digits is read by what it can mean, and by the language only where it can mean two things: ``1.234``
is 1234 in German and 1.234 in English, but ``12.5`` is a decimal and ``1.234.567`` is grouped in both. The languages'
marks are those of CLDR.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

__all__ = ["DECIMAL_COMMA", "GROUPING_SPACE", "final_number", "numbers"]

DECIMAL_COMMA = frozenset("bg ca cs de el es fr id is it ky lt nl no pl pt ro ru sl sr sv tr uk vi".split())
"""Languages whose decimal mark is the comma (CLDR); all others of the project use the point."""

# Spanish and Portuguese group by the point in CLDR but by the space in their academies' rules, as MGSM's Spanish does.
GROUPING_SPACE = frozenset("bg cs es fr ky lt no pl pt ru sv uk".split())
"""Languages in which an ordinary space between digits may group thousands."""

_NO_BREAK_SPACES = "\u00a0\u202f\u2009"
_GROUP_ONLY = "'\u2019\u066c\uff0c" + _NO_BREAK_SPACES
_DECIMAL_ONLY = "\u066b"
_MYRIADS = {"千": 3, "천": 3, "万": 4, "萬": 4, "만": 4, "億": 8, "亿": 8, "억": 8}
# 千克, 千米, 千瓦 and 千卡 are units (kilogram, kilometre, …), not thousands.
_MYRIAD = re.compile("(?:千(?![克米瓦卡])|[천万萬만億亿억])")
# The digit of m2, cm³-like units and CO2 is part of the unit.
_UNIT_DIGIT = re.compile(r"(?<![^\W\d_])(?:[ckdm]?m[23]|CO2)(?![^\W_])")
_SIGN = re.compile(r"[-\u2212\uff0d]\s?[$€£¥₹฿₽]?\s?$|[$€£¥₹฿₽]\s?[-\u2212\uff0d]$")


def _ascii_digits(text: str) -> str:
    """Text with the decimal digits of every script as ASCII digits, one character for one."""
    return "".join(str(unicodedata.decimal(character)) if character.isdecimal() else character for character in text)


def _is_grouped(groups: list[str]) -> bool:
    """Whether digit groups are thousands (1 234 567) or the Indian lakh form (12 34 567)."""
    first, *middle, last = groups
    if not 1 <= len(first) <= 3 or first[0] == "0" or len(last) != 3:
        return False
    return all(len(group) == 3 for group in middle) or (len(first) <= 2 and all(len(group) == 2 for group in middle))


def _read(token: str, language: str) -> list[Decimal]:
    """Numbers of one run of digits and marks, most often one."""
    marks = re.findall(r"\D", token)
    groups = re.split(r"\D", token)
    if not marks:
        return [Decimal(token)]
    *leading, last = marks
    decimal_mark = "," if language in DECIMAL_COMMA else "."
    may_be_decimal = last in ".," + _DECIMAL_ONLY and last not in leading
    if len(set(marks)) == 1 and last not in _DECIMAL_ONLY and _is_grouped(groups):
        # One mark before exactly three digits can be either; no one writes three zeros after a decimal mark.
        ambiguous = len(marks) == 1 and last == decimal_mark and groups[-1] != "000"
        if not ambiguous:
            return [Decimal("".join(groups))]
    if may_be_decimal and (not leading or (len(set(leading)) == 1 and _is_grouped(groups[:-1]))):
        return [Decimal("".join(groups[:-1]) + "." + groups[-1])]
    # Not one number. An ordinary space is the weakest bond, so it parts first.
    parts = token.split(" ") if " " in token else groups
    return [number for part in parts for number in _read(part, language)]


def numbers(text: str, language: str) -> list[Decimal]:
    """Return the numbers that a text states, in order, with their signs.

    Native digits (Bengali, Thai, Devanagari, Arabic, full-width, …), thousands separators (comma, point, apostrophe,
    spaces, the Indian lakh form), decimal points and commas, and the CJK numeral signs 千, 万 and 億 after digits are
    read. Number words, fractions and powers of ten are not.

    Args:
        text: any text.
        language: language code, which decides what ``1.234`` means.
    """
    spaces = " " if language in GROUPING_SPACE else ""
    plain = _UNIT_DIGIT.sub(lambda match: " " * len(match[0]), _ascii_digits(text))
    found: list[Decimal] = []
    end_of_sum = -1  # Where a number like 3万5千 may go on.
    power_of_sum = 0
    for match in re.finditer(rf"[0-9]+(?:[.,{_GROUP_ONLY}{_DECIMAL_ONLY}{spaces}][0-9]+)*", plain):
        values = _read(match[0], language)
        power = 0
        position = match.end()
        while marker := _MYRIAD.match(plain, position):
            power += _MYRIADS[marker[0]]
            position = marker.end()
        values[-1] = values[-1].scaleb(power)
        if match.start() == end_of_sum and power < power_of_sum:
            found[-1] += values[0] if found[-1] >= 0 else -values[0]
            values = values[1:]
        elif sign := _SIGN.search(plain[: match.start()]):
            before = plain[: sign.start()].rstrip()
            # After a number or a closing bracket the sign subtracts, inside a word it is a hyphen.
            if not before or not (before[-1].isdigit() or before[-1] in ")]%"):
                if sign.start() == 0 or not plain[sign.start() - 1].isalpha():
                    values[0] = -values[0]
        found.extend(values)
        end_of_sum, power_of_sum = position, power
    return found


def final_number(text: str, language: str, marker: str | None = None) -> Decimal | None:
    """Return the number that an answer ends in, or None where it states none.

    Args:
        text: the answer, with or without reasoning.
        language: language of the answer.
        marker: words that introduce the final answer, such as ``The answer is``; where they occur, the first number
            after their last occurrence counts, otherwise the last number of the text, as is usual for MGSM.
    """
    if marker:
        _, found, tail = text.lower().rpartition(marker.lower())
        if found and (stated := numbers(tail, language)):
            return stated[0]
    stated = numbers(text, language)
    return stated[-1] if stated else None
