"""Translation between the paper's five languages (Chua et al. 2024, section 2): 100 sentences of FLORES-101.

The prompt is that of ALMA (Xu et al. 2023, arXiv 2309.11674), whose script the paper ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.parallel import Missing, parallel_rows
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Document, TaskDocuments

__all__ = ["Parameters", "documents", "group", "leaves"]

_LANGUAGES = ("en", "fr", "de", "es", "it")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of ``xling_translation``."""

    missing: Missing = "error"
    """What to do with ids that a language lacks."""


def leaves() -> list[Leaf]:
    """Return the 20 directions."""
    return [
        Leaf(f"{source}_{target}", {"source": source, "target": target})
        for source in _LANGUAGES
        for target in _LANGUAGES
        if source != target
    ]


def group() -> dict[str, Any]:
    """Return the group: unweighted means from English, into English, and between the others."""

    def mean(name: str, members: Sequence[tuple[str, str]]) -> dict[str, Any]:
        metrics = ("bleu", "chrf", "chrf++", "language_fidelity")
        return {
            "group": name,
            "task": [f"xling_translation_{source}_{target}" for source, target in members],
            "aggregate_metric_list": [
                {"metric": metric, "aggregation": "mean", "weight_by_size": False} for metric in metrics
            ],
        }

    others = _LANGUAGES[1:]
    return {
        "task": [
            mean("from_english", [("en", code) for code in others]),
            mean("into_english", [(code, "en") for code in others]),
            mean("without_english", [(s, t) for s in others for t in others if s != t]),
        ]
    }


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``source`` and ``target``, language codes."""
    source, target = leaf["source"], leaf["target"]
    evaluated = []
    for rows in parallel_rows("flores", "devtest", (source, target), parameters.missing):
        sentences = rows[source].fields["sentence"], rows[target].fields["sentence"]
        evaluated.append(_document(rows[source].id, source, target, *sentences))
    pool = [
        _document(f"demonstration/{index}", source, target, sentences[source], sentences[target])
        for index, sentences in enumerate(_demonstrations())
    ]
    return TaskDocuments(evaluated, pool)


def _document(identifier: str, source: str, target: str, sentence: str, translation: str) -> Document:
    if not sentence.strip() or not translation.strip():
        raise UserError("a sentence is empty", where=f"translation, id {identifier}", fix="complete the row")
    names = LANGUAGES[source].name, LANGUAGES[target].name
    return {
        "id": identifier,
        "family": "translation",
        "question_language": source,
        "answer_language": target,
        "source": sentence,
        "prompt": f"Translate this from {names[0]} to {names[1]}:\n{names[0]}: {sentence}\n{names[1]}:",
        "target": translation,
        # Every demonstration is one for every document.
        "subject": "translation",
    }


@cache
def _demonstrations() -> Sequence[Mapping[str, str]]:
    path = Path(__file__).with_name("translation_demonstrations.yaml")
    sentences: list[Mapping[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return sentences
