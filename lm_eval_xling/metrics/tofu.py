"""TOFU's metrics: answer probability, truth ratio and ROUGE-L recall.

Definitions of Maini et al. 2024, *TOFU: A Task of Fictitious Unlearning for LLMs* (arXiv 2401.06121), section 2.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from lm_eval_xling.metrics.answers import normalise

__all__ = ["choice_probability", "normalised_probability", "rouge_l_recall", "truth_ratio", "truthfulness"]


def normalised_probability(loglikelihood: float, length: int) -> float:
    """Return P(a | q)^(1/|a|), from 0 to 1.

    Args:
        loglikelihood: log P(a | q), in nats.
        length: |a|; TOFU counts tokens.
    """
    return math.exp(loglikelihood / length)


def choice_probability(probabilities: Sequence[float], answer: int) -> float:
    """Return P(a | q) / Σᵢ P(aᵢ | q), which TOFU reports for real authors and world facts.

    Args:
        probabilities: (length-normalised) probability of each choice.
        answer: index of the right one.
    """
    return probabilities[answer] / sum(probabilities)


def truth_ratio(right: float, perturbed: Sequence[float]) -> float:
    """Return R_truth, the mean probability of the wrong answers over that of the right one (TOFU, equation 1).

    Below 1 the model prefers the truth; TOFU calls a model that has not seen the facts one whose ratios are like those
    of the retain model.

    Args:
        right: length-normalised probability of the paraphrased right answer, or of the answer itself where the data
            has no paraphrase (real authors, world facts).
        perturbed: length-normalised probabilities of the wrong answers in the same wording.
    """
    return sum(perturbed) / len(perturbed) / right


def truthfulness(ratio: float) -> float:
    """Return max(0, 1 − R_truth), the form that TOFU averages wherever the model is meant to know the facts."""
    return max(0.0, 1.0 - ratio)


class _UnicodeWords:
    """Tokenizer for rouge-score, whose own keeps nothing but a–z and 0–9."""

    def tokenize(self, text: str) -> list[str]:
        return normalise(text, None)


@cache
def _scorer(english: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    # TOFU's setting for English: rouge-score's tokenizer with Porter's stemmer, which exists for English alone.
    if english:
        return RougeScorer(["rougeL"], use_stemmer=True)
    return RougeScorer(["rougeL"], tokenizer=_UnicodeWords())


def rouge_l_recall(answer: str, reference: str, language: str) -> float:
    """Return the ROUGE-L recall of an answer, from 0 to 1 (Lin 2004, https://aclanthology.org/W04-1013).

    English is scored as TOFU does (rouge-score, stemmed). Other languages are split into Unicode words, unspaced
    scripts into characters, without stemming.
    """
    return float(_scorer(language == "en").score(reference, answer)["rougeL"].recall)
