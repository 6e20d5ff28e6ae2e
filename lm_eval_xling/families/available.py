"""Which leaves can be evaluated here, and what the others lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from lm_eval_xling.catalog import Lacking, commands, lacking, lacks_in_words
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, Family, Leaf
from lm_eval_xling.families.parameters import configure

__all__ = ["matching", "missing_data", "missing_error"]


def matching(patterns: Iterable[str]) -> dict[str, tuple[Family, Leaf]]:
    """Return the leaf tasks of ours that names, patterns, tags and groups on a command line stand for."""
    found: dict[str, tuple[Family, Leaf]] = {}
    for pattern in patterns:
        for family in FAMILIES.values():
            whole = fnmatchcase(f"xling_{family.name}", pattern) or fnmatchcase(f"crosslingual_{family.name}", pattern)
            for leaf in family.leaves:
                if whole or fnmatchcase(family.task(leaf), pattern):
                    found[family.task(leaf)] = (family, leaf)
    return found


def missing_data(family: Family, leaf: Leaf, parameters: Mapping[str, Any] | None = None) -> list[Lacking]:
    """Return the parts of datasets that a leaf needs and that cannot be loaded here.

    Args:
        family: the leaf's family.
        leaf: the leaf.
        parameters: as in ``--metadata '{"xling": {…}}'``.

    Raises:
        UserError: a parameter that the leaf does not take, or ``XLING_DATA`` that names no mirror.
    """
    if family.needs is None:
        return []
    configured, values = configure(family, leaf, parameters)
    parts = family.needs(configured, family.form(configured, values), values)
    return [found for dataset, split, language in parts for found in lacking(dataset, split, [language])]


def missing_error(missing: Mapping[str, list[Lacking]]) -> UserError:
    """Return the error that lists every leaf without its data, and the commands that get it."""
    lacked = [part for parts in missing.values() for part in parts]
    lines = "\n    ".join(commands(lacked))
    return UserError(
        f"{len(missing)} of the tasks lack data: {', '.join(missing)}",
        where=lacks_in_words(lacked),
        fix=f"run\n    {lines}\n  or leave these tasks out: xling eval --skip-missing",
    )
