"""The documents of a leaf as the columns of a published table, and how the harness shows its demonstrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Form, Leaf
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.records import Document

__all__ = ["COLUMNS", "LeafTable", "Shots", "leaf_table", "table_at_source"]

Shots = Literal["none", "fixed", "own split", "same rows"]
"""Demonstrations: there are none; the first n of a split, for every document; those of the document's pool, in rows of
their own, or among the evaluated rows."""

COLUMNS: Mapping[str, str] = {
    "id": "string: the same in every configuration, so that items can be paired",
    "split": "string: `test` for rows that are scored, `dev` for demonstrations",
    "description": "string: what comes before the demonstrations",
    "prompt": "string: what the model is asked, up to the answer",
    "choices": "list of strings: the answers that are compared",
    "answer": "integer: index of the right one among `choices`",
    "target": "string: the reference answer",
    "answers": "list of strings: the reference answers",
    "right": "integer: index among `choices` of the right answer in the wording of the wrong ones",
    "wrong": "list of integers: indices among `choices` of the wrong answers",
    "category": "string: what the accuracy is also averaged by",
    "options": "list of strings: texts of the options, where `choices` are their letters",
    "languages": "struct: language code of each part of the prompt; `answer` is that of the right answer",
}
"""What the columns hold that tables of several families have."""

_SCORED = ("answers", "category", "right", "wrong")
"""Fields that scores need."""


@dataclass(frozen=True, slots=True)
class LeafTable:
    """A leaf as a configuration of the dataset."""

    form: Form
    """How its answers are asked for and scored."""
    shots: Shots
    """Where its demonstrations stand."""
    description: str | None
    """What stands before the demonstrations of every document; ``None`` where documents differ in it."""
    splits: Mapping[str, Sequence[Mapping[str, Any]]]
    """Rows by split: ``test``, and ``dev`` for fixed demonstrations; none where the tasks make them."""


def leaf_table(family: Family, leaf: Leaf, pool: str) -> LeafTable:
    """Return the table of a leaf in its own form and with the default parameters.

    Args:
        family: the family.
        leaf: one of its leaves.
        pool: name of the column for ``Document.pool``.

    Raises:
        UserError: data that are missing or damaged.
    """
    configured, parameters = configure(family, leaf, None)
    form = family.form(configured, parameters)
    made = family.documents(configured, form, parameters)
    if not made.evaluated:
        raise UserError("no documents are left to evaluate", where=family.task(leaf))
    shots = _shots(made.evaluated, made.demonstrations)
    told = {_told(document, form) for document in made.evaluated}
    # In the YAML a brace would be read as a template's.
    alike = told.pop() if len(told) == 1 and not any("{" in text for text in told) else None

    def row(document: Document, split: str) -> dict[str, Any]:
        fields = {
            name: value
            for name, value in document.fields.items()
            if name in _SCORED or (isinstance(value, str) and name not in COLUMNS)
        }
        scored: dict[str, Any] = {"choices": list(document.choices), "answer": document.answer}
        return {
            "id": document.id,
            **({"split": split} if shots == "own split" else {}),
            **({pool: document.pool} if shots in ("own split", "same rows") else {}),
            **({"description": _told(document, form)} if alike is None else {}),
            "prompt": "\n".join(part for part in (document.prompt, document.cue) if part),
            **({"target": document.target} if form.generates else scored),
            **fields,
            **({"options": list(document.options)} if document.options not in ((), document.choices) else {}),
            "languages": dict(document.condition.languages),
        }

    test = [row(document, "test") for document in made.evaluated]
    dev = [row(document, "dev") for document in made.demonstrations]
    splits = {"fixed": {"test": test, "dev": dev}, "own split": {"test": test + dev}}.get(shots, {"test": test})
    return LeafTable(form, shots, alike, splits)


def table_at_source(family: Family, leaf: Leaf) -> LeafTable:
    """Return what is known of a leaf whose rows its task makes itself."""
    form = family.forms[leaf.form]
    return LeafTable(form, "fixed" if form.shots else "none", "", {})


def _told(document: Document, form: Form) -> str:
    """What stands before the demonstrations, as a base model reads it."""
    told = [document.description.strip(), document.request if form.generates else ""]
    text = "\n".join(part for part in told if part)
    return f"{text}\n\n" if text else ""


def _shots(evaluated: Sequence[Document], demonstrations: Sequence[Document]) -> Shots:
    if not demonstrations:
        return "none"
    scored, shown = [document.id for document in evaluated], [document.id for document in demonstrations]
    if scored == shown:
        return "same rows"
    pools = {document.pool for document in (*evaluated, *demonstrations)}
    return "fixed" if len(pools) == 1 and not set(scored) & set(shown) else "own split"
