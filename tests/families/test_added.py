"""A family that is added at run time: its YAML, the harness's evaluation of it, and its averages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from lm_eval_xling import catalog, families
from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.families import Family, Form, Group, Leaf, family_named
from lm_eval_xling.families.choosing import CLOZE
from lm_eval_xling.families.parallel_rows import parallel_rows
from lm_eval_xling.families.task_files import task_files
from lm_eval_xling.records import Condition, Document, Row, TaskDocuments


@dataclass(frozen=True, slots=True)
class PlainParameters:
    """Parameters of the family of this test."""

    loud: bool = False
    """Asks in capital letters."""


def documents(leaf: Leaf, form: Form, parameters: PlainParameters) -> TaskDocuments:
    language = leaf.condition["question_language"]
    made = []
    for rows in parallel_rows("plants", "test", (language, "en"), "drop"):
        row = rows[language]
        question = row.fields["question"]
        made.append(
            Document(
                id=row.id,
                family="plants",
                condition=Condition("", form.name, {"question": language, "answer": language}),
                prompt=question.upper() if parameters.loud else question,
                cue="A:",
                choices=row.options,
                answer=rows["en"].answer,
                options=row.options,
            )
        )
    return TaskDocuments(made, made)


def plants() -> Family:
    return Family(
        name="plants",
        summary="Names of plants",
        datasets=("plants",),
        parameters=PlainParameters,
        forms={"cloze": CLOZE},
        leaves=tuple(Leaf(code, "cloze", {"question_language": code}, ("loud",)) for code in ("en", "de", "sw")),
        documents=documents,
        groups=("en", Group("other", ("de", "sw"), ("acc",), by_size=False)),
        average=("acc",),
        words=("fields.answer",),
    )


def rows_of(dataset: str, language: str, split: str) -> list[Row]:
    assert (dataset, split) == ("plants", "test")
    return [
        Row(
            str(i), language, {"question": f"{language} plant {i}?"}, (f"{language} oak {i}", f"{language} fern"), i % 2
        )
        for i in range(3 if language == "de" else 4)
    ]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of the family's YAML, with the family among ours and its data in the catalog."""
    family = plants()
    entry = replace(DATASETS["hp"], name="plants", languages=("en", "de", "sw"), splits=("test",))
    monkeypatch.setattr(catalog, "DATASETS", {**DATASETS, "plants": entry})
    monkeypatch.setattr(catalog, "load_rows", rows_of)
    monkeypatch.setattr(families, "FAMILIES", MappingProxyType({**families.FAMILIES, "plants": family}))
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, content in task_files(family, "made by a test"):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def evaluate(folder: Path, tasks: list[str], **xling: Any) -> dict[str, Any]:
    manager = TaskManager(include_path=str(folder), include_defaults=False, metadata={"xling": xling})
    found = simple_evaluate(model="dummy", tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0)
    assert found is not None
    return dict(found)


def test_files_are_a_base_a_leaf_each_and_a_group(added: Path) -> None:
    names = {"_plants_cloze", "crosslingual_plants.yaml", *(f"xling_plants_{code}.yaml" for code in ("en", "de", "sw"))}
    assert {path.name for path in added.iterdir()} == names
    manager = TaskManager(include_path=str(added), include_defaults=False)
    assert set(manager.all_subtasks) == {f"xling_plants_{code}" for code in ("en", "de", "sw")}
    assert manager.all_tags == ["xling_plants"]


def test_the_harness_evaluates_it_and_its_group_aggregates(added: Path) -> None:
    found = evaluate(added, ["crosslingual_plants"])
    results = found["results"]
    cells = {code: results[f"xling_plants_{code}"]["acc,none"] for code in ("en", "de", "sw")}
    # German has an item less, so that weights by size would show.
    assert [found["n-samples"][f"xling_plants_{code}"]["effective"] for code in cells] == [4, 3, 4]
    other = results["crosslingual_plants::other"]["acc,none"]
    assert other == pytest.approx((cells["de"] + cells["sw"]) / 2)
    assert results["crosslingual_plants"]["acc,none"] == pytest.approx(sum(cells.values()) / 3)
    sample = found["samples"]["xling_plants_sw"][0]
    assert sample["arguments"][0][0] == "sw plant 0?\nA:" and sample["arguments"][0][1] == " sw oak 0"
    assert family_named("plants").languages == ("en", "de", "sw")


def test_its_parameters_are_checked(added: Path) -> None:
    sample = evaluate(added, ["xling_plants_de"], loud=True)["samples"]["xling_plants_de"][0]
    assert sample["arguments"][0][0] == "DE PLANT 0?\nA:"
    with pytest.raises(Exception, match="unknown parameter 'lout'(.|\n)*did you mean loud"):
        evaluate(added, ["xling_plants_de"], lout=True)
