"""Classification in 20 languages (Zhang et al. 2024, arXiv 2405.13816, section 4): sentiment, NLI and paraphrase."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from lm_eval_xling import catalog, literals
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.catalog.papers import ZHANG_HIGH as HIGH_RESOURCE
from lm_eval_xling.catalog.papers import ZHANG_LOW as LOW_RESOURCE
from lm_eval_xling.composing import TextPart
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.choosing import CLOZE, GENERATE, letter_scores
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Part, Preset, mean
from lm_eval_xling.families.parallel_rows import Missing, parallel_rows, parts_of, shared_text
from lm_eval_xling.families.sliding import Slide, SlidingPart, slide
from lm_eval_xling.families.switching import (
    ONLY_SWITCHED,
    SWITCHED,
    SWITCHING,
    SwitchingParameters,
    switched_texts,
    switches,
    units_of,
)
from lm_eval_xling.languages import resolve
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Condition, Document, Row, Switched, SwitchedText, TaskDocuments

__all__ = ["DEMONSTRATIONS", "FAMILIES", "HIGH_RESOURCE", "LOW_RESOURCE", "ClassificationParameters"]

log = logging.getLogger(__name__)

DEMONSTRATIONS: Mapping[str, tuple[str, ...]] = {
    # The demonstrations of the paper, which are rows of its own test data.
    "sentiment": ("99", "20"),
    # Short rows of six premises whose translations are sound; the paper's are not among its data.
    "nli": ("116", "324", "191", "414", "544", "343"),
    # Short rows that no translation made identical; the paper's are not among its data.
    "paraphrase": ("271", "39", "232", "260"),
}
"""Ids of the demonstrations of each family, in the order in which a prompt shows them."""

# Words that have nothing to do with any of the tasks; the paper has two of them, for sentiment.
_AGNOSTIC = ("ox", "horse", "sheep")


@dataclass(frozen=True, slots=True)
class ClassificationParameters(SwitchingParameters):
    """Parameters of ``xling_sentiment``, ``xling_nli`` and ``xling_paraphrase``; the defaults are the main setting."""

    labels: Literal["english", "native", "agnostic"] = "english"
    """Label words: English, of the prompt's language, or words without meaning for the task."""
    language: str | None = None
    """Another language than the leaf's, for data that a mirror holds beyond the published twenty."""
    missing: Missing = "error"
    """What to do with ids that a language lacks."""
    drop_identical: bool = False
    """Leave out rows whose two texts translation made identical (``xling_paraphrase``)."""
    preset: Preset = "default"
    """``paper``: prompt, demonstrations, label words and score of the released scripts, on all rows."""
    demos: Literal["same", "to_english", "from_english"] = "same"
    """Demonstrations as the rows stand, or each in up to five steps that slide from there to English, or back."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A row as it is asked."""

    plain: Row
    """The row in the language of the prompt words."""
    gold: Row
    """The English row."""
    switched: Mapping[str, SwitchedText] = field(default_factory=dict)
    """Its code-switched texts, by field."""
    cluster: str = ""
    """What it shares with rows on the same text."""

    @property
    def row(self) -> Row:
        """Its texts as they are shown."""
        texts = {name: text.mixed.text for name, text in self.switched.items()}
        return replace(self.plain, fields={**self.plain.fields, **texts})

    @property
    def how(self) -> Switched | None:
        """How its texts are code-switched, all alike."""
        return next((text.how for text in self.switched.values()), None)

    @property
    def language(self) -> str:
        """Code of the language in which the texts stand."""
        return self.how.language if self.how else self.plain.language


@dataclass(frozen=True, slots=True)
class _Task:
    """What distinguishes one of the families from the others."""

    name: str
    """Of the family, of its dataset in the catalog, and of the section of its labels in the literals."""
    summary: str
    """What it measures."""
    labels: tuple[str, ...]
    """Names of the labels in the paper's order, which is the order of ``Row.answer``."""
    fields: Mapping[str, str | None]
    """Prompt word (key in the literals) of every field in order; None for a text that stands without one."""
    answer_field: str
    """Prompt word before the label (key in the literals)."""
    cluster: str | None = None
    """Field whose text several rows share, which makes them dependent."""
    parameters: tuple[str, ...] = ("labels", "language", "missing", "preset", "demos")
    """Parameters that it uses."""

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """Ids of the demonstrations, in the order in which a prompt shows them."""
        return DEMONSTRATIONS[self.name]

    def leaf(self, code: str) -> Leaf:
        """Return the leaf of a language; English alone has no other language to switch with."""
        own, beside = (self.parameters, {}) if code == "en" else ((*self.parameters, *SWITCHING), ONLY_SWITCHED)
        return Leaf(code, "cloze", {"language": code}, own, ("generate",), beside)

    def asked(
        self, pairs: Sequence[Mapping[str, Row]], language: str, parameters: ClassificationParameters
    ) -> list[_Asked]:
        """Return rows of a language, each beside the English one, as the parameters show them."""
        clusters = shared_text((pair["en"] for pair in pairs), self.cluster) if self.cluster else {}

        def row(pair: Mapping[str, Row], code: str, switched: Mapping[str, SwitchedText] | None = None) -> _Asked:
            return _Asked(pair[code], pair["en"], switched or {}, clusters.get(pair["en"].id, ""))

        if not switches(parameters) or language == "en":
            return [row(pair, language) for pair in pairs]
        parts = [TextPart(name, language, pair) for pair in pairs for name in self.fields]
        made = iter(switched_texts(parts, "en", parameters))
        matrix = language if parameters.matrix == "target" else "en"
        return [row(pair, matrix, {name: next(made) for name in self.fields}) for pair in pairs]

    def lines(self, row: Row) -> list[str]:
        """Return the lines of a row's prompt.

        Raises:
            UserError: a row without a text.
        """
        lines = []
        for name, word in self.fields.items():
            text = row.fields.get(name, "")
            if not text.strip():
                where = f"{self.name} in {row.language}, id {row.id}"
                raise UserError(f"the field {name!r} is empty", where=where, fix="complete the row")
            lines.append(text if word is None else f"{literals.word(row.language, word)}: {text}")
        return lines

    def question(self, row: Row) -> tuple[str, str]:
        """Return the prompt of a row, and the cue."""
        # The opening quotation mark belongs to the cue and the closing one to the delimiter after a demonstration, so
        # that a label is scored bare, as in the paper.
        return "\n".join(self.lines(row)), f'{literals.word(row.language, self.answer_field)}: "'

    def words(self) -> tuple[str, ...]:
        """Return the keys of its prompt words."""
        labels = (f"labels.{self.name}.{label}" for label in self.labels)
        return (*(word for word in self.fields.values() if word), self.answer_field, *labels, "instructions.label")


def _documents(task: _Task, leaf: Leaf, form: Form, parameters: ClassificationParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``language`` of the prompt.

    Demonstrations are never scored, and neither is a row that shares a text with one, such as the other hypotheses of
    a demonstration's premise.

    Raises:
        UserError: a row without a text or with an unknown label, a demonstration that the data lacks, or parameters
            that contradict one another.
    """
    language = _language(task, leaf, parameters)
    published = _published(task, language, parameters) if parameters.preset == "paper" else None
    rows = parallel_rows(task.name, "test", (language, "en"), parameters.missing)
    asked = task.asked(rows, language, parameters)
    same = {pair["en"].id for pair in rows if len({pair[language].fields.get(name) for name in task.fields}) == 1}
    if published:
        if parameters.drop_identical:
            asked = _distinct(task, language, asked, same)
        return TaskDocuments(OnDemand(asked, lambda one: published.document(task, one, form)))
    gold = {pair["en"].id: pair["en"] for pair in rows}
    absent = [identifier for identifier in task.demonstrations if identifier not in gold]
    if absent:
        raise UserError(
            f"the demonstrations {', '.join(absent)} are not among the rows",
            where=f"{task.name} in {language}",
            fix="fetch the published rows again: xling data fetch",
        )
    shown = {text for identifier in task.demonstrations for text in gold[identifier].fields.values()}
    scored = [one for one in asked if shown.isdisjoint(one.gold.fields.values())]
    if parameters.drop_identical:
        scored = _distinct(task, language, scored, same)
    by_id = {one.gold.id: one for one in asked}

    def document(one: _Asked) -> Document:
        return _document(task, one, form, parameters.labels)

    def demonstration(identifier: str) -> Document:
        made = document(by_id[identifier])
        return made if parameters.demos == "same" else _sliding(task, by_id[identifier], made, parameters.demos)

    return TaskDocuments(OnDemand(scored, document), OnDemand(task.demonstrations, demonstration))


def _language(task: _Task, leaf: Leaf, parameters: ClassificationParameters) -> str:
    """Return the language of the leaf's rows.

    Raises:
        UserError: parameters that contradict one another.
    """
    language = resolve(parameters.language or leaf.condition["language"]).code
    if parameters.preset == "paper" and parameters.demos != "same":
        raise UserError(
            "the demonstrations of the paper's scripts are a part of their prompts",
            where=f"demos: {parameters.demos} of xling_{task.name}_{leaf.name}",
            fix="leave out demos or the preset",
        )
    if "switched" in leaf.parameters and language == "en" and switches(parameters):
        raise UserError(
            "English is code-switched with another language, not with itself",
            where=f"switched of xling_{task.name}_{leaf.name}",
            fix="leave it out, or name another language",
        )
    return language


def _sliding(task: _Task, asked: _Asked, document: Document, direction: Slide) -> Document:
    """Return a demonstration that slides between its row and the English one; English text has English prompt words."""
    row, english = asked.row.fields, asked.gold.fields
    parts = [SlidingPart(row[name], asked.language, english[name]) for name in task.fields]
    steps = slide(parts, direction, id=document.id)
    arrived = steps[-1 if direction == "to_english" else 0]
    lines = [
        line
        for step in steps
        for line in task.lines(
            replace(
                asked.row,
                fields=dict(zip(task.fields, step, strict=True)),
                language="en" if step == arrived else asked.row.language,
            )
        )
    ]
    languages = {**document.condition.languages, "question": SWITCHED if len(steps) > 1 else asked.language}
    return replace(document, prompt="\n".join(lines), condition=replace(document.condition, languages=languages))


def _distinct(task: _Task, language: str, asked: list[_Asked], same: Collection[str]) -> list[_Asked]:
    kept = [one for one in asked if one.gold.id not in same]
    log.warning("%s in %s: %d identical pairs dropped", task.name, language, len(asked) - len(kept))
    return kept


@dataclass(frozen=True, slots=True)
class _Published:
    """What a released script shows and scores in one language."""

    prompt: str
    """Demonstrations and the row's lines, with ``{text}`` and the like for its texts."""
    words: tuple[str, ...]
    """Label words in the paper's order."""
    labelled_in: str
    """Language of the label words."""

    def document(self, task: _Task, asked: _Asked, form: Form) -> Document:
        row = asked.row
        # In one pass, because a text may hold what looks like the place of another.
        text = re.sub(r"\{(\w+)\}", lambda place: row.fields.get(place[1], place[0]), self.prompt)
        prompt, _, cue = text.rpartition("\n")
        # Of labels that begin alike (Thai) the script shows the beginning and scores the rest.
        shared = os.path.commonprefix(self.words)
        made = _document(task, asked, form, "english")
        return replace(
            made,
            condition=replace(
                made.condition,
                languages={"question": asked.language, "answer": self.labelled_in, "labels": self.labelled_in},
            ),
            prompt=prompt,
            cue=cue + shared,
            request="",
            choices=tuple(word.removeprefix(shared) for word in self.words),
            options=self.words,
        )


def _published(task: _Task, language: str, parameters: ClassificationParameters) -> _Published:
    prompted_in = _prompted_in(language, parameters)
    (row,) = catalog.load_rows("zhang_prompts", prompted_in, _script(task, parameters.labels))
    return _Published(row.fields["prompt"], row.options, prompted_in if parameters.labels == "native" else "en")


def _prompted_in(language: str, parameters: ClassificationParameters) -> str:
    """Return the language of the prompt words: the matrix language of code-switched texts."""
    return language if parameters.matrix == "target" else "en"


def _script(task: _Task, labels: str) -> str:
    """The split of the script that has these labels."""
    split = f"{task.name}_{labels}"
    known = catalog.DATASETS["zhang_prompts"].splits
    if split not in known:
        have = ", ".join(name.partition("_")[2] for name in known if name.startswith(f"{task.name}_"))
        raise UserError(
            f"the paper has no script for {task.name} with {labels} labels",
            where=f"preset: paper, labels: {labels}",
            fix=f"labels that it has: {have}",
        )
    return split


def _needs(task: _Task, leaf: Leaf, form: Form, parameters: ClassificationParameters) -> list[Part]:
    language = _language(task, leaf, parameters)
    parts = parts_of(task.name, "test", (language, "en"))
    if parameters.preset == "paper":
        parts += parts_of("zhang_prompts", _script(task, parameters.labels), (_prompted_in(language, parameters),))
    return parts


def _document(task: _Task, asked: _Asked, form: Form, labels: str) -> Document:
    row, gold = asked.row, asked.gold
    if gold.answer is None or not 0 <= gold.answer < len(task.labels):
        where = f"{task.name} in {row.language}, id {row.id}"
        raise UserError(f"unknown label {gold.answer!r}", where=where, fix=f"labels: {', '.join(task.labels)}")
    prompt, cue = task.question(row)
    labelled_in = row.language if labels == "native" else "en"
    if labels == "agnostic":
        words: tuple[str, ...] = _AGNOSTIC[: len(task.labels)]
    else:
        words = tuple(literals.word(labelled_in, f"labels.{task.name}.{label}") for label in task.labels)
    return Document(
        id=row.id,
        family=task.name,
        condition=Condition(
            "",
            form.name,
            {"question": asked.language, "answer": labelled_in, "labels": labelled_in},
            {"question": asked.how} if asked.how else {},
        ),
        prompt=prompt,
        cue=cue,
        request=literals.word(row.language, "instructions.label").format(labels=", ".join(words)),
        choices=() if form.generates else words,
        answer=gold.answer,
        target=words[gold.answer] if form.generates else None,
        options=words,
        # Every demonstration is one for every document.
        pool=task.name,
        cluster=asked.cluster,
        fields={
            **{name: row.fields[name] for name in task.fields},
            "label": task.labels[gold.answer],
            **units_of(asked.switched),
        },
    )


def _family(task: _Task) -> Family:
    quoted: dict[str, Any] = {"delimiter": "", "shots_delimiter": '"\n'}
    # The demonstrations of the scripts are a part of their prompt.
    paper = Form("cloze", letter_scores, mean("acc"), shots=0, next_token="prefixes", **quoted)
    return Family(
        name=task.name,
        summary=task.summary,
        datasets=(task.name,),
        parameters=ClassificationParameters,
        forms={
            "cloze": replace(CLOZE, shots=len(task.demonstrations), paper=paper, **quoted),
            "generate": replace(GENERATE, shots=len(task.demonstrations), stops=("\n",), **quoted),
        },
        leaves=tuple(task.leaf(code) for code in ZHANG),
        documents=partial(_documents, task),
        needs=partial(_needs, task),
        groups=tuple(
            Group(name, half, ("acc", "acc_bytes"), by_size=False)
            for name, half in (("high_resource", HIGH_RESOURCE), ("low_resource", LOW_RESOURCE))
        ),
        average=("acc", "acc_bytes"),
        words=task.words(),
        questions={task.name: lambda row: "\n".join(task.question(row))},
    )


FAMILIES = tuple(
    _family(task)
    for task in (
        _Task(
            name="sentiment",
            summary="Amazon reviews, English, native or task-agnostic labels",
            labels=("positive", "negative"),
            fields={"text": None},
            answer_field="fields.emotion",
        ),
        _Task(
            name="nli",
            summary="SNLI, the same label modes",
            labels=("entailment", "neutral", "contradiction"),
            fields={"premise": "fields.premise", "hypothesis": "fields.hypothesis"},
            cluster="premise",
            answer_field="fields.answer",
        ),
        _Task(
            name="paraphrase",
            summary="PAWS, the same label modes",
            labels=("same", "different"),
            fields={"sentence_1": "fields.sentence_1", "sentence_2": "fields.sentence_2"},
            answer_field="fields.answer",
            parameters=("labels", "language", "missing", "drop_identical", "preset", "demos"),
        ),
    )
)
