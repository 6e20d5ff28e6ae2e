"""XQuAD and Belebele."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.tasks as lm_eval_tasks
import pytest

from lm_eval_xling.catalog import DATASETS, load_rows
from lm_eval_xling.catalog.sources import published_sha256
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256
from lm_eval_xling.languages import LANGUAGES


def test_xquad_rows_are_the_questions(raw_data: Path, use_mirror: None) -> None:
    for language in ("en", "de", "zh", "vi"):
        data = json.loads((raw_data / "xquad" / f"xquad.{language}.json").read_text())["data"]
        raw = [
            (question["id"], question["question"], paragraph["context"], [a["text"] for a in question["answers"]])
            for article in data
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
        rows = load_rows("xquad", language, "validation")
        found = [(r.id, r.fields["question"], r.fields["context"], r.extra["answers"]) for r in rows]
        assert found == raw
        assert all(row.target == row.extra["answers"][0] for row in rows)
        for row in rows:
            for answer, start in zip(row.extra["answers"], row.extra["answer_start"], strict=True):
                assert row.fields["context"][start:].startswith(answer)


def test_pinned_digests_are_those_of_the_real_files(shared_data: Path) -> None:
    known = published_sha256()["google-deepmind/xquad"]
    assert known == {path.name: file_sha256(path) for path in (shared_data / "xquad").glob("*.json")}
    assert len(known) == 8


def squad(answers: list[dict[str, Any]]) -> str:
    question = {"id": "q1", "question": "Who?", "answers": answers}
    return json.dumps(
        {"data": [{"title": "A", "paragraphs": [{"context": "Ada wrote it in 1843.", "qas": [question]}]}]}
    )


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([{"text": "Ada", "answer_start": 1}], "the answer 'Ada' is not at character 1 of its context"),
        ([{"text": "Bob", "answer_start": 0}], "the answer 'Bob' is not at character 0 of its context"),
        ([{"text": "", "answer_start": 0}], "field 'text' is empty"),
        ([], "field 'text' holds \\[\\], not a list of texts"),
        ([{"text": "Ada"}], "there is no field 'answer_start'"),
    ],
)
def test_an_answer_that_is_not_in_its_context_is_found(
    answers: list[dict[str, Any]], message: str, tmp_path: Path, imported: Callable[..., Any]
) -> None:
    (tmp_path / "xquad.en.json").write_text(squad(answers))
    with pytest.raises(UserError, match=rf"{message}(?s:.*)xquad.en.json"):
        imported("xquad", tmp_path, "en", "validation")


def test_belebele_rows_are_the_lines(raw_data: Path, use_mirror: None) -> None:
    for language in ("en", "de", "es", "fr", "it"):
        raw = [json.loads(line) for line in open(raw_data / "belebele" / f"belebele_{language}.jsonl")]
        rows = load_rows("belebele", language, "test")
        assert [row.id for row in rows] == [r["id"] for r in raw]
        assert [row.fields["context"] for row in rows] == [r["passage"] for r in raw]
        assert [row.options["ABCD".index(r["answer"])] for row, r in zip(rows, raw, strict=True)] == [
            row.options[row.answer or 0] for row in rows
        ]


def test_the_hub_has_belebele_in_every_language_of_the_table() -> None:
    """The harness's tasks name the hub's configurations."""
    folder = Path(lm_eval_tasks.__file__).parent / "belebele"
    configs = {path.stem.removeprefix("belebele_") for path in folder.glob("belebele_*.yaml")}
    assert {LANGUAGES[language].flores for language in DATASETS["belebele"].languages} <= configs
