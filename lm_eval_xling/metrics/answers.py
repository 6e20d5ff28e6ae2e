"""Exact match and F1 of extractive question answering in many languages.

SQuAD's metrics (Rajpurkar et al. 2016, arXiv 1606.05250) with the normalisation of MLQA (Lewis et al. 2020, arXiv
1910.07475): every Unicode punctuation character is removed, articles are those of the answer's language, and scripts
written without spaces are compared character by character.

Beside the published metrics stand ``exact_match_folded`` and ``f1_folded``, the same on folded texts
(``folding.fold``): what differs only in how it was typed (decomposed accents, full-width or native digits, Romanian
cedillas, Arabic hamza and vowel signs, Turkish capitals) is equal to a reader and to them.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from lm_eval_xling.metrics.folding import fold

__all__ = ["answer_scores", "best_exact_match", "best_f1", "f1", "is_unspaced", "normalise", "words"]

# MLQA's lists; it names none for Hindi and Chinese, and languages it does not cover have none here either. Its Arabic
# rule takes the article off the beginning of a word.
_ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": r"(?<!\w)ال",
}


def is_unspaced(character: str) -> bool:
    """Return whether a character's script writes no spaces between words (Han, kana, Thai, Lao, Khmer, Burmese)."""
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF  # Han
        or 0x3400 <= code <= 0x4DBF  # Han, extension A
        or 0x20000 <= code <= 0x3FFFF  # Han, further extensions
        or 0xF900 <= code <= 0xFAFF  # Han, compatibility
        or 0x3040 <= code <= 0x30FF  # Hiragana and Katakana
        or 0x0E00 <= code <= 0x0EFF  # Thai and Lao
        or 0x1000 <= code <= 0x109F  # Myanmar
        or 0x1780 <= code <= 0x17FF  # Khmer
    )


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def words(text: str) -> list[str]:
    """Split text at spaces, and unspaced scripts into characters with their combining marks.

    MLQA segments Chinese so; Japanese, Thai, Lao, Khmer and Burmese are written without spaces too.
    """
    spaced: list[str] = []
    combining = False
    for character in text:
        if is_unspaced(character):
            # A vowel sign or tone mark belongs to the character that it stands over.
            attach = combining and unicodedata.category(character) in ("Mn", "Mc")
            spaced.append(character if attach else f" {character}")
            combining = True
        else:
            # A word of another script that follows directly is a word of its own.
            spaced.append(f" {character}" if combining else character)
            combining = False
    return "".join(spaced).split()


def normalise(answer: str, language: str | None) -> list[str]:
    """Return the words of an answer, lower-cased, without punctuation and articles.

    Args:
        answer: text of an answer.
        language: code of the language that the answer is in (that of the context), or None to keep articles.
    """
    text = "".join(character for character in answer.lower() if not _is_punctuation(character))
    articles = _ARTICLES.get(language) if language else None
    return words(re.sub(articles, " ", text) if articles else text)


def f1(answer: str, reference: str, language: str) -> float:
    """Return the F1 score of the words that an answer shares with a reference, from 0 to 1.

    Two answers without any word, such as two articles, agree if both are empty (SQuAD 2.0's evaluation script).
    """
    given, expected = normalise(answer, language), normalise(reference, language)
    if not given or not expected:
        return float(given == expected)
    shared = sum((Counter(given) & Counter(expected)).values())
    return 2 * shared / (len(given) + len(expected))


def best_f1(answer: str, references: Iterable[str], language: str) -> float:
    """Return the highest F1 of an answer over the references."""
    return max(f1(answer, reference, language) for reference in references)


def best_exact_match(answer: str, references: Iterable[str], language: str) -> float:
    """Return 1.0 if an answer has the same words as one of the references in the same order, otherwise 0.0."""
    given = normalise(answer, language)
    return float(any(given == normalise(reference, language) for reference in references))


def answer_scores(answer: str, references: Sequence[str], language: str) -> dict[str, float]:
    """Return the scores of an extracted answer, each from 0 to 1.

    ``exact_match`` and ``f1`` are MLQA's; ``exact_match_folded`` and ``f1_folded`` are the better of these and the same
    on folded texts. (Folding alone would part ``IBM`` and ``ibm`` in Turkish, whose capital of ``i`` is ``İ``.)

    Args:
        answer: the given answer.
        references: the gold answers.
        language: code of the language that the answer is in, which is that of the context.
    """
    match, overlap = best_exact_match(answer, references, language), best_f1(answer, references, language)
    folded, folded_references = fold(answer, language), [fold(reference, language) for reference in references]
    return {
        "exact_match": match,
        "f1": overlap,
        "exact_match_folded": max(match, best_exact_match(folded, folded_references, language)),
        "f1_folded": max(overlap, best_f1(folded, folded_references, language)),
    }
