"""What the classification families of Zhang et al. 2024 (arXiv 2405.13816) share: one prompt language, label words."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lm_eval_xling import literals
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.parallel import Missing, parallel_rows
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import Document, Row, TaskDocuments

__all__ = [
    "HIGH_RESOURCE",
    "LANGUAGES",
    "LOW_RESOURCE",
    "ClassificationParameters",
    "Task",
    "classification_documents",
    "classification_group",
    "classification_leaves",
]

log = logging.getLogger(__name__)

HIGH_RESOURCE = tuple("en zh de fr es it nl ja ru sv".split())
"""The first ten languages of the paper's list, which goes from high to low resource."""
LOW_RESOURCE = tuple("sl pl bg no ms is hi th sw bn".split())
"""The last ten languages of the paper's list."""
LANGUAGES = HIGH_RESOURCE + LOW_RESOURCE

# Words that have nothing to do with any of the tasks; the paper has two of them, for sentiment.
_AGNOSTIC = ("ox", "horse", "sheep")


@dataclass(frozen=True, slots=True)
class ClassificationParameters:
    """Parameters of ``xling_sentiment``, ``xling_nli`` and ``xling_paraphrase``; the defaults are the main setting."""

    labels: Literal["english", "native", "agnostic"] = "english"
    """Label words: English, of the prompt's language, or words without meaning for the task."""
    language: str | None = None
    """Another language than the leaf's, for data that a mirror holds beyond the published twenty."""
    missing: Missing = "error"
    """What to do with ids that a language lacks."""


@dataclass(frozen=True, slots=True)
class Task:
    """What distinguishes one classification family from the others."""

    family: str
    """Name of the family, of its dataset in the catalog, and of the section of its labels in the literals."""
    labels: tuple[str, ...]
    """Names of the labels in the paper's order, which is the order of ``Row.answer``."""
    fields: Mapping[str, str | None]
    """Prompt word (key in the literals) of every field in order; None for a text that stands without one."""
    answer_field: str
    """Prompt word before the label (key in the literals)."""
    demonstrations: tuple[str, ...]
    """Ids of the demonstrations, in the order in which a prompt shows them."""


def classification_leaves() -> list[Leaf]:
    """Return one leaf a language."""
    return [Leaf(language, {"language": language}) for language in LANGUAGES]


def classification_group(family: str) -> dict[str, Any]:
    """Return the group: unweighted means over all languages and over either half."""
    means = [{"metric": metric, "aggregation": "mean", "weight_by_size": False} for metric in ("acc", "acc_bytes")]

    def half(name: str, languages: Sequence[str]) -> dict[str, Any]:
        tasks = [f"xling_{family}_{language}" for language in languages]
        return {"group": name, "task": tasks, "aggregate_metric_list": [dict(mean) for mean in means]}

    halves = [half("high_resource", HIGH_RESOURCE), half("low_resource", LOW_RESOURCE)]
    return {"task": halves, "aggregate_metric_list": means}


def classification_documents(
    task: Task, leaf: Mapping[str, Any], parameters: ClassificationParameters, *, drop_identical: bool = False
) -> TaskDocuments:
    """Return the documents of a leaf.

    Demonstrations are never scored, and neither is a row that shares a text with one, such as the other hypotheses of
    a demonstration's premise.

    Args:
        task: the family.
        leaf: ``language`` of the prompt.
        parameters: see ``ClassificationParameters``.
        drop_identical: leave out rows whose texts are all the same in the prompt's language.

    Raises:
        UserError: a row without a text or with an unknown label, or a demonstration that the data lacks.
    """
    language = resolve(parameters.language or leaf["language"]).code
    rows = list(parallel_rows(task.family, "test", (language, "en"), parameters.missing))
    gold = {pair["en"].id: pair["en"] for pair in rows}
    absent = [identifier for identifier in task.demonstrations if identifier not in gold]
    if absent:
        raise UserError(
            f"the demonstrations {', '.join(absent)} are not among the rows",
            where=f"{task.family} in {language}",
            fix="fetch the published rows again: xling data fetch",
        )
    shown = {text for identifier in task.demonstrations for text in gold[identifier].fields.values()}
    documents = {pair["en"].id: _document(task, pair[language], pair["en"], parameters.labels) for pair in rows}
    scored = [document for key, document in documents.items() if shown.isdisjoint(gold[key].fields.values())]
    if drop_identical:
        kept = [document for document in scored if len({document[name] for name in task.fields}) > 1]
        log.warning("%s in %s: %d identical pairs dropped", task.family, language, len(scored) - len(kept))
        scored = kept
    return TaskDocuments(scored, [documents[identifier] for identifier in task.demonstrations])


def _document(task: Task, row: Row, gold: Row, labels: str) -> Document:
    where = f"{task.family} in {row.language}, id {row.id}"
    if gold.answer is None or not 0 <= gold.answer < len(task.labels):
        raise UserError(f"unknown label {gold.answer!r}", where=where, fix=f"labels: {', '.join(task.labels)}")
    lines = []
    for name, word in task.fields.items():
        text = row.fields.get(name, "")
        if not text.strip():
            raise UserError(f"the field {name!r} is empty", where=where, fix="complete the row")
        lines.append(text if word is None else f"{literals.word(row.language, word)}: {text}")
    # The opening quotation mark belongs to the prompt and the closing one to the delimiter after a demonstration, so
    # that a label is scored bare, as in the paper.
    lines.append(f'{literals.word(row.language, task.answer_field)}: "')
    if labels == "agnostic":
        words: tuple[str, ...] = _AGNOSTIC[: len(task.labels)]
    else:
        words_in = row.language if labels == "native" else "en"
        words = tuple(literals.word(words_in, f"labels.{task.family}.{label}") for label in task.labels)
    return {
        "id": row.id,
        "family": task.family,
        "question_language": row.language,
        "answer_language": row.language if labels == "native" else "en",
        **{name: row.fields[name] for name in task.fields},
        "label": task.labels[gold.answer],
        "options": list(words),
        "prompt": "\n".join(lines),
        "choices": list(words),
        "answer": gold.answer,
        # Every demonstration is one for every document.
        "subject": task.family,
    }
