"""A dataset's rows for whoever asks: from the package, from the mirror, or from a source."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.mirror import VARIABLE, Mirror
from lm_eval_xling.catalog.registry import DATASETS
from lm_eval_xling.catalog.sources import not_published, rows_of_source
from lm_eval_xling.errors import unknown_name
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import Row

__all__ = ["load_rows", "named_part"]


def load_rows(dataset: str, language: str, split: str) -> list[Row]:
    """Return the rows of a dataset in one language, in the dataset's order; read once a process.

    They come from the mirror that ``XLING_DATA`` names, and from the dataset's source if the variable is not set.

    Args:
        dataset: a key of ``DATASETS``.
        language: language code, any spelling that ``languages.resolve`` knows, or ``mul`` for ``mmlu_mixup``.
        split: one of the dataset's splits.

    Raises:
        UserError: if there is no such dataset, language or split, the dataset cannot be reached, or the mirror
            lacks the part or was changed.
    """
    return list(_rows(dataset, named_part(dataset, language, split), os.environ.get(VARIABLE) or None))


def named_part(dataset: str, language: str, split: str) -> Part:
    """Return the part of a dataset that a language in any spelling and a split name.

    Raises:
        UserError: if there is no such dataset, language or split.
    """
    if dataset not in DATASETS:
        raise unknown_name("dataset", dataset, DATASETS)
    entry = DATASETS[dataset]
    if split not in entry.splits:
        raise unknown_name(f"split of dataset {dataset!r}", split, entry.splits)
    return Part(language if language in entry.languages else resolve(language).code, split)


@cache
def _rows(name: str, part: Part, mirror: str | None) -> tuple[Row, ...]:
    """The rows of a part; ``mirror`` is the mirror's folder, so that another one is read anew."""
    entry = DATASETS[name]
    if entry.built_in is not None:
        if part not in entry.parts():
            raise not_published(entry, part)
        return tuple(entry.built_in(part))
    if mirror is not None:
        return tuple(Mirror(Path(mirror)).rows(name, part))
    return tuple(rows_of_source(entry, part))
