"""Documents are made when the harness asks for them, and what is wrong with one is said before a model is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lm_eval import evaluator
from lm_eval.models.dummy import DummyLM

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import atlas
from lm_eval_xling.harness import requests, task_manager
from lm_eval_xling.records import Document, Row
from tests.families.written import rows_of


def recorded(module: Any, monkeypatch: pytest.MonkeyPatch) -> list[Document]:
    """The documents that a family makes from now on."""
    made: list[Document] = []
    original = module._document

    def document(*arguments: Any) -> Document:
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(module, "_document", document)
    return made


@pytest.mark.usefixtures("written")
def test_one_row_makes_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(atlas, monkeypatch)
    (asked,) = requests("xling_atlas_en_de", rows=[0], num_fewshot=0)
    assert {document.id for document in made} == {asked.document.id}
    several = requests("xling_atlas_en_de", num_fewshot=0)
    assert len(several) > 1 and {document.id for document in made} == {one.document.id for one in several}


class Asked(DummyLM):
    """A model that says how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.times += 1
        return super().loglikelihood(requests, disable_tqdm)


def evaluate(model: Asked, limit: int | None) -> Any:
    tasks = task_manager(include_defaults=False).load(["xling_atlas_fr_fr", "xling_atlas_de_de"])
    return evaluator.evaluate(model, tasks, limit=limit, bootstrap_iters=0)


def test_a_faulty_row_of_the_last_task_is_said_before_the_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(dataset: str, language: str, split: str) -> list[Row]:
        *rows, last = rows_of(dataset, language, split)
        return [*rows, replace(last, fields={"subject": " "} if language == "de" else last.fields)]

    monkeypatch.setattr(catalog, "load_rows", faulty)
    made, model = recorded(atlas, monkeypatch), Asked()
    with pytest.raises(UserError, match="the field .subject. is empty"):
        evaluate(model, None)
    assert made and model.times == 0
    # Where that row is not asked, nothing is wrong.
    assert evaluate(model, 1)["results"].keys() == {"xling_atlas_fr_fr", "xling_atlas_de_de"}
    assert model.times == 1
