"""Words by which an answer in running text is recognised, and the expressions that find them.

``answer_words.yaml`` has them by language.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import yaml

from lm_eval_xling import literals
from lm_eval_xling.literals import file_of
from lm_eval_xling.metrics.answers import is_unspaced
from lm_eval_xling.metrics.folding import fold

__all__ = ["AnswerWords", "answer_words", "pattern"]

# Words that mean something else in English, or are a name there: German "also" (so), Filipino "hindi" (not).
_FALSE_FRIENDS = frozenset("ali also ama dan hay hindi kana mali sai sax tama trio".split())
# Python's \w leaves out combining marks, so that the vowel signs of Indic scripts would end a word.
_IN_WORD = r"[\w\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0900-\u0963\u0966-\u0dff]"

_FILE = Path(__file__).with_name("answer_words.yaml")


@dataclass(frozen=True, slots=True)
class AnswerWords:
    """Folded words (``folding.fold``) that answers in one language are read by."""

    answer: tuple[str, ...]
    """Nouns: answer, solution."""
    binding: tuple[str, ...]
    """What stands between such a noun and the option: is, would be, therefore, articles."""
    option: tuple[str, ...]
    """Nouns before a letter: option, choice, letter."""
    correct: tuple[str, ...]
    """Correct, right, best."""
    wrong: tuple[str, ...]
    """Incorrect, wrong."""
    not_before: tuple[str, ...]
    """Negations that stand before what they deny."""
    not_after: tuple[str, ...]
    """Negations that stand after what they deny."""
    joining: tuple[str, ...]
    """Or, and."""
    choosing: tuple[str, ...]
    """I choose, I would pick."""
    conditional: tuple[str, ...]
    """If, unless: what they introduce takes a statement back."""
    restating: tuple[str, ...]
    """That is, which is: what follows says the same again."""


def _loose(text: str) -> str:
    """Folded text in which the Turkish letters i are one, since a table for all languages cannot know whose I it is."""
    return fold(text, None).replace("ı", "i")


@cache
def _lists() -> dict[str, dict[str, list[str]]]:
    table: dict[str, dict[str, list[str]]] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    for code, lists in table.items():
        if file_of(code).is_file():
            lists["answer"].append(literals.word(code, "fields.answer"))
    return table


def _is_distinctive(word: str) -> bool:
    """Whether a word means the same wherever it is met: short ASCII words mean other things in other languages."""
    return (len(word) > 2 or not word.isascii()) and word not in _FALSE_FRIENDS


@cache
def answer_words(language: str) -> AnswerWords:
    """Return the words to read an answer by.

    A model may answer in another language than it was asked for, so the words of all languages are read, but those of
    one or two letters only in their own language and in English: ``no`` denies in Spanish and is "is" in Malagasy.

    Args:
        language: code of the language asked for; another code, such as ``mul``, leaves English and the common words.
    """
    joined: dict[str, set[str]] = {field.name: set() for field in fields(AnswerWords)}
    for code, lists in _lists().items():
        for name, listed in lists.items():
            words = (_loose(word) for word in listed)
            joined[name].update(word for word in words if code in (language, "en") or _is_distinctive(word))
    return AnswerWords(**{name: tuple(sorted(words)) for name, words in joined.items()})


def pattern(words: Iterable[str]) -> str:
    """Return a regular expression that matches any of the words, as whole words where their script has spaces."""
    by_boundary: dict[tuple[str, str], list[str]] = defaultdict(list)
    for word in words:
        before = "" if _joins_freely(word[0]) or not word[0].isalnum() else f"(?<!{_IN_WORD})"
        # Korean sets particles directly behind a word.
        after = "" if _joins_freely(word[-1]) or not re.match(_IN_WORD, word[-1]) else f"(?!{_IN_WORD})"
        by_boundary[before, after].append(word)
    groups = [f"{before}(?:{_trie(group)}){after}" for (before, after), group in by_boundary.items()]
    return "|".join(groups) or r"(?!)"


def _trie(words: Iterable[str]) -> str:
    """Return an expression for several words that looks at each character once: a list of 300 would take 20 times."""
    branches: dict[str, list[str]] = defaultdict(list)
    for word in words:
        branches[word[:1]].append(word[1:])
    ends = branches.pop("", None) is not None
    parts = [(r"\s+" if first == " " else re.escape(first)) + _trie(rest) for first, rest in branches.items()]
    if not parts:
        return ""
    return f"(?:{'|'.join(parts)}){'?' if ends else ''}"


def _joins_freely(character: str) -> bool:
    return is_unspaced(character) or "\uac00" <= character <= "\ud7af"
