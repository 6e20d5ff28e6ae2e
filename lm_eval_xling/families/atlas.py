"""Atlas: facts of countries, asked in one language and answered in another. Our own benchmark (tasks/atlas)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_xling import literals
from lm_eval_xling.errors import unknown_name
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.families.multiple_choice import OPTION_IDS, ComposedParameters, compose_rows, document, lettered
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import TaskDocuments

__all__ = ["RELATIONS", "Parameters", "documents", "group", "leaves"]


RELATIONS = ("capital", "continent", "currency", "official_language")
"""The kinds of facts."""

_LANGUAGES = ("en", "fr", "de", "es", "it")


@dataclass(frozen=True, slots=True)
class Parameters(ComposedParameters):
    """Parameters of ``xling_atlas``."""

    form: Literal["cloze", "letters"] | None = None
    """Score the options' texts or their letters; the leaf says which unless this is set."""
    question_language: str | None = None
    """Language of the question, for ``xling_atlas_pair``."""
    answer_language: str | None = None
    """Language of the options, for ``xling_atlas_pair``."""
    relations: tuple[str, ...] = RELATIONS
    """Kinds of facts to ask for."""
    # Options are compared by their text, so two equal ones would make the item unanswerable.
    equal_options: Literal["error", "drop", "keep"] = "error"
    """What to do with items in which two options are the same text."""


def leaves() -> list[Leaf]:
    """Return the 25 pairs of question and answer language, a pair of any languages, and mixup by letters."""
    pairs = [
        Leaf(f"{asked}_{answered}", {"question_language": asked, "answer_language": answered, "form": "cloze"})
        for asked in _LANGUAGES
        for answered in _LANGUAGES
    ]
    # A pair that no other leaf holds; --metadata names another one.
    any_pair = Leaf("pair", {"question_language": "zh", "answer_language": "en", "form": "cloze"})
    return [*pairs, any_pair, Leaf("mixup", {"placement": "mixup", "form": "letters"})]


def group() -> dict[str, Any]:
    """Return the group: the matrix's diagonal and the rest, whose difference is the barrier."""

    def average(name: str, same: bool) -> dict[str, Any]:
        tasks = [f"xling_atlas_{q}_{a}" for q in _LANGUAGES for a in _LANGUAGES if (q == a) == same]
        metrics = [{"metric": metric, "aggregation": "mean"} for metric in ("acc", "acc_bytes")]
        return {"group": name, "task": tasks, "aggregate_metric_list": metrics}

    return {"task": [average("same_language", True), average("crosslingual", False)]}


def documents(leaf: Mapping[str, Any], parameters: Parameters) -> TaskDocuments:
    """Return the documents of a leaf: ``question_language`` and ``answer_language``, or ``placement: mixup``."""
    form = parameters.form or leaf["form"]
    if leaf.get("placement") == "mixup":
        name = "mixup"
        items = compose_rows("atlas", "test", "mixup", None, parameters)
    else:
        asked_in = resolve(parameters.question_language or leaf["question_language"]).code
        answered_in = resolve(parameters.answer_language or leaf["answer_language"]).code
        name = f"{asked_in}_{answered_in}"
        items = compose_rows(
            "atlas",
            "test",
            {"subject": asked_in, "options": answered_in},
            None,
            replace(parameters, base_language=asked_in),
        )
    for relation in parameters.relations:
        if relation not in RELATIONS:
            raise unknown_name("relation", relation, RELATIONS, where="xling_atlas")
    evaluated = []
    for item in items:
        relation = item.extra["relation"]
        if relation not in parameters.relations:
            continue
        asked_in = item.field_languages["subject"]
        country_line = f"{literals.word(asked_in, 'fields.country')}: {item.fields['subject']}"
        value_word = literals.word(asked_in, f"fields.{relation}")
        if form == "cloze":
            prompt = f"{country_line}\n{value_word}:"
            choices: tuple[str, ...] = item.options
        else:
            option_ids = OPTION_IDS[parameters.option_ids]
            answer_word = literals.word(asked_in, "fields.answer")
            prompt = lettered(f"{country_line}\n{value_word}: ?", item.options, option_ids, f"{answer_word}:")
            choices = option_ids[: len(item.options)]
        evaluated.append(
            document(
                item,
                family="atlas",
                placement=name,
                prompt=prompt,
                choices=choices,
                main_field="subject",
                relation=relation,
                # Few-shot demonstrations are other countries' facts of the same relation.
                country=item.fields["subject"],
            )
            | {"subject": relation}
        )
    return TaskDocuments(evaluated, demonstrations=evaluated)
