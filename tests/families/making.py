"""What a family makes of a leaf, without the harness."""

from __future__ import annotations

from typing import Any

from lm_eval_xling.families import family_named
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.records import Response, TaskDocuments


def made(family: str, leaf: str, **xling: Any) -> TaskDocuments:
    """The documents of a leaf, with parameters as in ``--metadata '{"xling": {…}}'``."""
    owner = family_named(family)
    configured, parameters = configure(owner, owner.leaf(leaf), xling)
    documents = owner.documents(configured, owner.form(configured, parameters), parameters)
    return TaskDocuments(list(documents.evaluated), list(documents.demonstrations))


def said(text: str) -> list[Response]:
    """What a model generated."""
    return [Response("", text=text)]
