"""A leaf's declared parameters are exactly those that change what it sends or scores; the others are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, Family, Leaf
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.harness import requests
from lm_eval_xling.languages import LANGUAGES, resolve
from lm_eval_xling.records import Row
from tests.families.written import rows_of

pytestmark = pytest.mark.usefixtures("written")

# A value other than the default for every parameter, and what else has to be set for it to matter.
OTHER: Mapping[str, Any] = {
    "answer_language": "Swahili",
    "attributes": ("month",),
    "awareness": "any_language",
    "base_language": "Swahili",
    "context_language": "ru",
    "demos": "to_english",
    "demos_language": "th",
    "drop_identical": True,
    "equal_options": "drop",
    "labels": "native",
    "matrix": "base",
    "language": "Icelandic",
    "languages": ("sw",),
    "missing": "drop",
    "names": "native",
    "option_ids": "C-F",
    "options_language": "vi",
    "people": 3,
    "preset": "paper",
    "question_language": "ja",
    "reasoning_language": "bn",
    "relations": ("capital",),
    "repeat_languages": True,
    "seed": 5,
    "split": "forget10",
    "switched": 40,
    "translator": f"lexicon:{Path(__file__).with_name('words.tsv')}",
    "unit": "sentence",
    "wording": "sentence",
    "words": 3,
}
# Counting tokens changes no document; tests/families/test_sent.py has it.
COUNTED = {"tokenizer"}


# Refused although it would matter: it would contradict the leaf's name, or leave no documents.
REFUSED = {
    "atlas": {"question_language", "answer_language"},
    "ledger": {"question_language", "answer_language", "names"},
    "sentiment": {"drop_identical"},
}


def other(leaf: Leaf, name: str) -> Any:
    if name == "split" and leaf.condition.get("split") in ("real_authors", "world_facts"):
        return {"real_authors": "world_facts", "world_facts": "real_authors"}[leaf.condition["split"]]
    if name == "languages" and leaf.condition.get("placement") == "mixup":
        return ("sw", "th", "ru", "zh", "ja", "hi")
    if name == "languages" and "placement" not in leaf.condition:
        return ("ru", "hi")
    if name.endswith("language") and resolve(OTHER[name]).code in leaf.condition.values():
        return "Telugu" if name == "demos_language" or leaf.condition.get("dataset") == "mgsm" else "Hindi"
    return OTHER[name]


def beside(leaf: Leaf, name: str) -> dict[str, Any]:
    if name in leaf.beside:
        return {leaf.beside[name]: 50 if leaf.beside[name] == "switched" else "de"}
    if name == "repeat_languages":
        return {"languages": ("de", "fr")}
    if name == "names":
        asked = "languages" if "languages" in leaf.parameters else "question_language"
        return {asked: ("ru", "hi", "ja", "bg", "th") if asked == "languages" else "ru"}
    # In one language alone, labels are its own, demonstrations stand in the placement, and no row is missing.
    alone = set(leaf.condition.values()) & set(LANGUAGES) <= {"en"} and leaf.condition.get("placement") != "mixup"
    if not alone and not (name == "missing" and leaf.condition.get("dataset") == "xquad"):
        return {}
    if name not in ("demos", "labels", "missing"):
        return {}
    for second in ("language", "base_language", "demos_language" if name == "demos" else "question_language"):
        if second in leaf.parameters:
            return {second: "de" if "de" not in leaf.condition.values() else "fr"}
    return {}


def names(family: Family) -> list[str]:
    return [field.name for field in dataclasses.fields(family.parameters) if field.name not in COUNTED]


def outcome(family: Family, leaf: Leaf, **parameters: Any) -> object:
    """What the leaf sends in all of its forms, or the error that it gives."""
    made = family.parameters(**parameters)
    resolved = made.resolved() if hasattr(made, "resolved") else made
    sent: list[object] = []
    for form in (leaf.form, *leaf.alternatives):
        try:
            asked = replace(leaf, form=form)
            shown = family.form(asked, resolved)
            documents = family.documents(asked, shown, resolved)
            rows = [[d.as_row() for d in part] for part in (documents.evaluated, documents.demonstrations)]
        except UserError as error:
            return str(error)
        sent += [(dict(shown.generation), shown.max_tokens), *rows]
    return sent


def faulty(dataset: str, language: str, split: str) -> list[Row]:
    """Rows with what ``missing`` and ``equal_options`` are there for: ids of one language alone, equal options."""
    rows = rows_of(dataset, language, split)
    if split == "dev":
        return rows
    if rows[-1].options:
        # Options of number 2 are written alike in all languages.
        rows[-1] = replace(rows[-1], options=("same", "same", "c", "d"))
    alone = {name: f"{text} X" for name, text in rows[-1].fields.items()}
    return [*rows, replace(rows[-1], id=f"only in {language}", fields=alone)]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_declared_parameters_are_those_that_matter(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    def matters(leaf: Leaf, name: str) -> bool:
        with monkeypatch.context() as patch:
            given = beside(leaf, name)
            if name in ("missing", "equal_options"):
                patch.setattr(catalog, "load_rows", faulty)
            if name == "equal_options":
                given["missing"] = "drop"
            return outcome(family, leaf, **given) != outcome(family, leaf, **given, **{name: other(leaf, name)})

    wrong = {}
    for leaf in family.leaves:
        declared = set(leaf.parameters) - COUNTED
        # One language alone lacks no row, but the parameter serves the whole matrix.
        declared -= {"missing"} if (family.name, leaf.name) == ("atlas", "en_en") else set()
        matter = {name for name in names(family) if matters(leaf, name)} - (REFUSED.get(family.name, set()) - declared)
        if matter != declared:
            wrong[leaf.name] = {"declared in vain": declared - matter, "not declared": matter - declared}
    assert wrong == {}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_parameter_that_a_leaf_does_not_use_is_refused(family: Family) -> None:
    for leaf in family.leaves:
        for name in (*names(family), *COUNTED & {field.name for field in dataclasses.fields(family.parameters)}):
            value = "gpt2" if name in COUNTED else other(leaf, name)
            given = {name: list(value) if isinstance(value, tuple) else value}
            if name in leaf.parameters:
                if name in leaf.beside:
                    with pytest.raises(
                        UserError, match=f"uses the parameter '{name}' only beside '{leaf.beside[name]}'"
                    ):
                        configure(family, leaf, given)
                configure(family, leaf, {**beside(leaf, name), **given})
                continue
            users = [family.task(one) for one in family.leaves if name in one.parameters]
            with pytest.raises(UserError, match=f"{family.task(leaf)} does not use the parameter '{name}'") as error:
                configure(family, leaf, given)
            assert all(user in str(error.value) for user in users[:6])
            assert ("evaluate only" in str(error.value)) == bool(users)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("xling_mmlu_en", "does not use the parameter 'seed'(.|\n)*xling_mmlu_"),
        ("xling_mmlu_full_de", "uses the parameter 'seed' only beside 'switched'"),
        ("xling_qa_xquad_en_de", "does not use the parameter 'seed'"),
        ("xling_qa_belebele_full_de", "uses the parameter 'seed' only beside 'switched'"),
        # No leaf of translation draws anything, so that the family does not know the name.
        ("xling_translation_en_fr", "unknown parameter 'seed'"),
    ],
)
def test_a_seed_that_draws_nothing_is_refused_by_the_harness(task: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        requests(task, rows=[0], metadata={"xling": {"seed": 1}})
