"""Ledger: facts of invented people, to be taught in one language and asked in others. Our own benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Literal

from lm_eval_xling.catalog.ledger import ATTRIBUTES, PEOPLE, Spelling, load
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.choosing import CLOZE, GENERATE, LETTERS
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.family import Family, Form, Leaf
from lm_eval_xling.families.language_pairs import PairParameters, averages, pair_placement
from lm_eval_xling.families.placed import FIVE
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import ComposedItem, Document, Row, TaskDocuments

__all__ = ["FAMILY", "WORDINGS", "LedgerParameters", "Wording", "check_attributes", "prompt_of"]

Wording = Literal["record", "heading", "brackets", "sentence"]
"""How a fact is worded."""

_NAME, _VALUE = "[fields.name]: {subject}", "[fields.ATTRIBUTE]:"
_LINES: Mapping[Wording, tuple[str, ...]] = {
    "record": (_NAME, _VALUE),
    "heading": ("{subject}", _VALUE),
    "brackets": ("[fields.ATTRIBUTE] ({subject}):",),
    "sentence": ("[instructions.register]: {subject}. [fields.ATTRIBUTE]:",),
}
WORDINGS = tuple(_LINES)
"""Every wording by its name. None needs a word to be inflected."""


@dataclass(frozen=True, slots=True)
class LedgerParameters(PairParameters):
    """Parameters of ``xling_ledger``."""

    people: int = PEOPLE
    """How many people of a half are asked for."""
    seed: int = 0
    """Invents the people and what is said of them, and draws the languages of ``mixup``."""
    attributes: tuple[str, ...] = ATTRIBUTES
    """What is asked of every person."""
    names: Spelling = "latin"
    """Names in Latin letters, or in the script of the question's language (``native``) where CLDR has rules for it: for
    the leaves that may ask in other scripts."""
    wording: Wording = "record"
    """How a fact is asked for."""


def _templates(attribute: str, wording: Wording) -> Mapping[str, Template]:
    lines = tuple(line.replace("ATTRIBUTE", attribute) for line in _LINES[wording])
    question = (*lines[:-1], f"{lines[-1]} ?")
    return {
        "cloze": Template(lines, main="subject"),
        "letters": Template((*question, "{options}", "[fields.answer]:"), main="subject"),
    }


_DESCRIPTIONS: Mapping[tuple[str, Wording], Description] = MappingProxyType(
    {
        (attribute, wording): Description(
            family="ledger",
            dataset="ledger",
            split="taught",
            prompts=_templates(attribute, wording),
            main="subject",
            group="attribute",
            cluster="person",
        )
        for attribute in ATTRIBUTES
        for wording in WORDINGS
    }
)


def prompt_of(row: Row, wording: Wording) -> str:
    """Return what the value of a ledger's row follows, in the row's language, as the family's cloze asks for it."""
    template = _DESCRIPTIONS[str(row.extra["attribute"]), wording].prompts["cloze"]
    parts = template.render(row.fields, dict.fromkeys(row.fields, row.language), where=f"ledger, id {row.id}")
    return "\n".join(part for part in parts if part)


def check_attributes(attributes: Sequence[str], where: str) -> None:
    """Refuse attributes that no person has, or none at all.

    Raises:
        UserError: if there are any such.
    """
    for attribute in attributes:
        if attribute not in ATTRIBUTES:
            raise unknown_name("attribute", attribute, ATTRIBUTES, where=where)
    if not attributes:
        raise UserError("no attribute is named", where=where, fix=f"name some of {', '.join(ATTRIBUTES)}")


def documents(leaf: Leaf, form: Form, parameters: LedgerParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``half`` and two languages, or ``placement: mixup``."""
    check_attributes(parameters.attributes, "attributes of xling_ledger")
    placement = pair_placement(leaf, parameters, f"{leaf.condition['half']}_")
    draw = partial(
        load,
        people=parameters.people,
        seed=parameters.seed,
        names=parameters.names,
        attributes=parameters.attributes,
    )
    half = leaf.condition["half"]
    any_of_them = replace(
        next(iter(_DESCRIPTIONS.values())), split=half, load=lambda dataset, language, split: draw(language, split)
    )
    items = any_of_them.items(placement, parameters)
    shown = OnDemand(items, lambda item: _document(item, placement.name, form, parameters))
    return TaskDocuments(shown, demonstrations=shown)


def _document(item: ComposedItem, placement: str, form: Form, parameters: LedgerParameters) -> Document:
    attribute = str(item.extra["attribute"])
    document = _DESCRIPTIONS[attribute, parameters.wording].document(item, placement, form, parameters)
    # Demonstrations are other people's values of the same attribute.
    return replace(document, pool=attribute)


_PARAMETERS = ("people", "seed", "attributes", "wording", "option_ids")
_FORMS = ("letters", "generate")


def _leaves(half: str) -> list[Leaf]:
    def leaf(name: str, asked: str, answered: str, *more: str) -> Leaf:
        condition = {"half": half, "question_language": asked, "answer_language": answered}
        return Leaf(f"{half}_{name}", "cloze", condition, (*more, *_PARAMETERS), _FORMS)

    return [
        *(leaf(f"{asked}_{answered}", asked, answered) for asked in FIVE for answered in FIVE),
        # A pair that no other leaf holds; --metadata names another one.
        leaf("pair", "zh", "en", "question_language", "answer_language", "names"),
    ]


_ASKED = ("taught", "never")


FAMILY = Family(
    name="ledger",
    summary="Facts of invented people, taught in one language and asked in others; no download",
    datasets=("ledger",),
    parameters=LedgerParameters,
    forms={"cloze": CLOZE, "letters": replace(LETTERS, shots=None), "generate": replace(GENERATE, shots=None)},
    leaves=(
        *(leaf for half in _ASKED for leaf in _leaves(half)),
        Leaf(
            "taught_mixup",
            "letters",
            {"half": "taught", "placement": "mixup"},
            ("languages", "repeat_languages", "names", *_PARAMETERS),
            ("cloze", "generate"),
        ),
    ),
    documents=documents,
    # Invented when they are asked for: nothing can be lacking.
    needs=lambda leaf, form, parameters: (),
    groups=tuple(mean for half in _ASKED for mean in averages(f"{half}_")),
    words=tuple(dict.fromkeys(key for description in _DESCRIPTIONS.values() for key in description.words)),
    questions={"ledger": lambda row: prompt_of(row, "record")},
)
"""The family."""
