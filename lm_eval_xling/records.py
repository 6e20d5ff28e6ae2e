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

__all__ = ["Document", "MixedText", "QuestionPair", "Row", "Unit"]

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


@dataclass(frozen=True, slots=True)
class Model:
    """A model, with its adapter, that runs were made with."""

    label: str
    """Short name, unique in the report."""
    source: str
    """Folder or hub name of the weights, or the harness's model type where it names none."""
    adapter: str | None = None
    """Folder or hub name of the PEFT adapter."""
    arguments: str = ""
    """Other arguments that may change its numbers: revision, dtype, quantisation."""
    base: str = ""
    """Folder or hub name of the weights that it was trained from; empty for a model that is nobody's offspring."""
    trained_languages: tuple[str, ...] = ()
    """Languages that its card says it was trained on."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What has to be equal for two evaluations to be compared at all."""

    shots: int
    """Number of demonstrations."""
    shots_seed: int | None = None
    """Seed of the sampled demonstrations; None without demonstrations."""
    chat_template: bool = False
    """Whether a chat template was applied."""
    multiturn: bool = False
    """Whether demonstrations were shown as turns of a conversation."""
    system_instruction: str = ""
    """Digest of the system instruction; empty without one."""
    parameters: str = ""
    """Parameters of ``--metadata`` under ``xling`` and generation arguments, as ``name=value``."""
    form: str = ""
    """Form of the answer where a family has several: ``cloze``, ``letters``, ``native`` labels, …"""

    @property
    def label(self) -> str:
        """What a reader needs to tell it from other settings."""
        parts = [f"{self.shots}-shot"]
        parts += [self.form] if self.form else []
        parts += ["chat template"] if self.chat_template else []
        parts += [f"system instruction {self.system_instruction[:6]}"] if self.system_instruction else []
        parts += [f"demonstrations of seed {self.shots_seed}"] if self.shots_seed not in (None, 1234) else []
        return ", ".join(parts + ([self.parameters] if self.parameters else []))


@dataclass(frozen=True, slots=True)
class Samples:
    """Per-item results of one task in one run, one row an item."""

    path: str
    """The ``samples_*.jsonl`` file."""
    ids: tuple[str, ...]
    """Item ids, unique."""
    metrics: Mapping[str, Any]
    """Metric name to scores, shape (n,), nan where the item has none."""
    chosen: Any
    """Shape (n,): index of the option with the highest score; -1 where there are no options."""
    answer: Any
    """Shape (n,): index of the right option; -1 where unknown."""
    scores: Any | None
    """Shape (n, k): log-likelihood of every option; None for generated text or unequal numbers of options."""
    option_languages: tuple[tuple[str, ...], ...]
    """Language of every option of every item; empty tuples where the documents do not say."""
    subjects: tuple[str, ...]
    """Subject of every item; empty strings where there are none."""
    clusters: tuple[str, ...]
    """Label of what makes items dependent (author, passage, country); empty strings where they are independent."""
    prompts: Any
    """Shape (n,): 60-bit digest of the prompt."""
    offsets: Any
    """Shape (n,): byte at which the item's line starts in the file."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One task of one harness run."""

    task: str
    """Name of the leaf task."""
    model: Model
    """What was evaluated."""
    setting: Setting
    """How it was prompted."""
    family: str
    """Family of the task; the task's own name for tasks that are not ours."""
    placement: str
    """Placement name; empty where the task has none."""
    question_language: str
    """Code, ``mixed``, or empty where unknown."""
    answer_language: str
    """Code, ``mixed``, or empty where unknown."""
    metrics: Mapping[str, tuple[float, float]]
    """Metric name to the harness's aggregate and standard error (nan where it gives none), main metric first."""
    higher_is_better: Mapping[str, bool]
    """By metric name."""
    averaged: frozenset[str]
    """Metrics whose aggregate is the mean of the items' values."""
    n: int
    """Number of evaluated documents."""
    path: str
    """The ``results_*.json`` file."""
    date: str
    """When the run was written, ISO 8601; runs are ordered by it."""
    circumstances: Mapping[str, str]
    """What should be equal but does not forbid a comparison: seeds, limit, harness version, task version, …"""
    samples: Samples | None = None
    """Per-item results; None where the run has none that can be used."""

    @property
    def metric(self) -> str:
        """Name of the main metric."""
        return next(iter(self.metrics))

    @property
    def condition(self) -> str:
        """The task's name inside its family: ``fr_es``, ``question_de``, ``mixup``."""
        return self.task.removeprefix("xling_").removeprefix(self.family).removeprefix("_") or self.task


@dataclass(frozen=True, slots=True)
class Note:
    """Something the reader has to know about the input before trusting a number."""

    kind: str
    """``refused`` (not compared), ``marked`` (compared, with a reservation), ``superseded`` (a newer run of the same
    task was used), ``missing`` (aggregates only) or ``damaged`` (part of a file could not be read)."""
    text: str
    """What is the matter, in one sentence."""
    where: str = ""
    """File, task or model that it concerns."""
