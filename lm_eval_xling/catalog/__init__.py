"""What each dataset is, where it comes from, and how its raw form becomes rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from lm_eval_xling.catalog import (
    atlas,
    belebele,
    flores,
    hp,
    mgsm,
    mmlu,
    mmlu_mixup,
    msvamp,
    question_pairs,
    tofu,
    wikitext,
    xquad,
    zhang,
)
from lm_eval_xling.catalog.availability import Availability, availability
from lm_eval_xling.catalog.checking import check_rows
from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.mirror import VARIABLE, mirror_from_environment
from lm_eval_xling.catalog.sources import Unreachable, unreachable
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import LANGUAGES, resolve
from lm_eval_xling.records import Row

__all__ = ["DATASETS", "Availability", "Dataset", "availability", "load_rows"]

_ENTRIES = (
    atlas.DATASET,
    mmlu.DATASET,
    mmlu_mixup.DATASET,
    hp.DATASET,
    *zhang.DATASETS,
    tofu.DATASET,
    mgsm.DATASET,
    msvamp.DATASET,
    xquad.DATASET,
    belebele.DATASET,
    flores.DATASET,
    wikitext.DATASET,
    question_pairs.DATASET,
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every dataset by its name."""


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
    if dataset not in DATASETS:
        raise unknown_name("dataset", dataset, DATASETS)
    entry = DATASETS[dataset]
    if split not in entry.splits:
        raise unknown_name(f"split of dataset {dataset!r}", split, entry.splits)
    code = language if language in LANGUAGES or language in entry.languages else resolve(language).code
    return list(_rows(dataset, Part(code, split), os.environ.get(VARIABLE)))


@cache
def _rows(name: str, part: Part, folder: str | None) -> tuple[Row, ...]:
    """The rows of a part; ``folder`` is the mirror's, so that another mirror is read anew."""
    entry = DATASETS[name]
    if entry.built_in is not None:
        if part not in entry.parts():
            raise _no_language(entry, part)
        return tuple(entry.built_in(part))
    mirror = mirror_from_environment()
    if mirror is not None:
        return tuple(mirror.rows(name, part))
    source = next((source for source in entry.sources if source.covers(part)), None)
    if source is None:
        raise _no_language(entry, part)
    try:
        rows = source.fetch(part, source.pinned).rows
    except Unreachable as error:
        raise unreachable(entry, part, source, error) from error
    check_rows(entry, part, rows)
    return tuple(rows)


def _no_language(entry: Dataset, part: Part) -> UserError:
    published = [known.language for known in entry.parts() if known.split == part.split]
    return UserError(
        f"dataset {entry.name!r} is not published in language {part.language!r}, split {part.split!r}",
        fix=f"published: {', '.join(published) or 'nothing'}; other translations: "
        f"xling data import {entry.name} --from DIR --to MIRROR, and export {VARIABLE}=MIRROR",
    )
