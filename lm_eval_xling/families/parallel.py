"""Rows of several languages side by side: what the families without multiple-choice placements compose from."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

__all__ = ["Missing", "parallel_rows"]

log = logging.getLogger(__name__)

Missing = Literal["error", "drop"]
"""What to do with ids that a language lacks."""


def parallel_rows(
    dataset: str, split: str, languages: Sequence[str], missing: Missing = "error"
) -> Iterator[Mapping[str, Row]]:
    """Yield the rows of each id by language, in the order of the first language.

    Args:
        dataset: name in the catalog.
        split: split of the dataset.
        languages: codes; the first gives the order.
        missing: ``error``, or ``drop`` the ids that a language lacks and log how many.

    Raises:
        UserError: an id that occurs twice, or that a language lacks.
    """
    by_language: dict[str, dict[str, Row]] = {}
    for language in dict.fromkeys(languages):
        index: dict[str, Row] = {}
        for row in catalog.load_rows(dataset, language, split):
            if row.id in index:
                raise UserError(f"id {row.id!r} occurs twice", where=f"{dataset} in {language}, split {split}")
            index[row.id] = row
        by_language[language] = index
    ids = list(dict.fromkeys(identifier for index in by_language.values() for identifier in index))
    lacking = {
        identifier: absent
        for identifier in ids
        if (absent := [language for language, index in by_language.items() if identifier not in index])
    }
    if lacking and missing == "error":
        first = next(iter(lacking))
        raise UserError(
            f"{len(lacking)} of {len(ids)} ids are missing in one of the languages {', '.join(by_language)}, "
            f"the first {first!r} (not in {', '.join(lacking[first])})",
            where=f"{dataset}, split {split}",
            fix="""complete the data, or pass --metadata '{"xling": {"missing": "drop"}}' to leave them out""",
        )
    if lacking:
        log.warning("%s: %d ids that a language lacks were dropped", dataset, len(lacking))
    for identifier in by_language[languages[0]]:
        if identifier not in lacking:
            yield {language: index[identifier] for language, index in by_language.items()}
