"""What families share that ask every fact in every pair of languages: parameters, placements and averages."""

from __future__ import annotations

from dataclasses import dataclass

from lm_eval_xling.composing import Placement, explicit_placement
from lm_eval_xling.families.family import Group, Leaf
from lm_eval_xling.families.placed import FIVE, PlacedParameters, leaf_placement
from lm_eval_xling.languages import resolve

__all__ = ["PairParameters", "averages", "pair_placement"]


@dataclass(frozen=True, slots=True)
class PairParameters(PlacedParameters):
    """Parameters of a pair of languages."""

    question_language: str | None = None
    """Language of the question, for the leaves that end in ``_pair``."""
    answer_language: str | None = None
    """Language of the options, for the leaves that end in ``_pair``."""


def pair_placement(leaf: Leaf, parameters: PairParameters, before: str = "") -> Placement:
    """Return the placement of a leaf: ``question_language`` and ``answer_language``, or ``placement: mixup``.

    Args:
        leaf: of the family.
        parameters: of the leaf.
        before: beginning of the placement's name.
    """
    if leaf.condition.get("placement") == "mixup":
        return leaf_placement(leaf, parameters)
    asked_in = resolve(parameters.question_language or leaf.condition["question_language"]).code
    answered_in = resolve(parameters.answer_language or leaf.condition["answer_language"]).code
    return explicit_placement(f"{before}{asked_in}_{answered_in}", {"subject": asked_in, "options": answered_in})


def averages(before: str = "") -> tuple[Group, Group]:
    """Return the means over the matrix's diagonal and over the rest, whose difference is the barrier.

    Args:
        before: beginning of the leaves' names.
    """
    pairs = [(asked, answered) for asked in FIVE for answered in FIVE]

    def mean(name: str, same: bool) -> Group:
        leaves = tuple(f"{before}{one}_{other}" for one, other in pairs if (one == other) == same)
        return Group(f"{before}{name}", leaves, ("acc", "acc_bytes"))

    return mean("same_language", True), mean("crosslingual", False)
