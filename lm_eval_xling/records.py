"""The records on the arrows of the flow: whoever reads this file knows the system.

::

    catalog ──▶ composing ──▶ [ harness ] ──▶ results ──▶ report
       │                          ▲              ▲
       └──▶ mixing / pairs ──▶ trainers      probes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Document", "MixedText", "Row", "Unit"]

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
# composing ▸ families ▸ harness
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ComposedItem:
    """A multiple-choice item whose parts are shown in languages of their own."""

    id: str
    """Id of the rows that it was composed of."""
    fields: Mapping[str, str]
    """Text parts by name."""
    options: tuple[str, ...]
    """Options in the dataset's order."""
    answer: int
    """Index of the right option, from the English row."""
    field_languages: Mapping[str, str]
    """Language code of every text part."""
    option_languages: tuple[str, ...]
    """Language code of every option."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """``Row.extra`` of the gold row."""


Document: TypeAlias = dict[str, Any]
"""What the harness evaluates and logs: one JSON-able dictionary a row, with at least ``id``, ``family``,
``question_language``, ``answer_language`` (or ``languages``: a map of field to language), the prompt's fields,
``options`` where there are any, and ``answer`` (index) or ``target`` (text). Reports pair on ``id``."""


@dataclass(frozen=True, slots=True)
class TaskDocuments:
    """All documents of one leaf."""

    evaluated: Sequence[Document]
    """The documents that are scored, in the dataset's order."""
    demonstrations: Sequence[Document] = ()
    """The pool of few-shot demonstrations: a document gets the first n that share its ``subject``."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the harness sends to a model for one document."""

    document: Document
    """The document as logged."""
    context: str
    """Description, demonstrations and the document's prompt."""
    continuations: tuple[str, ...]
    """Scored continuations; empty where text is generated."""


# ---------------------------------------------------------------------------------------------------------------
# mixing ▸ trainers
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of a mixed text that stands in one language."""

    text: str
    """What is read: the translation, or the source text where the source language was drawn."""
    language: str
    """Language code of ``text``; the source language where a translation was refused."""
    separator: str = ""
    """White space of the source between this unit and the next, or after the last one."""
    source: str | None = None
    """Source text of a unit that was replaced; ``None`` where ``text`` is the source text."""
    fallback_from: str | None = None
    """Language that was drawn, where its translation failed the guards and the source text stands."""


@dataclass(frozen=True, slots=True)
class MixedText:
    """One document whose units stand in several languages: one line of a mixed corpus."""

    id: str
    """The same for every seed, language set and unit, so that corpora of one input are parallel."""
    source_language: str
    """Language code of the document before mixing (the matrix language of word-level code-switching)."""
    units: tuple[Unit, ...]
    """In the order of the source; none is lost or doubled."""
    leading: str = ""
    """White space of the source before the first unit."""

    @property
    def text(self) -> str:
        """The mixed text, with the paragraph structure of the source."""
        return self.leading + "".join(unit.text + unit.separator for unit in self.units)

    @property
    def source(self) -> str:
        """The source text, byte for byte: what the monolingual ablation is trained on."""
        texts = (unit.text if unit.source is None else unit.source for unit in self.units)
        return self.leading + "".join(text + unit.separator for text, unit in zip(texts, self.units, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return the line of a mixed corpus: ``text`` stands beside ``units`` for readers that know only text."""
        units = [
            {name: value for name in Unit.__slots__ if (value := getattr(unit, name)) not in (None, "")}
            for unit in self.units
        ]
        head = {"id": self.id, "source_language": self.source_language, "text": self.text, "units": units}
        return {**head, "leading": self.leading} if self.leading else head

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> MixedText:
        """Return the record of a parsed line; the inverse of ``as_json``.

        Raises:
            KeyError, TypeError: if the line is not one of a mixed corpus.
        """
        units = tuple(Unit(**{"text": "", **unit}) for unit in line["units"])
        return cls(line["id"], line["source_language"], units, line.get("leading", ""))


# ---------------------------------------------------------------------------------------------------------------
# harness ▸ scoring
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# probes
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# results ▸ report
# ---------------------------------------------------------------------------------------------------------------
