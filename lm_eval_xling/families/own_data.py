"""Own parallel data: a description file ▸ a family, without a line of code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field as dataclass_field
from dataclasses import make_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from lm_eval_xling import literals
from lm_eval_xling.composing import PLACEMENTS, join
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.choosing import CLOZE, GENERATE, LETTERS
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.extracting import EXTRACTED
from lm_eval_xling.families.family import Family, Form, Group, Leaf
from lm_eval_xling.families.own_rows import Columns, OwnRow, drawn_answers, read_records, rows_of
from lm_eval_xling.families.placed import PlacedParameters, beside_others, leaf_placement, used_parameters
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.files import read_text
from lm_eval_xling.languages import identify
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Condition, Document, Row, TaskDocuments

__all__ = ["HubRows", "OwnData", "own_family", "read_description"]

_FORMS = ("letters", "cloze")
_RESERVED = ("id", "options", "wrong", "answer", "first_answer", "subject", "cluster")
_TESTED = "test"

_VERSION = 1.1
"""Of tasks with options, since all rows of a file are read in one way and drawn options are the same items in every
language."""


class HubRows(msgspec.Struct, forbid_unknown_fields=True):
    """Rows of a dataset on the hub; ``{language}`` in a name stands for the language's code."""

    hub: str
    """``owner/name``."""
    config: str | None = None
    """Configuration, such as ``{language}``."""
    split: str = _TESTED
    """Split."""
    revision: str | None = None
    """Commit, so that a later run reads the same rows."""


class OwnData(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a description file says."""

    name: str
    """Of the family: task names are ``xling_<name>_…``."""
    languages: list[str]
    """Languages, in any spelling; they stand for ``{language}`` as they are written here."""
    rows: str | HubRows
    """Path of a file a language with ``{language}`` in it, from the folder of the description; or a hub dataset."""
    columns: dict[str, Any]
    """Columns of ``id``, ``options``, ``answer``, ``subject``, ``cluster``; every other name is a text field, of which
    ``question`` is one. ``wrong``: number of wrong options to draw. ``first_answer``: number of the first option."""
    answers: Literal["texts", "numbers"] | None = None
    """Whether ``answer`` holds texts of options, or letters and numbers; by default what fits every row."""
    title: str = ""
    """What it is, in one line."""
    licence: str = "not stated"
    """Licence of the rows."""
    citation: str = ""
    """Whom to cite."""
    base_language: str = "en"
    """Language that gold answers come from, and that a placement's other parts are shown in."""
    prompt: list[str] | dict[str, list[str]] | None = None
    """Lines of the prompt, or of each form's; by default the question, the options, and the word for "Answer"."""
    instruction: str = ""
    """Text before the prompt, or the key of a prompt word."""
    forms: Annotated[tuple[Literal["letters", "cloze"], ...], msgspec.Meta(min_length=1)] = ("letters", "cloze")
    """Forms of items with options, the default first."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Longest generated answer, of items without options."""


def read_description(path: Path) -> OwnData:
    """Read and check a description file.

    Raises:
        UserError: no such file, no YAML, an unknown key, or a value of the wrong kind.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"the description is no YAML: {' '.join(str(error).split())}", where=path) from None
    if not isinstance(content, dict):
        raise UserError("the description is no map of keys", where=path, fix="see docs/own-data.md")
    kinds = {"": OwnData, "rows": HubRows}
    for name, kind in kinds.items():
        part = content.get(name) if name else content
        for key in part if isinstance(part, dict) else ():
            if key not in kind.__struct_fields__:
                raise unknown_name("key", str(key), kind.__struct_fields__, where=f"{path} {name}".strip())
    try:
        data = msgspec.convert(content, OwnData)
    except msgspec.ValidationError as error:
        raise UserError(str(error), where=path, fix="see docs/own-data.md") from None
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", data.name):
        raise UserError(f"{data.name!r} is no name for tasks", where=path, fix="lower-case letters, digits and _")
    if "question" not in data.columns or "answer" not in data.columns:
        raise UserError("`columns` lacks `question` or `answer`", where=path, fix="say which column holds each")
    if isinstance(data.rows, str) and "{language}" not in data.rows and len(data.languages) > 1:
        raise UserError(
            f"{data.rows} is one file for {len(data.languages)} languages", where=path, fix="write {language} in `rows`"
        )
    return data


def own_family(path: Path) -> Family:
    """Return the family that a description file describes.

    Raises:
        UserError: as ``read_description``; an unknown language, or a name of one of our own families.
    """
    path = path.resolve()
    try:
        modified = path.stat().st_mtime_ns
    except OSError:
        raise UserError("there is no such description", where=path, fix="give the path of its YAML file") from None
    return _family(path, modified)


@cache
def _family(path: Path, modified: int) -> Family:
    from lm_eval_xling.families import FAMILIES

    data = read_description(path)
    if data.name in FAMILIES:
        raise UserError(f"{data.name!r} is one of our own families", where=path, fix="choose another name")
    return _Own(path, data).family()


class _Own:
    """A description with its rows."""

    def __init__(self, path: Path, data: OwnData) -> None:
        self.path, self.data = path, data
        # Any language that has a tag: only prompt words need one that the project knows.
        codes = [identify(spelling).code for spelling in data.languages]
        if len(set(codes)) < len(codes):
            raise UserError(f"a language occurs twice in {', '.join(data.languages)}", where=path)
        self.spelling = dict(zip(codes, data.languages, strict=True))
        self.base = identify(data.base_language).code
        if self.base not in codes:
            raise UserError(f"the base language {self.base!r} is none of `languages`", where=path)
        self.languages = (self.base, *(code for code in codes if code != self.base))
        self.columns = _columns(data, path)
        self.chosen = self.columns.options is not None or self.columns.wrong is not None
        self._rows: dict[str, list[Row]] = {}

    def load(self, dataset: str, language: str, split: str) -> list[Row]:
        """Return the rows of a language, as ``catalog.load_rows``."""
        if language not in self.spelling:
            raise unknown_name("language", language, self.languages, where=f"xling_{self.data.name}")
        if language not in self._rows:
            self._rows |= self._read((language,), self.columns)
        return self._rows[language]

    def _read(self, languages: Sequence[str], columns: Columns) -> dict[str, list[Row]]:
        """Read the rows of these languages; of all where an item's options are answers of other items."""
        draws = columns.wrong is not None and columns.options is None
        records = {code: self._records(code) for code in (self.languages if draws else languages)}
        drawn = drawn_answers(records, columns) if draws else None
        return {code: rows_of(rows, columns, code, drawn) for code, rows in records.items()}

    def _records(self, language: str) -> list[OwnRow]:
        rows, spelling = self.data.rows, self.spelling[language]
        if isinstance(rows, str):
            return list(read_records(self.path.parent / rows.replace("{language}", spelling)))
        from datasets import load_dataset

        name, config = rows.hub, rows.config and rows.config.replace("{language}", spelling)
        split = rows.split.replace("{language}", spelling)
        try:
            table = load_dataset(name, config, split=split, revision=rows.revision)
        except Exception as error:  # datasets, the hub and the network fail in many ways.
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"the rows cannot be read: {line}", where=f"{name}, {config}, {split}") from error
        return [OwnRow(row, f"{name}, {config}, row {number}") for number, row in enumerate(table)]

    def check(self) -> int:
        """Read all rows, check that they are parallel, and return the number of items."""
        self._rows.clear()
        rows = {language: self.load(self.data.name, language, _TESTED) for language in self.languages}
        if self.columns.options is not None and self.columns.wrong is not None:
            # What is drawn is parallel where the options that it is drawn from are, with the right one in one place.
            rows = self._read(self.languages, replace(self.columns, wrong=None))
        parallel = join(rows, where=self.path)
        for item in parallel:
            counts = {code: len(row.options) for code, row in item.items()}
            if len(set(counts.values())) > 1:
                raise UserError(f"the languages have unlike numbers of options: {counts}", where=item[self.base].id)
            answers = {code: row.answer for code, row in item.items()}
            if len(set(answers.values())) > 1:
                raise UserError(f"the languages have unlike answers: {answers}", where=f"id {item[self.base].id}")
        return len(parallel)

    def family(self) -> Family:
        """Return the family."""
        data = self.data
        names = (*dict.fromkeys(data.forms), *self._spoken()) if self.chosen else ("generate",)
        kinds: Mapping[str, Form] = {
            "letters": replace(LETTERS, shots=None),
            "cloze": CLOZE,
            "generate": replace(GENERATE if self.chosen else EXTRACTED, shots=None, max_tokens=data.max_tokens),
        }
        description = Description(
            family=data.name,
            dataset=data.name,
            split=_TESTED,
            prompts={name: Template(tuple(_lines(data, name))) for name in names if name in _FORMS or not self.chosen},
            requests=all(_has_word(code, "instructions.choose") for code in self.languages),
            instruction=data.instruction,
            group="subject" if self.columns.subject else None,
            cluster="cluster" if self.columns.cluster else None,
            gold=self.base,
            load=self.load,
        )
        self._check_templates(description)
        leaves = tuple(self._leaves(names))
        return Family(
            name=data.name,
            summary=data.title or data.name,
            datasets=(),
            parameters=self._parameters(),
            forms={name: kinds[name] for name in names},
            leaves=leaves,
            documents=lambda leaf, form, parameters: self._documents(description, leaf, form, parameters),
            groups=self._groups(leaves, tuple(metric.name for metric in kinds[names[0]].metrics)),
            words=description.words,
            version=_VERSION if self.chosen else 1.0,
            questions={data.name: lambda row: _question(description.prompts[names[0]], row)},
            check=self.check,
            load=self.load,
        )

    def _parameters(self) -> type[PlacedParameters]:
        """The parameters, of which the description says the base language."""
        base = dataclass_field(default=self.base)
        return make_dataclass(
            "OwnParameters", [("base_language", str, base)], bases=(PlacedParameters,), frozen=True, slots=True
        )

    def _spoken(self) -> tuple[str, ...]:
        """An answer in words can be asked for where letters can."""
        return ("generate",) if "letters" in self.data.forms else ()

    def _check_templates(self, description: Description) -> None:
        for name, template in description.prompts.items():
            where = f"{self.path}, prompt of the form {name}"
            for field in template.fields:
                if field not in self.columns.fields:
                    raise unknown_name("field", field, [*self.columns.fields, "options"], where=where)
            for word in template.words:
                for language in self.languages:
                    literals.word(language, word)
            if name == "letters" and "{options}" not in template.lines:
                raise UserError("the prompt shows no options", where=where, fix="add the line {options}")

    def _leaves(self, forms: tuple[str, ...]) -> list[Leaf]:
        def leaf(name: str, placement: str, **language: str) -> Leaf:
            letters = ("option_ids",) if "letters" in forms else ()
            used, beside = used_parameters(placement), beside_others(placement)
            if not self.chosen:
                # What has no options is not composed, and so not code-switched.
                used, beside = tuple(name for name in used if name not in ("switched", *beside)), {}
            return Leaf(name, forms[0], {"placement": placement, **language}, (*used, *letters), forms[1:], beside)

        others = self.languages[1:]
        placements = [name for name in PLACEMENTS if name not in ("en", "mixup")]
        if not self.chosen:
            placements = ["full", "question"]
        made = [leaf(self.base, "en", language=self.base)]
        made += [leaf(f"{name}_{code}", name, language=code) for name in placements for code in others]
        if self.chosen and len(self.languages) > 1:
            first = self.load(self.data.name, self.base, _TESTED)[0]
            if len(self.languages) >= len(self.columns.fields) + len(first.options):
                made.append(leaf("mixup", "mixup"))
        return made

    def _groups(self, leaves: Sequence[Leaf], metrics: tuple[str, ...]) -> tuple[Group | str, ...]:
        by_placement: dict[str, list[str]] = {}
        for leaf in leaves:
            by_placement.setdefault(leaf.condition["placement"], []).append(leaf.name)
        return tuple(
            names[0] if name in ("en", "mixup") else Group(name, tuple(names), metrics)
            for name, names in by_placement.items()
        )

    def _documents(
        self, description: Description, leaf: Leaf, form: Form, parameters: PlacedParameters
    ) -> TaskDocuments:
        parameters = replace(
            parameters,
            languages=parameters.languages or (self.languages if leaf.condition["placement"] == "mixup" else None),
        )
        if self.chosen:
            placement = leaf_placement(leaf, parameters)
            items = description.items(placement, parameters)
            made: Sequence[Document] = OnDemand(
                items, lambda item: description.document(item, placement.name, form, parameters)
            )
        else:
            made = self._generated(description, leaf, form, parameters)
        # Few-shot demonstrations are other items of the same subject.
        shown = OnDemand(made, lambda document: replace(document, pool=document.group or self.data.name))
        return TaskDocuments(shown, demonstrations=shown)

    def _generated(
        self, description: Description, leaf: Leaf, form: Form, parameters: PlacedParameters
    ) -> Sequence[Document]:
        """Documents of items without options; the answer is in the language of the parts but the question."""
        target = (parameters.languages or (leaf.condition["language"],))[0]
        answered_in = target if leaf.condition["placement"] == "full" else parameters.base_language
        asked_in = parameters.base_language if leaf.condition["placement"] == "en" else target
        rows = {code: self.load(self.data.name, code, _TESTED) for code in (asked_in, answered_in)}

        def asked(parallel: Mapping[str, Row]) -> Document:
            languages = {name: answered_in for name in self.columns.fields} | {"question": asked_in}
            fields = {name: parallel[code].fields[name] for name, code in languages.items()}
            row = parallel[answered_in]
            prompt, cue = description.prompts[form.name].render(fields, languages, where=f"id {row.id}")
            known = description.instruction in literals.words("en")
            return Document(
                id=row.id,
                family=self.data.name,
                condition=Condition(leaf.condition["placement"], form.name, {**languages, "answer": answered_in}),
                prompt=prompt,
                cue=cue,
                target=row.target,
                description=literals.word(asked_in, description.instruction) if known else description.instruction,
                group=row.extra.get("subject", ""),
                cluster=row.extra.get("cluster", ""),
                fields={**fields, "answers": [row.target]},
            )

        return OnDemand(join(rows, missing=parameters.missing, where=self.path), asked)


def _columns(data: OwnData, path: Path) -> Columns:
    given = data.columns
    known = {name: given[name] for name in _RESERVED if name in given}
    fields = {name: column for name, column in given.items() if name not in _RESERVED}
    for name, column in {**fields, **known}.items():
        kinds = int if name in ("wrong", "first_answer") else (str, list) if name == "options" else str
        if not isinstance(column, kinds) or isinstance(column, bool):
            raise UserError(f"`columns: {name}` is {column!r}", where=path, fix="give the name of a column")
    options = known.get("options")
    if isinstance(options, list):
        if not 2 <= len(options) <= 26 or not all(isinstance(name, str) for name in options):
            raise UserError("`columns: options` names no 2 to 26 columns", where=path)
        known["options"] = tuple(options)
    if not 1 <= known.get("wrong", 1) <= 25:
        raise UserError(f"`columns: wrong` is {known['wrong']}", where=path, fix="draw from 1 to 25 wrong options")
    if data.answers is not None and options is None:
        raise UserError(
            "`answers` says how options are named, and `columns` has none", where=path, fix="leave `answers` out"
        )
    return Columns(fields=fields, answers=data.answers, **known)


def _lines(data: OwnData, form: str) -> list[str]:
    if isinstance(data.prompt, dict):
        for key in data.prompt:
            if key not in ("letters", "cloze", "generate"):
                raise unknown_name("form", key, ("letters", "cloze", "generate"), where=f"prompt of {data.name}")
        lines = data.prompt.get(form)
    else:
        lines = data.prompt
    if lines is None:
        fields = [f"{{{name}}}" for name in data.columns if name not in (*_RESERVED, "question")]
        lines = [*fields, "{question}", "{options}", "[fields.answer]:"]
    return lines if form == "letters" else [line for line in lines if line != "{options}"]


def _has_word(language: str, key: str) -> bool:
    try:
        return key in literals.words(language)
    except UserError:
        return False


def _question(template: Template, row: Row) -> str:
    lines = Template(tuple(line for line in template.lines if line != "{options}"), template.main)
    return "\n".join(lines.render(row.fields, dict.fromkeys(row.fields, row.language), where=f"id {row.id}"))
