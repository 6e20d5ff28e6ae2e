"""Corpus scores of translation by sacrebleu, with their signatures.

The harness has BLEU and chrF2 as aggregations; chrF++ is here. All three are defined on a corpus: the mean of sentence
scores is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["chrf_plus_plus", "signatures"]


def _chrf_plus_plus() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=2)


def chrf_plus_plus(pairs: Sequence[tuple[str, str]]) -> float:
    """Return chrF++ (Popović 2017, https://aclanthology.org/W17-4770): chrF2 with word 1- and 2-grams, from 0 to 100.

    Args:
        pairs: reference and hypothesis of every sentence.
    """
    references, hypotheses = zip(*pairs, strict=True)
    return float(_chrf_plus_plus().corpus_score(list(hypotheses), [list(references)]).score)


def signatures() -> str:
    """Return sacrebleu's signatures of BLEU, chrF2 and chrF++ as they are computed for a task.

    BLEU's tokenizer is 13a, which is meant for the five languages of the FLORES sample; Chinese or Japanese would need
    another.
    """
    from sacrebleu.metrics import BLEU, CHRF

    named = {"BLEU": BLEU(), "chrF2": CHRF(), "chrF++": _chrf_plus_plus()}
    for metric in named.values():
        # The number of references enters a signature with the first scoring.
        metric.corpus_score([""], [[""]])
    return " ".join(f"{name}|{metric.get_signature().format()}" for name, metric in named.items())
