"""TOFU's metrics: answer probability, truth ratio and ROUGE-L recall.

Definitions of Maini et al. 2024, *TOFU: A Task of Fictitious Unlearning for LLMs* (arXiv 2401.06121), section 2.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from lm_eval_xling.metrics.answers import normalise
from lm_eval_xling.metrics.lengths import Lengths, likeliest

__all__ = [
    "choice_probability",
    "given_answer_scores",
    "normalised_probability",
    "rouge_l_recall",
    "truth_ratio",
    "truthfulness",
]


def normalised_probability(loglikelihood: float, length: int) -> float:
    """Return P(a | q)^(1/|a|), from 0 to 1.

    Args:
        loglikelihood: log P(a | q), in nats.
        length: |a|, at least 1; TOFU counts tokens. It is that of the continuation that was scored (``lengths``).
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


def given_answer_scores(
    log_likelihoods: Sequence[float], lengths: Lengths, answer: int, right: int, wrong: Sequence[int], options: bool
) -> dict[str, float]:
    """Return TOFU's metrics of given answers, per token where tokens were counted, and per byte (suffix ``_bytes``).

    Args:
        log_likelihoods: of every given answer, in nats.
        lengths: of the answers as they were scored.
        answer: index of the answer whose probability is asked for.
        right: index of the right answer in the wording of the wrong ones.
        wrong: indices of the wrong answers; may be empty.
        options: whether the answers are options (real authors, world facts): ``probability`` is then relative to all
            of them, and ``acc`` says whether the right one is the likeliest.
    """
    scores = {"acc": float(likeliest(log_likelihoods) == answer)} if options else {}
    for suffix, sizes in lengths.by_suffix().items():
        each = [normalised_probability(score, size) for score, size in zip(log_likelihoods, sizes, strict=True)]
        scores[f"probability{suffix}"] = choice_probability(each, answer) if options else each[answer]
        if wrong:
            ratio = truth_ratio(each[right], [each[index] for index in wrong])
            scores[f"truth_ratio{suffix}"] = ratio
            scores[f"truthfulness{suffix}"] = truthfulness(ratio)
    return scores


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
