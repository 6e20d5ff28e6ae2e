"""The records on the arrows of the flow: whoever reads this file knows the system.

::

    catalog ──▶ composing ──▶ [ harness ] ──▶ results ──▶ report
       │                          ▲              ▲
       └──▶ mixing / pairs ──▶ trainers      probes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Document", "Row"]

# ---------------------------------------------------------------------------------------------------------------
# catalog ▸ composing
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a dataset in one language. Rows of the same id in several languages are parallel."""

    id: str
    """The same in every language and stable across releases of the dataset."""
    language: str
    """Language code of ``fields`` and ``options``."""
    fields: Mapping[str, str]
    """Text parts by name: ``question``, ``context``, ``premise``, …"""
    options: tuple[str, ...] = ()
    """Answer options of a multiple-choice item, in the dataset's order."""
    answer: int | None = None
    """Index of the right option or label; gold is always read from the English row of the id."""
    target: str | None = None
    """Free-text or numeric answer where there are no options."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the dataset says of the item: ``subject``, ``category``, paraphrases, answer spans."""


# ---------------------------------------------------------------------------------------------------------------
# composing ▸ harness
# ---------------------------------------------------------------------------------------------------------------

Document: TypeAlias = dict[str, Any]
"""What the harness evaluates and logs: one JSON-able dictionary a row, with at least ``id``, ``family``,
``question_language``, ``answer_language`` (or ``languages``: a map of field to language), the prompt's fields,
``options`` where there are any, and ``answer`` (index) or ``target`` (text). Reports pair on ``id``."""

# ---------------------------------------------------------------------------------------------------------------
# mixing ▸ trainers
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# harness ▸ scoring
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# probes
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# results ▸ report
# ---------------------------------------------------------------------------------------------------------------
