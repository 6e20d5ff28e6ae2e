"""Questions on a passage: XQuAD (an answer is extracted) and Belebele (an option is chosen), by language of each part.

XQuAD: Artetxe et al. 2020 (arXiv 1910.11856), context in one language and question in another as in MLQA's generalised
cross-lingual transfer (Lewis et al. 2020, arXiv 1910.07475). Belebele: Bandarkar et al. 2023 (arXiv 2308.16884).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_xling import literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.multiple_choice import OPTION_IDS, ComposedParameters, compose_rows, document, lettered
from lm_eval_xling.families.parallel import parallel_rows
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import Document, Row, TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]

_XQUAD = tuple("en ar de el es hi ro ru th tr vi zh".split())
_BELEBELE = ("en", "fr", "de", "es", "it")
# Name of a Belebele leaf, and the parts that it shows in the leaf's language.
_PLACEMENTS: Mapping[str, tuple[str, ...]] = {
    "full": ("context", "question", "options"),
    "context": ("context",),
    "question": ("question",),
    "options": ("options",),
    "question_options": ("question", "options"),
}


@dataclass(frozen=True, slots=True)
class Parameters(ComposedParameters):
    """Parameters of ``xling_qa``; where a language is not given, the leaf says which."""

    context_language: str | None = None
    """Language of the passage."""
    question_language: str | None = None
    """Language of the question."""
    options_language: str | None = None
    """Language of the options (Belebele)."""
    # Letters are scored, so that equal options only make an item ambiguous, as the published rows have it.
    equal_options: Literal["error", "drop", "keep"] = "keep"
    """What to do with items in which two options are the same text."""


def leaves() -> list[Leaf]:
    """Return XQuAD in one language and in pairs with English, and Belebele with each part in another language."""
    pairs = [
        (context, question)
        for context in _XQUAD
        for question in _XQUAD
        if context == question or "en" in (context, question)
    ]
    xquad = [
        Leaf(f"xquad_{context}_{question}", {"dataset": "xquad", "context": context, "question": question})
        for context, question in pairs
    ]
    belebele = [
        Leaf(
            f"belebele_{name}_{code}",
            {"dataset": "belebele", **{part: code if part in parts else "en" for part in _PLACEMENTS["full"]}},
            base="_qa_belebele",
        )
        for name, parts in _PLACEMENTS.items()
        for code in _BELEBELE
        if code != "en" or name == "full"
    ]
    return [*xquad, *belebele]


def group() -> dict[str, Any]:
    """Return the group: unweighted means over the languages of each way of asking."""

    def mean(name: str, members: list[str], metrics: tuple[str, ...]) -> dict[str, Any]:
        aggregates = [{"metric": metric, "aggregation": "mean", "weight_by_size": False} for metric in metrics]
        return {"group": name, "task": [f"xling_qa_{m}" for m in members], "aggregate_metric_list": aggregates}

    extracted = ("exact_match", "f1")
    others = [code for code in _XQUAD if code != "en"]
    return {
        "task": [
            mean("xquad_same_language", [f"xquad_{code}_{code}" for code in _XQUAD], extracted),
            mean("xquad_english_context", [f"xquad_en_{code}" for code in others], extracted),
            mean("xquad_english_question", [f"xquad_{code}_en" for code in others], extracted),
            *(
                mean(f"belebele_{name}", [f"belebele_{name}_{code}" for code in _BELEBELE if code != "en"], ("acc",))
                for name in _PLACEMENTS
            ),
            "xling_qa_belebele_full_en",
        ]
    }


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``dataset``, and the languages of ``context``, ``question`` and ``options``."""
    context = resolve(parameters.context_language or leaf["context"]).code
    question = resolve(parameters.question_language or leaf["question"]).code
    if leaf["dataset"] == "xquad":
        pairs = parallel_rows("xquad", "validation", (context, question), parameters.missing)
        return TaskDocuments([_extractive(rows[context], rows[question]) for rows in pairs])
    options = resolve(parameters.options_language or leaf["options"]).code
    parts = {"context": context, "question": question, "options": options}
    # Every part is named, so the base language shows nothing; one of the three avoids loading a fourth.
    items = compose_rows("belebele", "test", parts, None, replace(parameters, base_language=question))
    evaluated = []
    for item in items:
        letters = OPTION_IDS[parameters.option_ids][: len(item.options)]
        asked = f"{_line(context, 'context', item.fields)}\n{_line(question, 'question', item.fields)}"
        answer_line = f"{literals.word(question, 'fields.answer')}:"
        prompt = lettered(asked, item.options, letters, answer_line)
        made = document(
            item, family="qa", placement=f"{context}_{question}_{options}", prompt=prompt, choices=letters, subject="qa"
        )
        evaluated.append(made)
    return TaskDocuments(evaluated)


def _line(language: str, part: str, fields: Mapping[str, str]) -> str:
    text = fields[part].strip()
    if not text:
        raise UserError(f"the field {part!r} is empty", where=f"qa in {language}", fix="complete the row")
    return f"{literals.word(language, f'fields.{part}')}: {text}"


def _extractive(context: Row, question: Row) -> Document:
    lines = [
        _line(context.language, "context", context.fields),
        _line(question.language, "question", question.fields),
        # The answer is a part of the context, so it is asked for in the context's language.
        f"{literals.word(context.language, 'fields.answer')}:",
    ]
    return {
        "id": context.id,
        "family": "qa",
        "question_language": question.language,
        "answer_language": context.language,
        "context": context.fields["context"],
        "question": question.fields["question"],
        "prompt": "\n".join(lines),
        "target": context.target,
        "answers": list(context.extra["answers"]),
        "subject": "qa",
    }
