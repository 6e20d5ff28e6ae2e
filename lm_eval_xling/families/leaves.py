"""The leaf tasks and groups of every family, and the YAML files that are written from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import yaml

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.languages import LANGUAGES

__all__ = ["FAMILIES", "Leaf", "family_leaves", "languages_of", "yaml_files"]

FAMILIES = ("atlas", "mmlu", "hp", "sentiment", "nli", "paraphrase", "tofu", "math", "qa", "translation")
"""Every family; each has a module here and a folder under ``tasks/`` with a hand-written ``_<family>`` base file."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf task."""

    name: str
    """What follows ``xling_<family>_`` in the task's name."""
    leaf: Mapping[str, Any]
    """What distinguishes it: passed to the family's ``documents``."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the task's YAML that differ from the base file."""
    base: str | None = None
    """The base file, where it is not ``_<family>``."""


def family_leaves(family: str) -> list[Leaf]:
    """Return the leaves of a family.

    Raises:
        UserError: if there is no such family.
    """
    if family not in FAMILIES:
        raise unknown_name("family", family, FAMILIES)
    leaves: list[Leaf] = import_module(f"lm_eval_xling.families.{family}").leaves()
    return leaves


def languages_of(leaves: Iterable[Leaf]) -> list[str]:
    """Return the codes of the languages that leaves name, sorted, English first."""
    named = {value for leaf in leaves for value in leaf.leaf.values() if isinstance(value, str) and value in LANGUAGES}
    return sorted(named | {"en"}, key=lambda code: (code != "en", code))


def yaml_files() -> Iterator[tuple[str, str]]:
    """Yield the path below ``tasks/`` and the content of every generated YAML file."""
    for family in FAMILIES:
        module = import_module(f"lm_eval_xling.families.{family}")
        header = f"# Generated from lm_eval_xling/families/{family}.py by `make generated`: do not edit.\n"
        for leaf in family_leaves(family):
            content = {
                "include": leaf.base or f"_{family}",
                "task": f"xling_{family}_{leaf.name}",
                "dataset_kwargs": {"leaf": {"family": family, **leaf.leaf}},
                **leaf.more,
            }
            yield f"{family}/xling_{family}_{leaf.name}.yaml", header + _dump(content)
        yield (
            f"{family}/crosslingual_{family}.yaml",
            header + _dump({"group": f"crosslingual_{family}", **module.group(), "metadata": {"version": 1.0}}),
        )


def _dump(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
