"""Questions on a passage: XQuAD (an answer is extracted) and Belebele (an option is chosen), by language of each part.

XQuAD: Artetxe et al. 2020 (arXiv 1910.11856), context in one language and question in another as in MLQA's generalised
cross-lingual transfer (Lewis et al. 2020, arXiv 1910.07475). Belebele: Bandarkar et al. 2023 (arXiv 2308.16884).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lm_eval_xling import catalog
from lm_eval_xling.composing import Placement, explicit_placement
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.choosing import GENERATE, LETTERS
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.extracting import EXTRACTED
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Part
from lm_eval_xling.families.parallel_rows import parallel_rows, parts_of, shared_text
from lm_eval_xling.families.placed import FIVE, ROW_PARAMETERS, PlacedParameters
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.families.switching import (
    ONLY_SWITCHED,
    SWITCHING,
    SwitchingParameters,
    switched_placement,
    switches,
)
from lm_eval_xling.languages import resolve
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import ComposedItem, Condition, Document, Row, TaskDocuments

__all__ = ["FAMILY", "QaParameters"]

_XQUAD = catalog.DATASETS["xquad"].languages
_PASSAGE = ("[fields.context]: {context}", "[fields.question]: {question}")
_BASE = "en"
# Name of a Belebele leaf, and the parts that it shows in the leaf's language.
_BELEBELE: Mapping[str, tuple[str, ...]] = {
    "full": ("context", "question", "options"),
    "context": ("context",),
    "question": ("question",),
    "options": ("options",),
    "question_options": ("question", "options"),
}
_CHOSEN = Description(
    family="qa",
    dataset="belebele",
    split="test",
    prompts={"letters": Template((*_PASSAGE, "{options}", "[fields.answer]:"))},
)
# The answer is a part of the context, so it is asked for in the context's language.
_EXTRACTIVE = Template((*_PASSAGE, "[fields.answer]:"), main="context")


@dataclass(frozen=True, slots=True)
class QaParameters(SwitchingParameters):
    """Parameters of ``xling_qa``; where a language is not given, the leaf says which."""

    context_language: str | None = None
    """Language of the passage."""
    question_language: str | None = None
    """Language of the question."""
    options_language: str | None = None
    """Language of the options (Belebele)."""
    option_ids: Literal["A-D", "1-4", "C-F"] = "A-D"
    """Identifiers before the options (Belebele)."""
    missing: Literal["error", "drop"] = "error"
    """What to do with ids that a language lacks."""
    # Letters are scored, so that equal options only make an item ambiguous, as the published rows have it.
    equal_options: Literal["error", "drop", "keep"] = "keep"
    """What to do with items in which two options are the same text (Belebele)."""


def _leaves() -> list[Leaf]:
    """Return XQuAD in one language and in pairs with English, and Belebele with each part in another language."""
    languages = ("context_language", "question_language")
    xquad = [
        Leaf(
            f"xquad_{context}_{question}",
            "generate",
            {"dataset": "xquad", "context": context, "question": question},
            (*languages, "missing"),
        )
        for context in _XQUAD
        for question in _XQUAD
        if context == question or "en" in (context, question)
    ]
    belebele = [
        Leaf(
            f"belebele_{name}_{code}",
            "letters",
            {"dataset": "belebele", **{part: code if part in parts else _BASE for part in _BELEBELE["full"]}},
            (*languages, "options_language", *(SWITCHING if switchable else ()), "option_ids", *ROW_PARAMETERS),
            ("choose",),
            ONLY_SWITCHED if switchable else {},
        )
        for name, parts in _BELEBELE.items()
        for code in FIVE
        if code != _BASE or name == "full"
        # Options are no texts, and English alone has no other language.
        for switchable in [code != _BASE and parts != ("options",)]
    ]
    return [*xquad, *belebele]


def _documents(leaf: Leaf, form: Form, parameters: QaParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``dataset``, and the languages of ``context``, ``question`` and ``options``."""
    languages = _languages(leaf, parameters)
    context, question = languages["context"], languages["question"]
    if leaf.condition["dataset"] == "xquad":
        pairs = parallel_rows("xquad", "validation", (context, question), parameters.missing)
        passages = shared_text(catalog.load_rows("xquad", context, "validation"), "context")
        return TaskDocuments(OnDemand(pairs, lambda rows: _extractive(rows[context], rows[question], form, passages)))
    placement = _placement(leaf, parameters)
    shown = PlacedParameters(
        option_ids=parameters.option_ids, missing=parameters.missing, equal_options=parameters.equal_options
    )
    items = _CHOSEN.items(placement, shown)
    passages = shared_text(catalog.load_rows("belebele", _CHOSEN.gold, "test"), "context")
    return TaskDocuments(OnDemand(items, lambda item: _chosen(item, placement.name, form, shown, passages)))


def _placement(leaf: Leaf, parameters: QaParameters) -> Placement:
    """Return the placement of a Belebele leaf, code-switched where the parameters say so.

    Raises:
        UserError: nothing that could be code-switched.
    """
    languages = _languages(leaf, parameters)
    placement = explicit_placement("_".join(languages.values()), languages)
    if "switched" not in leaf.parameters:
        return placement
    if switches(parameters) and languages["context"] == languages["question"] == _BASE:
        raise UserError(
            "passage and question stand in the base language, so that nothing can be code-switched",
            where=f"switched of {FAMILY.task(leaf)}",
            fix="leave it out, or name another language of one of them",
        )
    return switched_placement(placement, _BASE, parameters)


def _languages(leaf: Leaf, parameters: QaParameters) -> dict[str, str]:
    """Return the language of each part that the leaf has."""
    named = {
        "context": parameters.context_language,
        "question": parameters.question_language,
        "options": parameters.options_language,
    }
    return {part: resolve(named[part] or leaf.condition[part]).code for part in named if part in leaf.condition}


def _needs(leaf: Leaf, form: Form, parameters: QaParameters) -> list[Part]:
    if leaf.condition["dataset"] == "xquad":
        return parts_of("xquad", "validation", tuple(_languages(leaf, parameters).values()))
    return parts_of("belebele", "test", (*_placement(leaf, parameters).languages, "en"))


def _chosen(
    item: ComposedItem, placement: str, form: Form, parameters: PlacedParameters, passages: Mapping[str, str]
) -> Document:
    # Some published texts begin or end with a space.
    stripped = replace(item, fields={name: text.strip() for name, text in item.fields.items()})
    return replace(_CHOSEN.document(stripped, placement, form, parameters), cluster=passages[item.id])


def _extractive(context: Row, question: Row, form: Form, passages: Mapping[str, str]) -> Document:
    fields = {"context": context.fields["context"], "question": question.fields["question"]}
    languages = {"context": context.language, "question": question.language}
    stripped = {name: text.strip() for name, text in fields.items()}
    prompt, cue = _EXTRACTIVE.render(stripped, languages, where=f"xquad in {context.language}, id {context.id}")
    return Document(
        id=context.id,
        family="qa",
        condition=Condition("", form.name, {**languages, "answer": context.language}),
        prompt=prompt,
        cue=cue,
        target=context.target,
        cluster=passages[context.id],
        fields={**fields, "answers": list(context.extra["answers"])},
    )


def _groups() -> list[Group | str]:
    """Return unweighted means over the languages of each way of asking."""

    def group(name: str, leaves: Sequence[str], *metrics: str) -> Group:
        return Group(name, tuple(leaves), metrics, by_size=False)

    others = [code for code in _XQUAD if code != "en"]
    return [
        group("xquad_same_language", [f"xquad_{code}_{code}" for code in _XQUAD], "exact_match", "f1"),
        group("xquad_english_context", [f"xquad_en_{code}" for code in others], "exact_match", "f1"),
        group("xquad_english_question", [f"xquad_{code}_en" for code in others], "exact_match", "f1"),
        *(
            group(f"belebele_{name}", [f"belebele_{name}_{code}" for code in FIVE if code != "en"], "acc")
            for name in _BELEBELE
        ),
        "belebele_full_en",
    ]


FAMILY = Family(
    name="qa",
    summary="XQuAD and Belebele: context, question and options in their own languages",
    datasets=("xquad", "belebele"),
    parameters=QaParameters,
    forms={
        "generate": EXTRACTED,
        "letters": LETTERS,
        "choose": GENERATE,
    },
    leaves=tuple(_leaves()),
    documents=_documents,
    needs=_needs,
    groups=tuple(_groups()),
    words=_CHOSEN.words,
    version=1.1,
)
