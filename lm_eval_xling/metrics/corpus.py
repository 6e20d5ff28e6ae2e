"""Corpus scores of translation by sacrebleu: BLEU, chrF2 and chrF++, with their signatures.

Each is an aggregation for the harness: it takes all (reference, hypothesis) pairs of a task at once, because BLEU and
chrF are defined on a corpus and the mean of sentence scores is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from lm_eval_xling.errors import unknown_name

__all__ = ["METRICS", "Pair", "bleu", "chrf", "chrf_plus_plus", "score", "signature"]

METRICS = ("bleu", "chrf", "chrf++")
"""BLEU (Papineni et al. 2002), chrF2 (Popović 2015) and chrF++ (Popović 2017: chrF2 with word 1- and 2-grams)."""

Pair = tuple[str, str]
"""Reference and hypothesis."""


@cache
def _metric(name: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF

    if name == "bleu":
        # Tokenizer 13a, which is meant for the five languages of the FLORES sample; Chinese or Japanese need another.
        return BLEU()
    if name == "chrf":
        return CHRF()
    if name == "chrf++":
        return CHRF(word_order=2)
    raise unknown_name("translation metric", name, METRICS)


def score(pairs: Sequence[Pair], name: str) -> float:
    """Return a corpus score, from 0 to 100.

    Args:
        pairs: reference and hypothesis of every sentence.
        name: one of ``METRICS``.
    """
    references, hypotheses = zip(*pairs, strict=True)
    return float(_metric(name).corpus_score(list(hypotheses), [list(references)]).score)


def signature(name: str) -> str:
    """Return sacrebleu's signature of a metric as used here, with one reference."""
    metric = _metric(name)
    # The number of references enters the signature with the first scoring.
    metric.corpus_score([""], [[""]])
    return str(metric.get_signature().format())


def bleu(pairs: Sequence[Pair]) -> float:
    """Aggregate to BLEU (Papineni et al. 2002), from 0 to 100."""
    return score(pairs, "bleu")


def chrf(pairs: Sequence[Pair]) -> float:
    """Aggregate to chrF2 (Popović 2015), from 0 to 100."""
    return score(pairs, "chrf")


def chrf_plus_plus(pairs: Sequence[Pair]) -> float:
    """Aggregate to chrF++ (Popović 2017), from 0 to 100."""
    return score(pairs, "chrf++")
