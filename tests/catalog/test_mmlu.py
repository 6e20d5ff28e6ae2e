from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import lm_eval.tasks as lm_eval_tasks
import pytest
import yaml

from lm_eval_xling.catalog import load_rows
from lm_eval_xling.catalog.mmlu import CATEGORIES


@pytest.fixture(autouse=True)
def _mirror(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def test_rows_are_those_of_the_aligned_files(shared_data: Path) -> None:
    for language in ("en", "de", "es", "fr", "it"):
        raw = [json.loads(line) for line in open(shared_data / "mmlu_parallel" / f"test_{language}.jsonl")]
        rows = load_rows("mmlu", language, "test")
        assert [row.id for row in rows] == [r["id"] for r in raw]
        assert [row.fields["question"] for row in rows] == [r["question"] for r in raw]
        assert [row.options for row in rows] == [(r["A"], r["B"], r["C"], r["D"]) for r in raw]
        assert ["ABCD"[row.answer or 0] for row in rows] == [r["answer"] for r in raw]
        assert {row.language for row in rows} == {language}


def test_categories_are_those_of_the_harness() -> None:
    folder = Path(lm_eval_tasks.__file__).parent / "mmlu" / "default"
    tags = {path: yaml.safe_load(path.read_text()) for path in folder.glob("mmlu_*.yaml")}
    expected = {
        path.stem.removeprefix("mmlu_"): config["tag"].removeprefix("mmlu_").removesuffix("_tasks").replace("_", " ")
        for path, config in tags.items()
    }
    assert len(expected) == 57
    assert {subject: category.lower() for subject, category in CATEGORIES.items()} == expected
    rows = load_rows("mmlu", "en", "test")
    assert all(row.extra["category"] == CATEGORIES[row.id.split("/")[0]] for row in rows)
    assert len({row.extra["subject"] for row in rows}) == 57


def test_english_demonstrations_are_completed_from_the_csv_folders(shared_data: Path) -> None:
    rows = load_rows("mmlu", "en", "dev")
    assert Counter(Counter(row.extra["subject"] for row in rows).values()) == {5: 57}
    with open(shared_data / "mmlu_en" / "dev" / "high_school_us_history_dev.csv", newline="") as stream:
        expected = [cells[0] for cells in csv.reader(stream)]
    history = [row for row in rows if row.extra["subject"] == "high_school_us_history"]
    assert [row.fields["question"] for row in history] == expected
    assert [row.id for row in history] == [f"high_school_us_history/dev/{index}" for index in range(5)]
    # Nobody translated the rows that were added.
    assert len(load_rows("mmlu", "fr", "dev")) == 260
    assert {row.id for row in load_rows("mmlu", "fr", "dev")} < {row.id for row in rows}


def test_scored_rows_are_not_completed() -> None:
    assert len(load_rows("mmlu", "en", "test")) == 736
