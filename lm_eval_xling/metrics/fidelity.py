"""Whether an answer is in the language that was asked for.

Two detectors are asked: lingua (github.com/pemistahl/lingua-py) and py3langid (github.com/adbar/py3langid, a fork of
langid.py, Lui and Baldwin 2012, https://aclanthology.org/P12-3005). They judge against the *asked* language: an answer
is in it if lingua gives it at least half of the probability over all languages, or if py3langid names it and lingua
does not exclude it; it is not if both speak against it; otherwise it cannot be told. Of 12,223 gold answers, premises
and questions in 29 languages 74 % can be told, and all but 4 of them are judged to be in their language; by the
likeliest of lingua's languages alone .984 were, and .46 in Indonesian (``tests/benchmarks/language_of_answers.py``
writes the tables of the task READMEs).

What cannot be told is counted apart (``language_told``): texts with fewer than ``MINIMUM_LETTERS`` letters, and names,
which stand in any language alike. Digits, punctuation and symbols say nothing of the language and are taken out first.
"""

from __future__ import annotations

import logging
import unicodedata
from functools import cache
from importlib.util import find_spec
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.answers import is_unspaced

__all__ = ["MINIMUM_LETTERS", "NEIGHBOURS", "can_detect", "fidelity_scores", "is_in_language"]

log = logging.getLogger(__name__)

MINIMUM_LETTERS = 20
"""Letters that a judged answer has at least.

A letter of a script without spaces (Han, Thai) counts as four; one of another script that is neither Latin, Greek nor
Cyrillic, which write no vowels or a syllable at once, as two.
"""

NEIGHBOURS = {"id": ("id", "ms"), "ms": ("id", "ms")}
"""Languages that no detector here tells apart (Malay is judged Indonesian as often as not): either counts for both."""

_CERTAIN = 0.5
_EXCLUDED = 0.05


def can_detect() -> bool:
    """Return whether both detectors are installed (extra ``langid``); without them there are no metrics of language."""
    return all(find_spec(package) is not None for package in ("lingua", "py3langid"))


@cache
def _lingua() -> tuple[Any, dict[Any, str]]:
    """The detector and the code of each language that it may name."""
    try:
        from lingua import Language, LanguageDetectorBuilder
    except ModuleNotFoundError as error:
        raise _missing("lingua-language-detector") from error
    codes = {language: language.iso_code_639_1.name.lower() for language in Language.all()}
    # lingua tells the two written forms of Norwegian apart, the datasets do not.
    codes = {language: "no" if code in ("nb", "nn") else code for language, code in codes.items()}
    known = {language: code for language, code in codes.items() if code in LANGUAGES}
    return LanguageDetectorBuilder.from_languages(*known).build(), known


@cache
def _langid() -> tuple[Any, frozenset[str]]:
    """The second detector, over those of its languages that the project has."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError as error:
        raise _missing("py3langid") from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    known = [code for code in identifier.labels if _own(code) in LANGUAGES]
    identifier.set_languages(known)
    return identifier, frozenset(map(_own, known))


def _own(code: str) -> str:
    return "no" if code in ("nb", "nn") else code


def _missing(package: str) -> UserError:
    return UserError(f"language_fidelity needs the package {package}", fix="pip install 'lm-eval-xling[langid]'")


def _letters(text: str) -> str:
    """Text with everything but letters, their combining marks and apostrophes as single spaces."""
    kept = (c if unicodedata.category(c)[0] in "LM" or c in "'’" else " " for c in text)
    return " ".join("".join(kept).split())


def _can_be_told(letters: str) -> bool:
    """Whether a text is long enough, and more than names: two words that do not begin with a capital."""
    size = sum(_weight(character) for character in letters if character.isalpha())
    if size < MINIMUM_LETTERS:
        return False
    words = [word for word in letters.split() if len(word) > 2]
    return sum(not word.istitle() and not _is_name(word) for word in words) >= min(2, len(words))


def _weight(character: str) -> int:
    # Hebrew is the first block behind Cyrillic and Armenian; the extensions of Latin and Greek stand further on.
    if is_unspaced(character):
        return 4
    return 2 if ord(character) >= 0x590 and not 0x1E00 <= ord(character) < 0x2000 else 1


def _is_name(word: str) -> bool:
    # McDonald, DuMont, O'Brien: a capital first and small letters behind.
    return word[0].isupper() and not word.isupper()


def is_in_language(text: str, language: str) -> bool | None:
    """Return whether a text is in a language, or None where that cannot be told.

    Args:
        text: any text.
        language: code of the language that was asked for. Of one that neither detector knows nothing can be told.

    Raises:
        UserError: if a detector is not installed.
    """
    detector, codes = _lingua()
    identifier, identified = _langid()
    accepted = NEIGHBOURS.get(language, (language,))
    if not set(accepted) & set(codes.values()):
        _say_once(f"lingua cannot identify {LANGUAGES[language].name}, so language_fidelity has no value for it")
        return None
    letters = _letters(text)
    if not _can_be_told(letters):
        return None
    confidences = detector.compute_language_confidence_values(letters)
    share = sum(found.value for found in confidences if codes[found.language] in accepted)
    named = _own(identifier.classify(letters)[0]) in accepted
    if share >= _CERTAIN or (named and share >= _EXCLUDED):
        return True
    return False if share < _EXCLUDED and not named else None


@cache
def _say_once(message: str) -> None:
    log.warning(message)


def fidelity_scores(text: str, language: str, right: bool | None = None) -> dict[str, float]:
    """Return the metrics of one answer's language; their means over the documents are the task's.

    ``language_told`` is 1.0 if it can be told whether the answer is in the language. Only then there are
    ``language_fidelity`` and, where the answer can be right or wrong, the four cells of right or wrong answer by right
    or wrong language, whose means add up to one.

    Args:
        text: the generated answer.
        language: language that was asked for.
        right: whether the answer is right, or None where it is scored by degree only.
    """
    faithful = is_in_language(text, language)
    if faithful is None:
        return {"language_told": 0.0}
    scores = {"language_told": 1.0, "language_fidelity": float(faithful)}
    if right is not None:
        for answer in (True, False):
            for own in (True, False):
                cell = f"{'right' if answer else 'wrong'}_in_{'language' if own else 'other_language'}"
                scores[cell] = float(right == answer and faithful == own)
    return scores
