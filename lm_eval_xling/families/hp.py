"""Harry Potter quiz (Chua et al. 2024, section 5): 0-shot, localised instruction, every placement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lm_eval_xling import literals
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
from lm_eval_xling.records import TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]


@dataclass(frozen=True, slots=True)
class Parameters(ComposedParameters):
    """Parameters of ``xling_hp``."""

    prompt: Literal["harness", "paper"] = "harness"
    """``harness`` ends in the localised word for "Answer:"; ``paper`` in "Answer: " with a trailing space."""


def leaves() -> list[Leaf]:
    """Return ``en``, ``mixup`` and every placement × language."""
    return placement_leaves()


def group() -> dict[str, Any]:
    """Return the group: one average a placement, because an average over placements means nothing."""
    return {"task": placement_subgroups("hp", ("acc",))}


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``placement``, and ``language`` for all but ``en`` and ``mixup``."""
    placement, language = leaf["placement"], leaf.get("language")
    evaluated = []
    for item in compose_rows("hp", "test", placement, language, parameters):
        asked_in = item.field_languages["question"]
        if parameters.prompt == "paper":
            answer_line = "Answer: "
        else:
            answer_line = f"{literals.word(asked_in, 'fields.answer')}:"
        option_ids = OPTION_IDS[parameters.option_ids]
        evaluated.append(
            document(
                item,
                family="hp",
                placement=placement,
                prompt=lettered(item.fields["question"], item.options, option_ids, answer_line),
                choices=option_ids[: len(item.options)],
                instruction=literals.word(asked_in, "instructions.hp"),
                subject="harry_potter",
            )
        )
    return TaskDocuments(evaluated)
