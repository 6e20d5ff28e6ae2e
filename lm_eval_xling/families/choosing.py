"""Choosing one of several options: its forms, and what they score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.answering import FIDELITY_METRICS, language_scores
from lm_eval_xling.families.family import Form, Metric, mean
from lm_eval_xling.metrics.choices import choice_scores, read_choice
from lm_eval_xling.metrics.lengths import Lengths, continuation_lengths, likeliest
from lm_eval_xling.records import Document, Response

__all__ = [
    "CLOZE",
    "GENERATE",
    "LETTERS",
    "ONE_TOKEN",
    "cloze_scores",
    "exact_letter_scores",
    "letter_scores",
    "sent_lengths",
    "spoken_scores",
]


def sent_lengths(responses: Sequence[Response]) -> Lengths:
    """Return the lengths of the continuations as they were sent, in tokens too where those were counted."""
    sizes = continuation_lengths("", [response.continuation for response in responses])
    tokens = tuple(response.tokens for response in responses if response.tokens is not None)
    return Lengths(sizes.bytes, tokens if len(tokens) == len(responses) else None)


def _answer(document: Document) -> int:
    if document.answer is None:
        raise UserError("the document has no answer", where=f"{document.family}, id {document.id}")
    return document.answer


def letter_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``acc``: whether the identifier of the right option is the likeliest."""
    return {"acc": float(likeliest([response.log_likelihood for response in responses]) == _answer(document))}


def cloze_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``acc``, and ``acc_bytes``: the same of the log-likelihood a byte of what was sent."""
    values = [response.log_likelihood for response in responses]
    answer, sizes = _answer(document), sent_lengths(responses).bytes
    return {
        "acc": float(likeliest(values) == answer),
        "acc_bytes": float(likeliest(values, sizes) == answer),
    }


def exact_letter_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return whether the text is the identifier of the right option, and whether it is that of any."""
    letters, text = document.fields["letters"], responses[0].text
    return {"acc": float(text == letters[_answer(document)]), "answered": float(text in letters)}


def spoken_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return whether the option that the text names is the right one, and the language of the text.

    ``acc`` counts an answer that names no option, or several, as wrong; ``answered`` is the share of those that name
    one, and ``acc_answered`` the accuracy over them.
    """
    text, switched = responses[0].text, document.condition.switched.get("question")
    # A code-switched question is followed by a request in its matrix language.
    asked_in = switched.matrix if switched else document.condition.languages["question"]
    named = read_choice(text, document.options, document.fields.get("letters") or (), asked_in)
    return {**choice_scores(named, _answer(document)), **language_scores(text, asked_in)}


LETTERS = Form("letters", letter_scores, (Metric("acc"),), shots=0)
"""The identifiers of the options are scored; 0-shot."""

CLOZE = Form("cloze", cloze_scores, mean("acc", "acc_bytes"))
"""The texts of the options are scored."""

GENERATE = Form(
    "generate",
    spoken_scores,
    (*mean("acc", "answered", "acc_answered"), *FIDELITY_METRICS),
    shots=0,
    max_tokens=256,
    stops=("\n\n",),
)
"""The answer is given in words; 0-shot."""

ONE_TOKEN = Form("generate", exact_letter_scores, mean("acc", "answered"), shots=0, max_tokens=1, messages="one")
"""What Chua et al. send to GPT: one message, one greedy token, which must be the letter; 0-shot."""
