from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import lm_eval.tasks as lm_eval_tasks
import pytest
import yaml

from lm_eval_xling.catalog import load_rows
from lm_eval_xling.catalog.mmlu import CATEGORIES
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row


@pytest.fixture(autouse=True)
def _mirror(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def test_rows_are_those_of_the_aligned_files(raw_data: Path) -> None:
    for language in ("en", "de", "es", "fr", "it"):
        raw = [json.loads(line) for line in open(raw_data / "mmlu_parallel" / f"test_{language}.jsonl")]
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
    assert {row.extra["subject"] for row in rows} <= set(CATEGORIES)


def test_english_demonstrations_are_completed_from_the_csv_folders(raw_data: Path) -> None:
    rows = load_rows("mmlu", "en", "dev")
    subjects = {path.name.removesuffix("_dev.csv") for path in (raw_data / "mmlu_en" / "dev").glob("*.csv")}
    assert Counter(row.extra["subject"] for row in rows) == dict.fromkeys(subjects, 5)
    with open(raw_data / "mmlu_en" / "dev" / "high_school_us_history_dev.csv", newline="") as stream:
        expected = [cells[0] for cells in csv.reader(stream)]
    history = [row for row in rows if row.extra["subject"] == "high_school_us_history"]
    assert [row.fields["question"] for row in history] == expected
    assert [row.id for row in history] == [f"high_school_us_history/dev/{index}" for index in range(5)]
    # Nobody translated the rows that were added.
    assert {row.id for row in load_rows("mmlu", "fr", "dev")} < {row.id for row in rows}


def test_scored_rows_are_not_completed(raw_data: Path) -> None:
    aligned = len((raw_data / "mmlu_parallel" / "test_en.jsonl").read_text().splitlines())
    assert len(load_rows("mmlu", "en", "test")) == aligned < _count(raw_data / "mmlu_en" / "test")


def _count(folder: Path) -> int:
    """Rows of all CSV files of a folder."""
    return sum(1 for path in folder.glob("*.csv") for _ in csv.reader(path.open(newline="")))


def test_the_csv_folders_alone_are_the_whole_english_mmlu(raw_data: Path, imported: Callable[..., list[Row]]) -> None:
    rows = imported("mmlu", raw_data / "mmlu_en", "en", "test")
    assert len(rows) == _count(raw_data / "mmlu_en" / "test")
    aligned = {row.id: row for row in load_rows("mmlu", "en", "test")}
    by_id = {row.id: row for row in rows}
    # The aligned file was made from these folders by somebody else's code.
    assert {identifier: by_id[identifier] for identifier in aligned} == aligned


def test_translated_csv_folders_of_the_paper_are_read(tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    for folder, text in (("test", "Heart?"), ("test_full_de", "Herz?"), ("test_mixup", "Cœur?")):
        path = tmp_path / "data" / folder / "anatomy_test.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"{text},a,b,c,d,B\n")
    for dataset, language, text in (("mmlu", "en", "Heart?"), ("mmlu", "de", "Herz?"), ("mmlu_mixup", "mul", "Cœur?")):
        (row,) = imported(dataset, tmp_path, language, "test")
        assert (row.id, row.fields["question"], row.answer) == ("anatomy/test/0", text, 1)


HEADERS = ["question,A,B,C,D,answer", "Question,a,b,c,d,Answer", "0,1,2,3,4,5"]


@pytest.mark.parametrize("header", [None, *HEADERS])
def test_mixup_files_may_have_a_header(header: str | None, tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    path = tmp_path / "mixup-lang-mmlu" / "data" / "test" / "virology_test.csv"
    path.parent.mkdir(parents=True)
    rows = 'Was?,one,"due, tre",trois,cuatro,C\n"a\nb",1,2,3,4,A\n'
    path.write_text(rows if header is None else f"{header}\n{rows}")
    found = imported("mmlu_mixup", tmp_path / "mixup-lang-mmlu", "mul", "test")
    assert [(row.id, row.options, row.answer) for row in found] == [
        ("virology/test/0", ("one", "due, tre", "trois", "cuatro"), 2),
        ("virology/test/1", ("1", "2", "3", "4"), 0),
    ]
    assert {row.language for row in found} == {"mul"} and found[1].fields["question"] == "a\nb"


def test_mixup_rows_are_never_taken_for_english_ones(tmp_path: Path, imported: Callable[..., list[Row]]) -> None:
    path = tmp_path / "mixup-lang-mmlu" / "data" / "test" / "virology_test.csv"
    path.parent.mkdir(parents=True)
    path.write_text("Was?,one,due,trois,cuatro,C\n")
    with pytest.raises(UserError, match="there are no files of dataset 'mmlu'"):
        imported("mmlu", path.parents[2], "en", "test")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("Q?,a,b,c,d,E", "field 'answer' holds 'E', not a letter from A to D"),
        ("Q?,a,b,,d,A", "field 'C' is empty"),
        (",a,b,c,d,A", "field 'question' is empty"),
        ("Q?,a,b,c,A", "the row has 5 cells, expected 6"),
        ("Q?,a,b,c,d,e,A", "the row has 7 cells, expected 6"),
    ],
)
def test_a_bad_row_is_named(cells: str, message: str, tmp_path: Path, imported: Callable[..., object]) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "virology_test.csv").write_text(f"Q?,a,b,c,d,A\n{cells}\n")
    with pytest.raises(UserError, match=f"{message}(?s:.*)virology_test.csv:2"):
        imported("mmlu", tmp_path, "en", "test")


def test_an_unknown_subject_is_named(tmp_path: Path, imported: Callable[..., object]) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "virolgy_test.csv").write_text("Q?,a,b,c,d,A\n")
    with pytest.raises(UserError, match="unknown MMLU subject 'virolgy'(?s:.*)did you mean virology"):
        imported("mmlu", tmp_path, "en", "test")


def test_an_id_that_occurs_twice_is_named(raw_data: Path, tmp_path: Path, imported: Callable[..., object]) -> None:
    line = (raw_data / "mmlu_parallel" / "test_de.jsonl").read_text().split("\n")[0]
    (tmp_path / "test_de.jsonl").write_text(f"{line}\n{line}\n")
    with pytest.raises(UserError, match=f"the id '{json.loads(line)['id']}' occurs twice(?s:.*)mmlu de test"):
        imported("mmlu", tmp_path, "de", "test")


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "not JSON: "), ("[]", "the record is not a JSON object"), ('{"id": "x"}', "there is no field 'A'")],
)
def test_a_line_that_is_no_row_is_named(
    line: str, message: str, tmp_path: Path, imported: Callable[..., object]
) -> None:
    (tmp_path / "test_de.jsonl").write_text(f"{line}\n")
    with pytest.raises(UserError, match=f"{message}(?s:.*)test_de.jsonl:1"):
        imported("mmlu", tmp_path, "de", "test")


def test_the_quiz_is_the_file(raw_data: Path) -> None:
    raw = [json.loads(line) for line in open(raw_data / "harry_potter_ende" / "quiz_de.jsonl")]
    rows = load_rows("hp", "de", "test")
    assert [(row.id, row.fields["question"], row.options) for row in rows] == [
        (str(r["id"]), r["question"], (r["A"], r["B"], r["C"], r["D"])) for r in raw
    ]
    assert ["ABCD"[row.answer or 0] for row in rows] == [r["answer"] for r in raw]
