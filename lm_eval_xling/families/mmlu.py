"""Crosslingual MMLU (Chua et al. 2024, arXiv 2406.16135, section 3): every placement, letters scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_xling import catalog, literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.choosing import (
    GENERATE,
    LETTERS,
    ONE_TOKEN,
    exact_letter_scores,
    letter_scores,
    spoken_scores,
)
from lm_eval_xling.families.family import Family, Form, Leaf, Part, Preset, mean
from lm_eval_xling.families.parallel_rows import parts_of
from lm_eval_xling.families.placed import (
    PlacedParameters,
    compose_rows,
    leaf_placement,
    letters_of,
    part_languages,
    placed_document,
    placement_groups,
    placement_leaves,
    used_parameters,
)
from lm_eval_xling.families.prompts import option_lines
from lm_eval_xling.families.sliding import SLIDES, Slide, SlidingPart, slide
from lm_eval_xling.metrics.choices import choice_scores, read_choice
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import ComposedItem, Document, Response, Row, TaskDocuments

__all__ = ["FAMILY", "MmluParameters"]

# Two sentences that tell the model to expect several languages: our wording of the paper's idea, and the script's own
# (MMLU/dataset/mmlu.py, Copyright 2024 Google LLC, Apache-2.0).
_AWARENESS = {
    "default": {
        "none": "",
        "question_and_options": (
            " Note that the question and each of its options may be written in different languages."
        ),
        "any_language": " The languages of the question and of the options may differ from one another.",
    },
    "paper": {
        "none": "",
        "question_and_options": " Keep in mind that the question and options may be presented in various languages.",
        "any_language": " Remember that the question and options can be in different languages.",
    },
}
_TRANSLATE = "Translate the question and the options into English, then answer."
# Those of the same licence that the script has for it: after the instruction, and after every item.
_PAPER_TRANSLATE_FIRST = (
    " Remember that the question and options can be in different languages. First translate them all to English."
    " Then output the answer."
)
_PAPER_TRANSLATE = "Answer: \nTranslate the question and options into English, and then answer."
_FULL_POOL = 5  # demonstrations a subject, in every published release of MMLU
_PUBLISHED = "mixup_paper"


@dataclass(frozen=True, slots=True)
class MmluParameters(PlacedParameters):
    """Parameters of ``xling_mmlu``; the defaults are the published setting."""

    demos: Literal["english", "placement", "to_english", "from_english"] = "english"
    """Language of the demonstrations: English, the placement of the question ("same bias"), or each in up to five steps
    that slide from there to English, or back."""
    awareness: Literal["none", "question_and_options", "any_language"] = "none"
    """A sentence after the instruction that tells the model to expect several languages."""
    preset: Preset = "default"
    """``paper``: prompt and score of the released scripts; with the form ``generate`` what they send to GPT."""


def documents(leaf: Leaf, form: Form, parameters: MmluParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``placement``, and ``language`` for all but those that mix languages."""
    english = {item.id: item for item in _english()}
    pool = list(english.values())
    translate = form.name == "translate"
    if translate and parameters.preset == "paper" and parameters.awareness != "none":
        raise UserError(
            "the script has one sentence for translate-then-answer, and no other beside it",
            where=f"awareness: {parameters.awareness} of {FAMILY.task(leaf)}",
            fix="leave out awareness or the preset",
        )
    slides = parameters.demos in SLIDES and not translate
    if translate or parameters.demos != "english":
        same = _items(leaf, "dev", parameters)
        if translate or slides:
            same = [item for item in same if item.id in english]
        pool = same if translate else _filled(same, pool)

    def document(item: ComposedItem, restated: ComposedItem | None = None) -> Document:
        return _document(item, leaf.condition["placement"], form, parameters, restated)

    def demonstration(item: ComposedItem) -> Document:
        return document(item, english[item.id] if translate or slides else None)

    return TaskDocuments(
        OnDemand(_items(leaf, "test", parameters), document), demonstrations=OnDemand(pool, demonstration)
    )


def _needs(leaf: Leaf, form: Form, parameters: MmluParameters) -> list[Part]:
    shown = form.name == "translate" or parameters.demos != "english"
    splits = ("test", "dev") if shown else ("test",)
    if leaf.condition["placement"] == _PUBLISHED:
        parts = [("mmlu_mixup", split, "mul") for split in splits]
    else:
        languages = (*leaf_placement(leaf, parameters).languages, "en")
        parts = [part for split in splits for part in parts_of("mmlu", split, languages)]
    return [*parts, *(() if ("mmlu", "dev", "en") in parts else [("mmlu", "dev", "en")])]


def _english() -> list[ComposedItem]:
    """The demonstrations in English; ids that other languages lack are no fault of theirs."""
    unchanged = MmluParameters()
    return compose_rows("mmlu", "dev", leaf_placement(FAMILY.leaf("en"), unchanged), unchanged)


def _items(leaf: Leaf, split: str, parameters: MmluParameters) -> list[ComposedItem]:
    if leaf.condition["placement"] == _PUBLISHED:
        return [_published(row) for row in catalog.load_rows("mmlu_mixup", "mul", split)]
    placement = leaf_placement(leaf, parameters)
    return compose_rows("mmlu", split, placement, parameters, fill_missing=split == "dev")


def _filled(same: Sequence[ComposedItem], english: Sequence[ComposedItem]) -> list[ComposedItem]:
    """Add English demonstrations where a subject has fewer than five in the placement."""
    by_subject: dict[str, list[ComposedItem]] = defaultdict(list)
    for item in same:
        by_subject[item.extra["subject"]].append(item)
    for item in english:
        pool = by_subject[item.extra["subject"]]
        if len(pool) < _FULL_POOL and item.id not in {known.id for known in pool}:
            pool.append(item)
    return [item for pool in by_subject.values() for item in pool]


def _published(row: Row) -> ComposedItem:
    """Return a row of the published mixup set, whose languages are not recorded, as an item."""
    assert row.answer is not None
    return ComposedItem(
        id=row.id,
        fields=row.fields,
        options=row.options,
        answer=row.answer,
        field_languages={"question": "mul"},
        option_languages=("mul",) * len(row.options),
        extra=row.extra,
    )


def _block(texts: Sequence[str], letters: Sequence[str]) -> str:
    """Return a question and its options, a line each."""
    return f"{texts[0]}\n{option_lines(texts[1:], letters)}"


def _steps(item: ComposedItem, english: ComposedItem, direction: Slide) -> list[tuple[str, ...]]:
    """Return question and options of each step of a demonstration that slides to English, or back."""
    asked_in = part_languages(item)["question"]
    parts = [SlidingPart(item.fields["question"], asked_in, english.fields["question"])]
    parts += map(SlidingPart, item.options, item.option_languages, english.options)
    return slide(parts, direction, id=item.id)


def _document(
    item: ComposedItem, placement: str, form: Form, parameters: MmluParameters, restated: ComposedItem | None
) -> Document:
    letters = letters_of(item, parameters)
    subject = item.extra["subject"]
    paper = parameters.preset == "paper"
    block = _block((item.fields["question"], *item.options), letters)
    if restated is not None and form.name != "translate":
        assert parameters.demos == "to_english" or parameters.demos == "from_english"
        block = "\n".join(_block(step, letters) for step in _steps(item, restated, parameters.demos))
    prompt = (block, "Answer:")
    told = _AWARENESS[parameters.preset][parameters.awareness]
    more: dict[str, Any] = {}
    if form.name == "translate":
        told = _PAPER_TRANSLATE_FIRST if paper else told
        asked = _PAPER_TRANSLATE if paper else _TRANSLATE
        prompt = (f"Question: {block}\n{asked}", "Question: " if paper else "Question:")
        if restated is not None:
            english = _block((restated.fields["question"], *restated.options), letters)
            more["target"] = f"{english}\nAnswer: {letters[item.answer]}"
    # The script writes a space before every word of a subject, so that there are two before the first.
    named = f"{' ' if paper else ''}{subject.replace('_', ' ')}"
    return placed_document(
        item,
        family="mmlu",
        placement=placement,
        form=form,
        prompt=prompt,
        option_ids=letters,
        description=f"The following are multiple choice questions (with answers) about {named}.{told}",
        request="" if paper or form.name == "translate" else literals.word("en", "instructions.choose"),
        pool=subject,
        group=subject,
        fields={"category": item.extra["category"].lower().replace(" ", "_")},
        **more,
    )


def _by_category(document: Document, accuracy: float) -> Mapping[str, float]:
    return {"acc": accuracy, f"acc_{document.fields['category']}": accuracy}


def scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return ``acc``, and the same value under the name of the document's category."""
    return _by_category(document, letter_scores(document, responses)["acc"])


def exact_by_category(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return the scores of a text that must be a letter, and its accuracy under the name of the category too."""
    scores = exact_letter_scores(document, responses)
    return {**scores, **_by_category(document, scores["acc"])}


def translated_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return the scores of the option that the generated text names after its translation."""
    assert document.answer is not None
    named = read_choice(responses[0].text, document.options, document.fields["letters"], "en")
    scores = choice_scores(named, document.answer)
    return {**scores, **_by_category(document, scores["acc"])}


def spoken_by_category(document: Document, responses: Sequence[Response]) -> Mapping[str, float]:
    """Return the scores of an answer in words, and its accuracy under the name of the document's category too."""
    scores = spoken_scores(document, responses)
    return {**scores, **_by_category(document, scores["acc"])}


_METRICS = mean("acc", "acc_stem", "acc_humanities", "acc_social_sciences", "acc_other")
_SPOKEN = (*_METRICS, *mean("answered", "acc_answered"))
_COMMON = ("option_ids", "demos", "awareness", "preset")
_LETTERS = replace(LETTERS, scores=scores, metrics=_METRICS, shots=5)
_GENERATE = replace(GENERATE, scores=spoken_by_category, metrics=(*GENERATE.metrics, *_METRICS[1:]), shots=5)
_ONE_TOKEN = replace(ONE_TOKEN, scores=exact_by_category, metrics=(*_METRICS, *mean("answered")), shots=5)
_TRANSLATED = Form("translate", translated_scores, _SPOKEN, shots=5, max_tokens=256, stops=("\n\n",))
# The script samples from the model as it is; without a temperature the harness takes 0.
_SAMPLED = replace(_TRANSLATED, delimiter="", generation={"do_sample": True, "temperature": 1.0})

FAMILY = Family(
    name="mmlu",
    summary="Crosslingual MMLU: nine placements of languages over question and options",
    datasets=("mmlu", "mmlu_mixup"),
    parameters=MmluParameters,
    forms={
        "letters": replace(_LETTERS, paper=replace(_LETTERS, next_token="last")),
        "generate": replace(_GENERATE, paper=_ONE_TOKEN),
        "translate": replace(_TRANSLATED, paper=_SAMPLED),
    },
    leaves=(
        *placement_leaves("letters", _COMMON, ("generate",)),
        *placement_leaves("generate", _COMMON, ("letters",), prefix="generate_"),
        Leaf(_PUBLISHED, "letters", {"placement": _PUBLISHED}, _COMMON, ("generate",)),
        Leaf(
            "mixup_translate",
            "translate",
            {"placement": "mixup"},
            (*used_parameters("mixup"), "option_ids", "awareness", "preset"),
        ),
    ),
    documents=documents,
    needs=_needs,
    # An average over placements means nothing, so every placement has its own.
    groups=(
        *placement_groups(tuple(metric.name for metric in _METRICS)),
        *placement_groups(("acc", "answered"), prefix="generate_"),
        _PUBLISHED,
        "mixup_translate",
    ),
    version=1.1,
)
