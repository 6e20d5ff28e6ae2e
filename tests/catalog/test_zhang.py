from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.papers import ZHANG as LANGUAGES
from lm_eval_xling.catalog.sources import published_sha256
from lm_eval_xling.catalog.zhang import LABELS
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256

FILES = {
    "sentiment": ("ap_emotion/emotion_{}500_test.json", {"text": "input"}),
    "nli": ("snli/snli_{}600_test.json", {"premise": "premise", "hypothesis": "hypothesis"}),
    "paraphrase": ("paws/paws_{}500_test.json", {"sentence_1": "sentence1", "sentence_2": "sentence2"}),
}


@pytest.mark.parametrize("dataset", FILES)
def test_gold_is_that_of_the_english_file(dataset: str, raw_data: Path, use_mirror: None) -> None:
    name, columns = FILES[dataset]
    english = json.loads((raw_data / "zhang_eval" / name.format("en")).read_text())
    for language in LANGUAGES:
        raw = json.loads((raw_data / "zhang_eval" / name.format(language)).read_text())
        rows = load_rows(dataset, language, "test")
        assert [LABELS[dataset][row.answer or 0] for row in rows] == [record["answer"] for record in english]
        assert [dict(row.fields) for row in rows] == [
            {field: record[column] for field, column in columns.items()} for record in raw
        ]


def test_swapped_and_foreign_label_words_do_not_matter(raw_data: Path, use_mirror: None) -> None:
    """Norwegian calls the neutral rows contradictions, Japanese and Bengali use words of their own."""
    folder = raw_data / "zhang_eval" / "snli"
    words = {
        language: [record["answer"] for record in json.loads((folder / f"snli_{language}600_test.json").read_text())]
        for language in ("no", "ja", "bn")
    }
    for language, word, label in (
        ("no", "motsigelse", "neutral"),
        ("no", "nøytral", "contradiction"),
        ("ja", "中性", "neutral"),
        ("bn", "ধারণ করে", "entailment"),
    ):
        rows = [
            row for row, found in zip(load_rows("nli", language, "test"), words[language], strict=True) if found == word
        ]
        assert len(rows) == 200
        assert {LABELS["nli"][row.answer or 0] for row in rows} == {label}
    assert Counter(row.answer for row in load_rows("nli", "no", "test")) == {0: 200, 1: 200, 2: 200}


def test_pinned_digests_are_those_of_the_real_files(shared_data: Path) -> None:
    published = published_sha256()["Shimao-Zhang/LLM-Multilingual-Learner"]
    known = {path: digest for path, digest in published.items() if path.startswith("data/")}
    assert len(known) == 60, "beside the scripts, whose prompts are another dataset"
    for path, digest in known.items():
        assert file_sha256(shared_data / "zhang_eval" / path.removeprefix("data/")) == digest
    for dataset in FILES:
        (source,) = DATASETS[dataset].sources
        for part in DATASETS[dataset].parts():
            assert set(source.paths(part)) <= set(known)  # type: ignore[attr-defined]


@pytest.fixture
def copied(raw_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for language in ("en", "no"):
        shutil.copy(raw_data / "zhang_eval" / "snli" / f"snli_{language}600_test.json", folder)
    return folder


def change(path: Path, edit: Callable[[list[dict[str, str]]], object]) -> None:
    records = json.loads(path.read_text())
    edit(records)
    path.write_text(json.dumps(records))


def test_a_row_out_of_order_is_found(copied: Path, imported: Callable[..., object]) -> None:
    change(copied / "snli_no600_test.json", lambda records: records.insert(0, records.pop(2)))
    with pytest.raises(UserError, match=r"stands for two English labels: a row is missing or out of order"):
        imported("nli", copied, "no", "test")


def test_a_missing_row_is_found(copied: Path, imported: Callable[..., object]) -> None:
    change(copied / "snli_no600_test.json", lambda records: records.pop(17))
    with pytest.raises(UserError, match=r"599 rows, but 600 in English(?s:.*)snli_no600_test.json"):
        imported("nli", copied, "no", "test")


def test_an_unknown_label_is_found(copied: Path, imported: Callable[..., object]) -> None:
    change(copied / "snli_en600_test.json", lambda records: records[3].update(answer="neutrall"))
    with pytest.raises(UserError, match=r"unknown label 'neutrall'(?s:.*)item 3"):
        imported("nli", copied, "en", "test")


def test_an_empty_field_is_found(copied: Path, imported: Callable[..., object]) -> None:
    change(copied / "snli_no600_test.json", lambda records: records[5].update(premise=" "))
    with pytest.raises(UserError, match=r"field 'premise' is empty(?s:.*)item 5"):
        imported("nli", copied, "no", "test")


def test_a_file_without_its_english_one_is_not_taken(copied: Path, imported: Callable[..., object]) -> None:
    (copied / "snli_en600_test.json").unlink()
    with pytest.raises(UserError, match=r"there are no files of dataset 'nli'(?s:.*)with the English one"):
        imported("nli", copied, "no", "test")
