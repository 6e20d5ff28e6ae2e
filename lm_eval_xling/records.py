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

__all__ = ["Document", "Measure", "MixedText", "Point", "Prompt", "QuestionPair", "Row", "Unit"]

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
# pairs ▸ trainers
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """One question in two languages, for question alignment: the target is learnt, the prompt is not."""

    id: str
    """The same for every source language of the question."""
    source_language: str
    """Language code of the question in ``prompt``."""
    target_language: str
    """Language code of ``target``."""
    prompt: str
    """The question, and the line that asks for its translation, with a final newline."""
    target: str
    """The question in the target language."""


# ---------------------------------------------------------------------------------------------------------------
# harness ▸ scoring
# ---------------------------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------------------------
# probes
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that a probe reads, and what the logit lens looks for after its last token."""

    id: str
    """The same in every language; probes over several languages pair on it."""
    language: str
    """Language code of the text."""
    text: str
    """Exactly what the model reads, demonstrations included."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Label words by language code, in one order for all languages; empty for free text."""
    answer: int | None = None
    """Index of the correct label."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a probe with its 95 % band: what tables and pictures are made of."""

    quantity: str
    """What was measured; ``lm_eval_xling.probes.quantities`` says what each means and its unit."""
    variant: str
    """``base`` or the adapter's name."""
    minus: str | None
    """Variant that was subtracted, item by item; ``None`` for a level."""
    language: str
    """Language code of the prompts, or of the first of two languages."""
    other: str | None
    """Second language of a pair, or the control that a similarity is compared with."""
    layer: int | None
    """0 is the embedding, the highest is the model's output; ``None`` is an aggregate over layers."""
    value: float
    """The estimate; NaN where nothing could be measured."""
    low: float
    """Lower end of the 95 % band."""
    high: float
    """Upper end of the 95 % band."""
    n: int
    """Number of items (prompts, texts or sentence pairs)."""
    p: float | None = None
    """Two-sided p-value adjusted over the layers (Benjamini-Hochberg), where a test was made."""


@dataclass(frozen=True, slots=True)
class Point:
    """One prompt on the first two principal components of a layer."""

    variant: str
    """``base`` or the adapter's name; each variant has its own components."""
    layer: int
    """0 is the embedding, the highest is the model's output."""
    language: str
    """Language code of the prompt."""
    id: str
    """Id of the prompt, the same in every language."""
    x: float
    """Score on the first component, in the units of the hidden state."""
    y: float
    """Score on the second component."""


# ---------------------------------------------------------------------------------------------------------------
# results ▸ report
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    estimate: float
    """Point estimate, in the unit of the scores."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Comparison of two conditions on the same items."""

    difference: Interval
    """Mean of first minus second."""
    p_value: float
    """Two-sided: exact McNemar for right or wrong, otherwise the paired randomisation test."""
    n: int
    """Number of paired items."""
    units: int
    """Number of resampled units: clusters, or items."""
    only_first: int
    """Items that score higher in the first condition."""
    only_second: int
    """Items that score higher in the second condition."""
    detectable: float
    """Minimum detectable effect at 80 % power and a level of 5 %."""
    adjusted_p: float = float("nan")
    """``p_value`` after Benjamini–Hochberg over its table."""
