"""Short answers in text: an answer is generated and compared with the gold answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lm_eval_xling.families.answering import LANGUAGE_METRICS, language_scores
from lm_eval_xling.families.family import Form, mean
from lm_eval_xling.metrics.answers import answer_scores
from lm_eval_xling.records import Document, Response

__all__ = ["EXTRACTED", "extraction_scores"]


def extraction_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return exact match and F1, as published and folded, and the metrics of the answer's language."""
    text, language = responses[0].text, document.condition.languages["answer"]
    scores = answer_scores(text, document.fields["answers"], language)
    return {**scores, **language_scores(text, language, bool(scores["exact_match"]))}


EXTRACTED = Form(
    "generate",
    extraction_scores,
    (*mean("exact_match", "f1", "exact_match_folded", "f1_folded"), *LANGUAGE_METRICS),
    shots=0,
    max_tokens=64,
    stops=("\n",),
)
"""Exact match and F1 of what is generated; 0-shot."""
