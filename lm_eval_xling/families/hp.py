"""Harry Potter quiz (Chua et al. 2024, arXiv 2406.16135, section 3.2): every placement, 0-shot, letters scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lm_eval_xling.families.choosing import GENERATE, LETTERS
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.family import Family, Form, Leaf, Part
from lm_eval_xling.families.parallel_rows import parts_of
from lm_eval_xling.families.placed import PlacedParameters, leaf_placement, placement_groups, placement_leaves
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.records import TaskDocuments

__all__ = ["FAMILY", "HpParameters"]

_DESCRIPTION = Description(
    family="hp",
    dataset="hp",
    split="test",
    prompts={"letters": Template(("{question}", "{options}", "[fields.answer]:"))},
    instruction="instructions.hp",
)
_PAPER = Template(("{question}", "{options}", "Answer: "))


@dataclass(frozen=True, slots=True)
class HpParameters(PlacedParameters):
    """Parameters of ``xling_hp``."""

    prompt: Literal["harness", "paper"] = "harness"
    """``harness`` ends in the localised word for "Answer:"; ``paper`` in "Answer: " with a trailing space."""


def documents(leaf: Leaf, form: Form, parameters: HpParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``placement``, and ``language`` for all but ``en`` and ``mixup``."""
    placement = leaf_placement(leaf, parameters)
    template = _PAPER if parameters.prompt == "paper" else None
    return TaskDocuments(
        [
            _DESCRIPTION.document(item, placement.name, form, parameters, template)
            for item in _DESCRIPTION.items(placement, parameters)
        ]
    )


def _needs(leaf: Leaf, form: Form, parameters: HpParameters) -> list[Part]:
    return parts_of("hp", "test", (*leaf_placement(leaf, parameters).languages, "en"))


FAMILY = Family(
    name="hp",
    summary="Harry Potter quiz, monolingual and code-switched",
    datasets=("hp",),
    parameters=HpParameters,
    forms={"letters": LETTERS, "generate": GENERATE},
    leaves=(
        *placement_leaves("letters", ("option_ids", "prompt"), ("generate",)),
        *placement_leaves("generate", ("option_ids", "prompt"), ("letters",), prefix="generate_"),
    ),
    documents=documents,
    needs=_needs,
    groups=(*placement_groups(("acc",)), *placement_groups(("acc", "answered"), prefix="generate_")),
    words=_DESCRIPTION.words,
)
