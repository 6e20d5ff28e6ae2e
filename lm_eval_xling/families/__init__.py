"""The families of tasks: each is one value, and everything that lists families is derived from ``FAMILIES``.

Adding one takes a module here with its ``Family`` and an entry in the catalog; ``make generated`` writes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.families import atlas, classification, hp, ledger, math, mmlu, qa, tofu, translation
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Metric

__all__ = ["FAMILIES", "Family", "Form", "Group", "Leaf", "Metric", "family_named"]

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            atlas.FAMILY,
            ledger.FAMILY,
            mmlu.FAMILY,
            hp.FAMILY,
            *classification.FAMILIES,
            tofu.FAMILY,
            math.FAMILY,
            qa.FAMILY,
            translation.FAMILY,
        )
    }
)
"""Every family of ours by its name."""


def family_named(name: str) -> Family:
    """Return a family of ours.

    Raises:
        UserError: if there is no such family.
    """
    if name not in FAMILIES:
        raise unknown_name("family", name, FAMILIES)
    return FAMILIES[name]
