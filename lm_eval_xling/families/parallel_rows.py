"""Rows of several languages side by side, from the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from lm_eval_xling import catalog
from lm_eval_xling.composing import join
from lm_eval_xling.families.family import Part
from lm_eval_xling.records import Row

__all__ = ["Missing", "parallel_rows", "parts_of", "shared_text"]

Missing = Literal["error", "drop"]
"""What to do with ids that a language lacks."""


def parallel_rows(
    dataset: str, split: str, languages: Sequence[str], missing: Missing = "error"
) -> Sequence[Mapping[str, Row]]:
    """Return the rows of each id by language, in the order of the first language.

    Args:
        dataset: name in the catalog.
        split: split of the dataset.
        languages: codes; the first gives the order.
        missing: ``error``, or ``drop`` the ids that a language lacks and log how many.

    Raises:
        UserError: an id that occurs twice, or that a language lacks.
    """
    rows = {language: catalog.load_rows(dataset, language, split) for language in dict.fromkeys(languages)}
    return join(rows, missing=missing, where=f"{dataset}, split {split}")


def shared_text(rows: Iterable[Row], field: str) -> dict[str, str]:
    """Return by id the cluster of each row: the id of the first that has the same text in a field.

    Ids are the same in every language, and so is what shares a text, so that clusters are, too.

    Args:
        rows: of one language.
        field: such as a passage on which several questions are asked.
    """
    first: dict[str, str] = {}
    return {row.id: first.setdefault(row.fields[field], row.id) for row in rows}


def parts_of(dataset: str, split: str, languages: Sequence[str]) -> list[Part]:
    """Return the parts that ``parallel_rows`` reads for the same arguments."""
    return [(dataset, split, language) for language in dict.fromkeys(languages)]
