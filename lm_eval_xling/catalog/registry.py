"""Every dataset by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lm_eval_xling.catalog import (
    arithmetic,
    atlas,
    belebele,
    flores,
    hp,
    ledger,
    mmlu,
    mmlu_mixup,
    question_pairs,
    tofu,
    wikitext,
    xquad,
    zhang,
    zhang_prompts,
)
from lm_eval_xling.catalog.dataset import Dataset

__all__ = ["DATASETS"]

_ENTRIES = (
    atlas.DATASET,
    ledger.DATASET,
    mmlu.DATASET,
    mmlu_mixup.DATASET,
    hp.DATASET,
    *zhang.DATASETS,
    zhang_prompts.DATASET,
    tofu.DATASET,
    *arithmetic.DATASETS,
    xquad.DATASET,
    belebele.DATASET,
    flores.DATASET,
    wikitext.DATASET,
    question_pairs.DATASET,
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every dataset by its name."""
