"""Sentiment of Amazon reviews in 20 languages (Zhang et al. 2024, arXiv 2405.13816, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lm_eval_xling.families.classification import (
    ClassificationParameters,
    Task,
    classification_documents,
    classification_group,
    classification_leaves,
)
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.records import TaskDocuments

__all__ = ["TASK", "Parameters", "documents", "group", "leaves"]

TASK = Task(
    family="sentiment",
    labels=("positive", "negative"),
    fields={"text": None},
    answer_field="fields.emotion",
    # The demonstrations of the paper, which are rows of its own test data.
    demonstrations=("99", "20"),
)


@dataclass(frozen=True, slots=True)
class Parameters(ClassificationParameters):
    """Parameters of ``xling_sentiment``."""


def leaves() -> list[Leaf]:
    """Return one leaf a language."""
    return classification_leaves()


def group() -> dict[str, Any]:
    """Return the group: means over all languages and over the high- and low-resource half."""
    return classification_group("sentiment")


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``language`` of the prompt."""
    return classification_documents(TASK, leaf, parameters)
