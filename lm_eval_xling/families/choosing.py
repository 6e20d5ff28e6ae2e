"""Choosing one of several options: its forms, and what they score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.family import Form, Metric, mean
from lm_eval_xling.records import Document, Response

__all__ = ["CLOZE", "LETTERS", "byte_lengths", "cloze_scores", "letter_scores", "likeliest"]


def likeliest(values: Sequence[float]) -> int:
    """Return the index of the highest value, the first of equal ones."""
    return max(range(len(values)), key=lambda index: values[index])


def byte_lengths(responses: Sequence[Response]) -> list[int]:
    """Return the number of bytes (UTF-8) of every continuation, as it was sent."""
    return [len(response.continuation.encode()) for response in responses]


def _right(document: Document, values: Sequence[float]) -> float:
    if document.answer is None:
        raise UserError("the document has no answer", where=f"{document.family}, id {document.id}")
    return float(likeliest(values) == document.answer)


def letter_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``acc``: whether the identifier of the right option is the likeliest."""
    return {"acc": _right(document, [response.log_likelihood for response in responses])}


def cloze_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``acc``, and ``acc_bytes``: the same of the log-likelihood a byte of what was sent."""
    values = [response.log_likelihood for response in responses]
    a_byte = [value / length for value, length in zip(values, byte_lengths(responses), strict=True)]
    return {"acc": _right(document, values), "acc_bytes": _right(document, a_byte)}


LETTERS = Form("letters", letter_scores, (Metric("acc"),), shots=0)
"""The identifiers of the options are scored; 0-shot."""

CLOZE = Form("cloze", cloze_scores, mean("acc", "acc_bytes"))
"""The texts of the options are scored."""
