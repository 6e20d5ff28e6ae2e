"""Crosslingual MMLU (Chua et al. 2024, arXiv 2406.16135, section 3): every placement, letters scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lm_eval_xling import catalog
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.multiple_choice import (
    OPTION_IDS,
    ComposedParameters,
    compose_rows,
    document,
    lettered,
    placement_leaves,
    placement_subgroups,
)
from lm_eval_xling.records import ComposedItem, Document, Row, TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]

# Our wording of the two sentences that tell the model to expect several languages.
_AWARENESS = {
    "none": "",
    "question_and_options": " Note that the question and each of its options may be written in different languages.",
    "any_language": " The languages of the question and of the options may differ from one another.",
}
_TRANSLATE = "Translate the question and the options into English, then answer."
_FULL_POOL = 5  # demonstrations a subject, in every published release of MMLU


@dataclass(frozen=True, slots=True)
class Parameters(ComposedParameters):
    """Parameters of ``xling_mmlu``; the defaults are the published setting."""

    demos: Literal["english", "placement"] = "english"
    """Language of the demonstrations: English, or the placement of the question ("same bias")."""
    awareness: Literal["none", "question_and_options", "any_language"] = "none"
    """A sentence after the instruction that tells the model to expect several languages."""


def leaves() -> list[Leaf]:
    """Return ``en``, ``mixup``, the published mixup rows, every placement × language, and translate-then-answer."""
    return [
        *placement_leaves(),
        Leaf("mixup_paper", {"placement": "mixup_paper"}),
        Leaf("mixup_translate", {"placement": "mixup", "translate": True}, base="_mmlu_translate"),
    ]


def group() -> dict[str, Any]:
    """Return the group: one average a placement, because an average over placements means nothing."""
    metrics = ("acc", "acc_stem", "acc_humanities", "acc_social_sciences", "acc_other")
    return {"task": placement_subgroups("mmlu", metrics) + ["xling_mmlu_mixup_paper", "xling_mmlu_mixup_translate"]}


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf.

    Args:
        leaf: ``placement``; ``language`` for all but ``en``, ``mixup`` and ``mixup_paper``; ``translate: true``
            where the model is to translate before it answers.
        parameters: see ``Parameters``.
    """
    placement, language = leaf["placement"], leaf.get("language")
    translate = bool(leaf.get("translate"))
    if placement == "mixup_paper":
        evaluated = [_published(row) for row in catalog.load_rows("mmlu_mixup", "mul", "test")]
    else:
        evaluated = compose_rows("mmlu", "test", placement, language, parameters)
    english = {item.id: item for item in compose_rows("mmlu", "dev", "en", None, Parameters())}
    pool = list(english.values())
    if translate or parameters.demos == "placement":
        same = _in_placement(placement, language, parameters)
        pool = [item for item in same if item.id in english] if translate else _filled(same, pool)
    return TaskDocuments(
        evaluated=[_document(item, placement, parameters, translate, None) for item in evaluated],
        demonstrations=[
            _document(item, placement, parameters, translate, english[item.id] if translate else None) for item in pool
        ],
    )


def _in_placement(placement: str, language: str | None, parameters: Parameters) -> list[ComposedItem]:
    """Return the demonstrations that can be shown in the placement of the questions."""
    if placement == "mixup_paper":
        return [_published(row) for row in catalog.load_rows("mmlu_mixup", "mul", "dev")]
    return compose_rows("mmlu", "dev", placement, language, parameters, fill_missing=True)


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


def _document(
    item: ComposedItem, placement: str, parameters: Parameters, translate: bool, english: ComposedItem | None
) -> Document:
    option_ids = OPTION_IDS[parameters.option_ids]
    subject = item.extra["subject"]
    instruction = (
        f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}."
        + _AWARENESS[parameters.awareness]
    )
    letters = option_ids[: len(item.options)]
    if translate:
        prompt = lettered(f"Question: {item.fields['question']}", item.options, option_ids, f"{_TRANSLATE}\nQuestion:")
    else:
        prompt = lettered(item.fields["question"], item.options, option_ids, "Answer:")
    target = letters[item.answer]
    if english is not None:
        target = lettered(english.fields["question"], english.options, option_ids, f"Answer: {target}")
    return document(
        item,
        family="mmlu",
        placement=placement,
        prompt=prompt,
        choices=letters,
        instruction=instruction,
        subject=subject,
        category=item.extra["category"].lower().replace(" ", "_"),
        target=target,
    )
