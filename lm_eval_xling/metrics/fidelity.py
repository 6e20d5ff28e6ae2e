"""Whether an answer is in the language that was asked for, by lingua (github.com/pemistahl/lingua-py).

Digits, punctuation and symbols say nothing of the language and are taken out first. What then has fewer than
``MINIMUM_LETTERS`` letters, such as a name or a bare number, is not judged at all. Of SNLI premises in the 20 languages
of Zhang et al. cut to that length, 90 % (Malay, which is close to Indonesian) to 100 % are recognised.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.answers import is_unspaced

__all__ = ["MINIMUM_LETTERS", "fidelity_scores", "identify", "is_in_language"]

MINIMUM_LETTERS = 20
"""Letters that a judged answer has at least; one of a script without spaces, such as Han or Thai, counts as four."""

_WEIGHT_UNSPACED = 4


@cache
def _detector() -> tuple[Any, dict[Any, str]]:
    """The detector and the code of each language that it may name."""
    try:
        from lingua import Language, LanguageDetectorBuilder
    except ModuleNotFoundError as error:
        raise UserError(
            "language_fidelity needs the package lingua-language-detector",
            fix="pip install 'lm-eval-xling[langid]'",
        ) from error
    codes = {language: language.iso_code_639_1.name.lower() for language in Language.all()}
    # lingua tells the two written forms of Norwegian apart, the datasets do not.
    codes = {language: "no" if code in ("nb", "nn") else code for language, code in codes.items()}
    known = {language: code for language, code in codes.items() if code in LANGUAGES}
    return LanguageDetectorBuilder.from_languages(*known).build(), known


def _letters(text: str) -> str:
    """Text with everything but letters, their combining marks and apostrophes as single spaces."""
    kept = (c if unicodedata.category(c)[0] in "LM" or c in "'’" else " " for c in text)
    return " ".join("".join(kept).split())


def identify(text: str) -> str | None:
    """Return the code of the language that a text is in, or None where it is too short or nothing speaks for one."""
    letters = _letters(text)
    size = sum(_WEIGHT_UNSPACED if is_unspaced(character) else 1 for character in letters if character.isalpha())
    if size < MINIMUM_LETTERS:
        return None
    detector, codes = _detector()
    return codes.get(detector.detect_language_of(letters))


def is_in_language(text: str, language: str) -> bool | None:
    """Return whether a text is in a language, or None where it is too short to say.

    Raises:
        UserError: if lingua is not installed, or does not know the language.
    """
    _, codes = _detector()
    if language not in codes.values():
        raise UserError(
            f"lingua cannot identify {LANGUAGES[language].name}, so language_fidelity has no value",
            fix=f"languages that it can: {', '.join(sorted(set(codes.values())))}",
        )
    found = identify(text)
    return None if found is None else found == language


def fidelity_scores(text: str, language: str, right: bool | None = None) -> dict[str, float]:
    """Return the metrics of one answer's language; their means over the documents are the task's.

    ``language_judged`` is 1.0 if the answer was long enough to be judged. Only then there are ``language_fidelity``
    and, where the answer can be right or wrong, the four cells of right or wrong answer by right or wrong language,
    whose means add up to one.

    Args:
        text: the generated answer.
        language: language that was asked for.
        right: whether the answer is right, or None where it is scored by degree only.
    """
    faithful = is_in_language(text, language)
    if faithful is None:
        return {"language_judged": 0.0}
    scores = {"language_judged": 1.0, "language_fidelity": float(faithful)}
    if right is not None:
        for answer in (True, False):
            for own in (True, False):
                cell = f"{'right' if answer else 'wrong'}_in_{'language' if own else 'other_language'}"
                scores[cell] = float(right == answer and faithful == own)
    return scores
