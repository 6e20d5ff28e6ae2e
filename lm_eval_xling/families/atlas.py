"""Atlas: facts of countries, asked in one language and answered in another. Our own benchmark (tasks/atlas)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.families.choosing import CLOZE, GENERATE, LETTERS
from lm_eval_xling.families.described import Description
from lm_eval_xling.families.family import Family, Form, Leaf, Part
from lm_eval_xling.families.language_pairs import PairParameters, averages, pair_placement
from lm_eval_xling.families.parallel_rows import parts_of
from lm_eval_xling.families.placed import FIVE, ROW_PARAMETERS
from lm_eval_xling.families.prompts import Template
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import ComposedItem, Document, TaskDocuments

__all__ = ["FAMILY", "RELATIONS", "AtlasParameters"]

RELATIONS = ("capital", "continent", "currency", "official_language")
"""The kinds of facts."""


@dataclass(frozen=True, slots=True)
class AtlasParameters(PairParameters):
    """Parameters of ``xling_atlas``."""

    relations: tuple[str, ...] = RELATIONS
    """Kinds of facts to ask for."""
    seed: int = 0
    """Draws the languages of ``mixup``."""
    # Options are compared by their text, so two equal ones would make the item unanswerable.
    equal_options: Literal["error", "drop", "keep"] = "error"
    """What to do with items in which two options are the same text."""


def _description(relation: str) -> Description:
    country, value = "[fields.country]: {subject}", f"[fields.{relation}]:"
    return Description(
        family="atlas",
        dataset="atlas",
        split="test",
        prompts={
            "cloze": Template((country, value), main="subject"),
            "letters": Template((country, f"{value} ?", "{options}", "[fields.answer]:"), main="subject"),
        },
        main="subject",
        group="relation",
    )


_DESCRIPTIONS = {relation: _description(relation) for relation in RELATIONS}


def documents(leaf: Leaf, form: Form, parameters: AtlasParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``question_language`` and ``answer_language``, or ``placement: mixup``."""
    for relation in parameters.relations:
        if relation not in RELATIONS:
            raise unknown_name("relation", relation, RELATIONS, where="xling_atlas")
    placement = pair_placement(leaf, parameters)
    any_of_them = next(iter(_DESCRIPTIONS.values()))
    items = any_of_them.items(placement, parameters)
    shown = OnDemand(
        [item for item in items if item.extra["relation"] in parameters.relations],
        lambda item: _document(item, placement.name, form, parameters),
    )
    return TaskDocuments(shown, demonstrations=shown)


def _needs(leaf: Leaf, form: Form, parameters: AtlasParameters) -> list[Part]:
    return parts_of("atlas", "test", (*pair_placement(leaf, parameters).languages, "en"))


def _document(item: ComposedItem, placement: str, form: Form, parameters: AtlasParameters) -> Document:
    relation = item.extra["relation"]
    document = _DESCRIPTIONS[relation].document(item, placement, form, parameters)
    # Demonstrations are other countries' facts of the same relation; one country's facts are no independent items.
    return replace(document, pool=relation, cluster=item.fields["subject"])


_PARAMETERS = ("relations", "option_ids", *ROW_PARAMETERS)

FAMILY = Family(
    name="atlas",
    summary="Our own facts of countries, asked in one language and answered in another; no download",
    datasets=("atlas",),
    parameters=AtlasParameters,
    forms={"cloze": CLOZE, "letters": replace(LETTERS, shots=None), "generate": replace(GENERATE, shots=None)},
    leaves=(
        *(
            Leaf(
                f"{asked}_{answered}",
                "cloze",
                {"question_language": asked, "answer_language": answered},
                _PARAMETERS,
                ("letters", "generate"),
            )
            for asked in FIVE
            for answered in FIVE
        ),
        # A pair that no other leaf holds; --metadata names another one.
        Leaf(
            "pair",
            "cloze",
            {"question_language": "zh", "answer_language": "en"},
            ("question_language", "answer_language", *_PARAMETERS),
            ("letters", "generate"),
        ),
        Leaf(
            "mixup",
            "letters",
            {"placement": "mixup"},
            ("languages", "repeat_languages", "seed", *_PARAMETERS),
            ("cloze", "generate"),
        ),
    ),
    documents=documents,
    needs=_needs,
    groups=averages(),
    words=tuple(dict.fromkeys(key for description in _DESCRIPTIONS.values() for key in description.words)),
    version=1.1,
)
