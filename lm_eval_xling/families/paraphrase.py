"""Paraphrase identification, PAWS in 20 languages (Zhang et al. 2024, arXiv 2405.13816, section 3)."""

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
    family="paraphrase",
    labels=("same", "different"),
    fields={"sentence_1": "fields.sentence_1", "sentence_2": "fields.sentence_2"},
    answer_field="fields.answer",
    # Short rows that no translation made identical; the paper's are not among its data.
    demonstrations=("271", "39", "232", "260"),
)


@dataclass(frozen=True, slots=True)
class Parameters(ClassificationParameters):
    """Parameters of ``xling_paraphrase``."""

    drop_identical: bool = False
    """Leave out pairs that translation made identical."""


def leaves() -> list[Leaf]:
    """Return one leaf a language."""
    return classification_leaves()


def group() -> dict[str, Any]:
    """Return the group: means over all languages and over the high- and low-resource half."""
    return classification_group("paraphrase")


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``language`` of the prompt."""
    return classification_documents(TASK, leaf, parameters, drop_identical=parameters.drop_identical)
