"""Harry Potter quiz (Chua et al. 2024, arXiv 2406.16135, sections 3.2 and 4.2): every placement, letters, 0-shot."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lm_eval_xling.families.choosing import GENERATE, LETTERS, ONE_TOKEN
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.family import Family, Form, Leaf, Part, Preset
from lm_eval_xling.families.parallel_rows import parts_of
from lm_eval_xling.families.placed import PlacedParameters, leaf_placement, placement_groups, placement_leaves
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import TaskDocuments

__all__ = ["FAMILY", "HpParameters"]

_DESCRIPTION = Description(
    family="hp",
    dataset="hp",
    split="test",
    prompts={"letters": Template(("{question}", "{options}", "[fields.answer]:"))},
    instruction="instructions.hp",
)
# The script's cue, in English in every language, with a space at its end.
_PAPER = replace(_DESCRIPTION, prompts={"letters": Template(("{question}", "{options}", "Answer: "))}, requests=False)


@dataclass(frozen=True, slots=True)
class HpParameters(PlacedParameters):
    """Parameters of ``xling_hp``."""

    preset: Preset = "default"
    """``paper``: prompt and score of the released script; with the form ``generate`` what the paper sends to GPT."""


def documents(leaf: Leaf, form: Form, parameters: HpParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``placement``, and ``language`` for all but ``en`` and ``mixup``."""
    placement = leaf_placement(leaf, parameters)
    description = _PAPER if parameters.preset == "paper" else _DESCRIPTION
    items = description.items(placement, parameters)
    return TaskDocuments(OnDemand(items, lambda item: description.document(item, placement.name, form, parameters)))


def _needs(leaf: Leaf, form: Form, parameters: HpParameters) -> list[Part]:
    return parts_of("hp", "test", (*leaf_placement(leaf, parameters).languages, "en"))


_USED = ("option_ids", "preset")

FAMILY = Family(
    name="hp",
    summary="Harry Potter quiz, monolingual and code-switched",
    datasets=("hp",),
    parameters=HpParameters,
    forms={
        "letters": replace(LETTERS, paper=replace(LETTERS, next_token="last")),
        "generate": replace(GENERATE, paper=ONE_TOKEN),
    },
    leaves=(
        *placement_leaves("letters", _USED, ("generate",)),
        *placement_leaves("generate", _USED, ("letters",), prefix="generate_"),
    ),
    documents=documents,
    needs=_needs,
    groups=(*placement_groups(("acc",)), *placement_groups(("acc", "answered"), prefix="generate_")),
    words=_DESCRIPTION.words,
)
