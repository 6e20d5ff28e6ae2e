"""Numbers in running text of any language, as a mathematics answer states them.

A mark between digits is read by what it can mean, and by the language only where it can mean two things: ``1.234``
is 1234 in German and 1.234 in English, but ``12.5`` is a decimal and ``1.234.567`` is grouped in both. The languages'
marks are those of CLDR; a space, thin or not, groups thousands in any language (ISO 80000-1, DIN 5008).
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import cache

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.answer_words import answer_words, pattern
from lm_eval_xling.metrics.replies import boxed, said, unmarked

__all__ = ["decimal_mark", "final_number", "numbers"]


def decimal_mark(language: str) -> str:
    """Return the decimal mark of a language's Latin digits (CLDR): a comma or a point."""
    known = LANGUAGES.get(language)
    return (known and known.decimal_mark) or "."


# No-break, thin, figure and narrow no-break space.
_SPACES = str.maketrans("\u00a0\u2009\u2007\u202f", "    ")
_APOSTROPHES = "'\u2019"
_ARABIC_GROUP = "\u066c"
_FULL_WIDTH_COMMA = "\uff0c"
_GROUP_ONLY = _APOSTROPHES + _ARABIC_GROUP + _FULL_WIDTH_COMMA + " "
_ARABIC_DECIMAL = "\u066b"
_MYRIADS = {"十": 1, "십": 1, "百": 2, "백": 2, "千": 3, "천": 3}
_MYRIADS |= {"万": 4, "萬": 4, "만": 4, "億": 8, "亿": 8, "억": 8, "兆": 12}
# 千克, 千米, 千瓦 and 千卡 are units (kilogram, kilometre, …), 百分 is percent, and 十 and 百 are read before 万 only.
_MYRIAD = re.compile(" ?(?:千(?![克米瓦卡])|[十百십백](?=[천千万萬만億亿억])|[천万萬만億亿억]|兆(?![赫瓦字比]))")
# The digit of m2, cm³-like units and CO2 is part of the unit.
_UNIT_DIGIT = re.compile(r"(?<![^\W\d_])(?:[ckdm]?m[23]|CO2)(?![^\W_])")
_SIGN = re.compile(r"[-\u2212\uff0d]\s?[$€£¥₹฿₽]?\s?$|[$€£¥₹฿₽]\s?[-\u2212\uff0d]$")
# Marks of LaTeX within a number: {,} and {.} stand for the mark alone, \, \; \: ~ are spaces, \! takes space away.
_LATEX = (
    (re.compile(r"\{\s*([,.])\s*\}"), r"\1"),
    (re.compile(r"(?<=\d)(?:\{?\\[,;: ]\}?|~)(?=\d)"), " "),
    (re.compile(r"\\!"), ""),
    (re.compile(r"\\([$%#&])"), r"\1"),
)


def _plain(text: str, language: str) -> str:
    """Text with ASCII digits for those of every script, without LaTeX's marks and invisible characters."""
    text = "".join(character for character in text if unicodedata.category(character) != "Cf").translate(_SPACES)
    for expression, replacement in _LATEX:
        text = expression.sub(replacement, text)
    if language == "fa":
        # The momayyez is often typed as a slash; ASCII digits with a slash are a fraction.
        text = re.sub("(?<![۰-۹/])([۰-۹]+)/([۰-۹]+)(?![۰-۹/])", rf"\1{_ARABIC_DECIMAL}\2", text)
    text = "".join(str(unicodedata.decimal(character)) if character.isdecimal() else character for character in text)
    # The Arabic comma stands for the Latin one; the full-width point has no other use between digits.
    text = re.sub("(?<=[0-9])\u060c(?=[0-9])", ",", text)
    return re.sub("(?<=[0-9])\uff0e(?=[0-9])", ".", text)


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
    may_be_decimal = last in ".," + _ARABIC_DECIMAL and last not in leading
    if len(set(marks)) == 1 and last != _ARABIC_DECIMAL and _is_grouped(groups):
        # One mark before exactly three digits can be either; no one writes three zeros after a decimal mark.
        ambiguous = len(marks) == 1 and last == decimal_mark(language) and groups[-1] != "000"
        if not ambiguous:
            return [Decimal("".join(groups))]
    if may_be_decimal and (not leading or (len(set(leading)) == 1 and _is_grouped(groups[:-1]))):
        return [Decimal("".join(groups[:-1]) + "." + groups[-1])]
    # Not one number. A space is the weakest bond, so it parts first; what follows may be grouped (2019 1 300).
    parts = token.split(" ", 1) if " " in token else groups
    return [number for part in parts for number in _read(part, language)]


def numbers(text: str, language: str) -> list[Decimal]:
    """Return the numbers that a text states, in order, with their signs.

    Digits of every script (Bengali, Thai, Devanagari, Arabic, full-width, …), thousands separators (comma, point,
    apostrophe, spaces, the Indian lakh form, LaTeX's ``{,}`` and thin spaces), decimal points and commas, the Persian
    slash between Persian digits, and the CJK numeral signs from 千 to 兆 after digits are read. Number words,
    fractions and powers of ten are not.

    Args:
        text: any text.
        language: language code, which decides what ``1.234`` means.
    """
    return [value for value, _, _ in _located(text, language)[1]]


def _located(text: str, language: str) -> tuple[str, list[tuple[Decimal, int, int]]]:
    """Return a text as its numbers are read from it, and the numbers with where they start and end in it."""
    plain = _plain(text, language)
    plain = _UNIT_DIGIT.sub(lambda match: " " * len(match[0]), plain)
    found: list[tuple[Decimal, int, int]] = []
    end_of_sum = -1  # Where a number like 3万5千 may go on.
    power_of_sum = 0
    for match in re.finditer(rf"[0-9]+(?:[.,{_GROUP_ONLY}{_ARABIC_DECIMAL}][0-9]+)*", plain):
        values = _read(match[0], language)
        power = 0
        position = match.end()
        while marker := _MYRIAD.match(plain, position):
            power += _MYRIADS[marker[0].strip()]
            position = marker.end()
        values[-1] = values[-1].scaleb(power)
        between = plain[end_of_sum : match.start()] if 0 <= end_of_sum <= match.start() else "…"
        if (
            between in ("", " ")
            and values[0] < Decimal(10) ** power_of_sum
            and (power or not between or language == "ko")
        ):
            total, start, _ = found[-1]
            found[-1] = (total + (values[0] if total >= 0 else -values[0]), start, position)
            values = values[1:]
        elif sign := _SIGN.search(plain[: match.start()]):
            before = plain[: sign.start()].rstrip()
            # After a number or a closing bracket the sign subtracts, inside a word it is a hyphen.
            if not before or not (before[-1].isdigit() or before[-1] in ")]%"):
                if sign.start() == 0 or not plain[sign.start() - 1].isalpha():
                    values[0] = -values[0]
        found.extend((value, match.start(), position) for value in values)
        end_of_sum, power_of_sum = (position, power) if power else (-1, 0)
    return plain, found


_RESULT = re.compile(r"[=＝≈⇒→]")
_OPERATION = re.compile(r"\s*\w{0,12}\s*[-+−×*·/÷^:]\s*[($€£¥₹]?\s*$")
_PERCENT = re.compile(r"\s*(?:[%٪％]|percent\b)")
_CLAUSE_END = re.compile(r"[,;，、؛،](?=\s|[^\d\s])|[(（:]|[–—]\s")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$|[^\w\s])|[。！？؟।۔\n]")


@cache
def _answer_cue(language: str) -> re.Pattern[str]:
    """What stands before the number of an answer: "The final answer is", "**Antwort:**", "答案是"."""
    words = answer_words(language)
    filling = pattern((*words.binding, *words.option, *words.correct, *words.answer))
    currency = r"[-−$€£¥₹฿₽\\(]"
    # "The answer is x + y = 7."
    formula = r"(?:[^\W\d]\w{0,2}(?!\w)[^\n.!?,;]{0,30}=\s*)?"
    between = rf"(?:{filling}|[\s:：=\"“«]|{currency})*"
    return re.compile(rf"(?:{pattern(words.answer)}){between}{formula}(?=\d)", re.IGNORECASE)


def _stated(text: str, language: str) -> Decimal | None:
    """Return the number that a statement comes to: "3 + 4 = 7", "20% of 50, which is 10", "$18 for 2 days"."""
    text, found = _located(text, language)
    if not found:
        return None
    end = _SENTENCE_END.search(text, found[0][2])
    sentence = text[: end.start() if end else len(text)]
    found = [number for number in found if number[1] < len(sentence)]
    (first, _, after), *others = found
    clause = _CLAUSE_END.search(sentence, after)
    clause_end = clause.start() if clause else len(sentence)
    if result := list(_RESULT.finditer(sentence, after, clause_end)):
        return next((value for value, start, _ in others if start >= result[-1].end()), first)
    same_clause = [number for number in found if number[1] < clause_end]
    if len(same_clause) < 2 or not _goes_on(sentence, same_clause):
        return first
    # What is stated is a computation; its result is what the sentence says again, or what it ends in.
    restating = re.compile(pattern(answer_words(language).restating), re.IGNORECASE)
    marks = [*_RESULT.finditer(sentence, clause_end), *restating.finditer(sentence, clause_end)]
    last = max((mark.end() for mark in marks), default=0)
    return next((value for value, start, _ in others if last and start >= last), found[-1][0])


def _goes_on(sentence: str, found: list[tuple[Decimal, int, int]]) -> bool:
    """Whether the first of a clause's numbers is only the beginning of a computation."""
    between = sentence[found[0][2] : found[1][1]]
    of = any(_PERCENT.match(sentence, end) for _, _, end in found[:2])
    return of or _OPERATION.fullmatch(between) is not None


def final_number(
    text: str, language: str, marker: str | None = None, think_end_token: str | None = None
) -> Decimal | None:
    r"""Return the number that an answer ends in, or None where it states none.

    That is the number in the last ``\boxed{…}``; otherwise the one that the last statement comes to: what follows the
    marker, or else the word for "answer" in any language; otherwise the last number of the text, as is usual for MGSM.
    A statement comes to the first number in it, or, where that begins a computation, to its result.

    Args:
        text: the answer, with or without reasoning, Markdown and LaTeX.
        language: language of the answer.
        marker: words that introduce the final answer, such as ``The answer is``.
        think_end_token: as in ``replies.said``.
    """
    answer = said(text, think_end_token)
    for content in reversed(boxed(answer)):
        if (stated := _stated(unmarked(content), language)) is not None:
            return stated
    shown = unmarked(answer)
    if marker:
        _, found, tail = shown.lower().rpartition(marker.lower())
        if found and (stated := _stated(tail, language)) is not None:
            return stated
    cues = list(_answer_cue(language).finditer(shown))
    if cues and (stated := _stated(shown[cues[-1].end() - _lead(shown, cues[-1].end()) :], language)) is not None:
        return stated
    all_numbers = numbers(shown, language)
    return all_numbers[-1] if all_numbers else None


def _lead(text: str, position: int) -> int:
    """Return how many characters of sign and currency stand before a position."""
    lead = re.search(r"[-−$€£¥₹฿₽\s]*$", text[:position])
    return len(lead[0]) if lead else 0
