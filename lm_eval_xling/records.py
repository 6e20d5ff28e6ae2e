"""The records on the arrows of the flow: whoever reads this file knows the system.

::

    catalog ──▶ composing ──▶ [ harness ] ──▶ results ──▶ report
       │                          ▲              ▲
       └──▶ mixing / pairs ──▶ trainers      probes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "ComposedItem",
    "Condition",
    "Document",
    "Fact",
    "Interval",
    "MixedText",
    "PairedDifference",
    "QuestionPair",
    "Request",
    "Response",
    "Row",
    "Switched",
    "SwitchedText",
    "TaskDocuments",
    "Unit",
]

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
class Switched:
    """How a text is code-switched: pieces of one language in a text of another."""

    matrix: str
    """Code of the language whose text it is, and of the prompt words beside it."""
    embedded: str
    """Code of the language whose pieces stand in it."""
    share: int
    """Units in the embedded language, in per cent of all: 0 to 100."""
    unit: str
    """``sentence``, ``chunk`` or ``word``."""
    translator: str = ""
    """Kind of the translator that the pieces come from, and a digest of all that its output depends on; empty where
    they come from the item's translation."""

    @property
    def language(self) -> str:
        """Code of the language in which the text stands; ``mul`` where pieces of both may."""
        # A translator leaves what it has no translation of, at any share.
        whole = "mul" if self.translator else self.embedded
        return {0: self.matrix, 100: whole}.get(self.share, "mul")


@dataclass(frozen=True, slots=True)
class SwitchedText:
    """A code-switched text part of an item."""

    how: Switched
    """What was asked for."""
    mixed: MixedText
    """The text and its units."""


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
    """Language code of every text part; of a code-switched one its matrix language."""
    option_languages: tuple[str, ...]
    """Language code of every option."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """``Row.extra`` of the gold row."""
    switched: Mapping[str, SwitchedText] = field(default_factory=dict)
    """Text parts that are code-switched, by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What tells the documents of one leaf from those of another on the same items."""

    placement: str
    """Name of the placement, such as ``gt`` or ``mixup``; empty where only the languages tell leaves apart."""
    form: str
    """``letters`` or ``cloze``: likelihoods are compared; ``generate``: the answer is read from text."""
    languages: Mapping[str, str]
    """Language code by part: ``question`` and ``answer`` always, and where they apply ``context``, ``option_0``, …,
    ``demonstrations``. ``mul`` (ISO 639-2) where a part stands in several languages."""
    switched: Mapping[str, Switched] = field(default_factory=dict)
    """How parts are code-switched, by part; empty where none is."""


@dataclass(frozen=True, slots=True)
class Document:
    """One item as a leaf shows it: typed up to the harness's edge, where ``as_row`` makes a dictionary of it."""

    id: str
    """The same in every leaf of the family: reports pair on it."""
    family: str
    """Name of the family."""
    condition: Condition
    """How the item is shown."""
    prompt: str
    """What the model is asked, up to the line that the answer completes."""
    cue: str = ""
    """The line that the answer completes, such as ``Answer:``; under a chat template it begins the model's turn."""
    choices: tuple[str, ...] = ()
    """Continuations of which the likelihoods are compared; empty where text is generated."""
    answer: int | None = None
    """Index of the right one among ``choices`` or ``options``."""
    options: tuple[str, ...] = ()
    """Texts of the answer options, whatever form is scored."""
    target: str | None = None
    """What a demonstration shows as the answer of a generating leaf, and what a generated answer is compared with."""
    description: str = ""
    """What stands before the demonstrations, without white space at its ends."""
    request: str = ""
    """What a model has to be told that answers in words or in turns, and that a base model sees from the prompt."""
    pool: str = ""
    """Demonstrations are those documents of the leaf's demonstrations that have the same pool."""
    cluster: str = ""
    """What makes items dependent (author, passage, country); an item without it depends on no other."""
    group: str = ""
    """What averages group by, such as a subject."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the scores or a reader need: texts of the parts, categories, gold answers."""

    def as_row(self) -> dict[str, Any]:
        """Return the dictionary that the harness evaluates and logs; parts without a value are left out."""
        condition: dict[str, Any] = {
            "placement": self.condition.placement,
            "form": self.condition.form,
            "languages": dict(self.condition.languages),
        }
        if self.condition.switched:
            # Without a translator none is logged.
            condition["switched"] = {
                part: {name: value for name, value in asdict(how).items() if value != ""}
                for part, how in self.condition.switched.items()
            }
        row: dict[str, Any] = {
            "id": self.id,
            "family": self.family,
            "condition": condition,
            "pool": self.pool,
            "cluster": self.cluster,
            "group": self.group,
            # The harness puts no delimiter between a description and what follows it.
            "description": f"{self.description}\n\n" if self.description else "",
            "request": self.request,
            "prompt": self.prompt,
            "cue": self.cue,
        }
        optional = {
            "fields": dict(self.fields) or None,
            "options": list(self.options) or None,
            "choices": list(self.choices) or None,
            "answer": self.answer,
            "target": self.target,
        }
        return row | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Document:
        """Return the document of a logged or evaluated dictionary; the inverse of ``as_row``.

        Raises:
            KeyError: if the dictionary is none of ours.
        """
        condition = row["condition"]
        # In a table, as datasets makes one, every row has each key that any of them has.
        languages = {part: code for part, code in condition["languages"].items() if code is not None}
        switched = {part: Switched(**how) for part, how in (condition.get("switched") or {}).items() if how is not None}
        return cls(
            id=row["id"],
            family=row["family"],
            condition=Condition(condition["placement"], condition["form"], languages, switched),
            prompt=row["prompt"],
            cue=row["cue"],
            choices=tuple(row.get("choices") or ()),
            answer=row.get("answer"),
            options=tuple(row.get("options") or ()),
            target=row.get("target"),
            description=row["description"].removesuffix("\n\n"),
            request=row["request"],
            pool=row["pool"],
            cluster=row["cluster"],
            group=row["group"],
            fields={name: value for name, value in (row.get("fields") or {}).items() if value is not None},
        )


@dataclass(frozen=True, slots=True)
class TaskDocuments:
    """All documents of one leaf."""

    evaluated: Sequence[Document]
    """The documents that are scored, in the dataset's order."""
    demonstrations: Sequence[Document] = ()
    """Few-shot demonstrations: a document gets the first n that share its ``pool``, never itself."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a model gave for one request."""

    context: str
    """What it was shown; empty where the harness does not say."""
    continuation: str = ""
    """The continuation that was scored, exactly as it was sent; empty where text was generated."""
    log_likelihood: float = float("nan")
    """Of the continuation, in nats; nan where text was generated."""
    tokens: int | None = None
    """Tokens that the continuation adds to the context, where the model's tokenizer is known and they count."""
    text: str = ""
    """Generated text."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the harness sends to a model for one document."""

    document: Document
    """The document that is asked."""
    context: str
    """Description, demonstrations and the document's prompt."""
    continuations: tuple[str, ...]
    """Scored continuations; empty where text is generated."""
    max_tokens: int = 0
    """Longest text that is generated, in tokens; 0 where continuations are scored."""


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


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact in one language, to be taught: the answer is learnt, what it follows is not."""

    id: str
    """The same in every language of the fact."""
    language: str
    """Language code of the prompts."""
    prompts: tuple[str, ...]
    """Wordings of what the answer follows, such as a question and the word before its answer; at least one."""
    answer: str
    """What is learnt, without white space around it."""


# ---------------------------------------------------------------------------------------------------------------
# results ▸ report
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval, of 95 % where nothing else is said."""

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
