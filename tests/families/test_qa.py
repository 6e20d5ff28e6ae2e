"""XQuAD and Belebele, through the harness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.extracting import extraction_scores
from lm_eval_xling.harness import requests
from lm_eval_xling.metrics.answers import normalise
from lm_eval_xling.records import Condition, Document, Request, Row
from tests.families.making import made, said


@pytest.fixture(autouse=True)
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def show(task: str, row: int = 0, **xling: Any) -> Request:
    (request,) = requests(task, rows=[row], metadata={"xling": xling})
    return request


def test_context_and_question_in_languages_of_their_own() -> None:
    rows = {code: catalog.load_rows("xquad", code, "validation")[7] for code in ("en", "de", "zh")}
    german = show("xling_qa_xquad_de_en", row=7)
    assert german.context == (
        f"Text: {rows['de'].fields['context']}\nQuestion: {rows['en'].fields['question']}\nAntwort:"
    )
    # The answer is a part of the German context.
    assert german.document.fields["answers"] == rows["de"].extra["answers"]
    assert german.document.fields["answers"][0] in german.document.fields["context"]
    assert german.document.id == rows["en"].id
    assert german.document.condition.languages == {"context": "de", "question": "en", "answer": "de"}
    chinese = show("xling_qa_xquad_de_en", row=7, context_language="zh", question_language="de")
    assert chinese.context == (f"文章: {rows['zh'].fields['context']}\nFrage: {rows['de'].fields['question']}\n答案:")


@pytest.mark.parametrize(
    ("leaf", "dataset", "split", "xling"),
    [
        ("xquad_de_en", "xquad", "validation", {}),
        ("xquad_zh_zh", "xquad", "validation", {}),
        ("belebele_question_de", "belebele", "test", {}),
        ("belebele_context_fr", "belebele", "test", {"switched": 50}),
    ],
)
def test_questions_on_one_passage_are_one_cluster(
    leaf: str, dataset: str, split: str, xling: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever language the passage is shown in, and code-switched too."""
    load = catalog.load_rows

    def two_on_each(*part: str) -> list[Row]:
        rows = load(*part)
        contexts = [rows[place - place % 2].fields["context"] for place in range(len(rows))]
        return [replace(r, fields={**r.fields, "context": c}) for r, c in zip(rows, contexts, strict=True)]

    if dataset == "belebele":
        monkeypatch.setattr(catalog, "load_rows", two_on_each)
    passages = {row.id: row.fields["context"] for row in catalog.load_rows(dataset, "en", split)}
    documents = made("qa", leaf, **xling).evaluated
    pairs = {(passages[document.id], document.cluster) for document in documents}
    assert len(pairs) == len(set(passages.values())) == len({cluster for _, cluster in pairs}) < len(documents)
    assert "" not in {cluster for _, cluster in pairs}


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", "es", "ro", "ru", "tr", "vi", "zh"])
def test_the_gold_answers_of_every_language_score_full_marks(language: str) -> None:
    count = len(catalog.load_rows("xquad", language, "validation"))
    for request in requests(f"xling_qa_xquad_{language}_{language}", rows=range(0, count, 17 if count > 100 else 1)):
        answer = request.document.fields["answers"][0]
        metrics = extraction_scores(request.document, said(f" {answer}."))
        assert (metrics["exact_match"], metrics["f1"]) == (1.0, 1.0), answer
        # A whole sentence around the answer has all of its words, and others.
        longer = extraction_scores(request.document, said(f"{answer} {request.document.fields['question']}"))
        assert longer["exact_match"] == 0.0 and 0.0 < longer["f1"] < 1.0
        assert normalise(answer, language)


def test_articles_are_those_of_the_context() -> None:
    def exact_match(language: str) -> float:
        condition = Condition("", "generate", {"context": language, "question": "en", "answer": language})
        document = Document("0", "qa", condition, "Who?", fields={"answers": ["die Denver Broncos"]})
        return extraction_scores(document, said("Denver Broncos"))["exact_match"]

    assert exact_match("de") == 1.0
    assert exact_match("en") == 0.0


def test_belebele_shows_each_part_in_its_language() -> None:
    rows = {code: catalog.load_rows("belebele", code, "test")[3] for code in ("en", "de", "fr")}
    full = show("xling_qa_belebele_full_de", row=3)
    options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", rows["de"].options, strict=True))
    assert full.context == (
        f"Text: {rows['de'].fields['context']}\nFrage: {rows['de'].fields['question']}\n{options}\nAntwort:"
    )
    assert full.continuations == (" A", " B", " C", " D")
    assert full.document.answer == rows["en"].answer
    mixed = show("xling_qa_belebele_context_de", row=3, options_language="French", option_ids="1-4")
    assert mixed.document.condition.languages == {
        "context": "de", "question": "en", "answer": "fr", "option_0": "fr", "option_1": "fr", "option_2": "fr",
        "option_3": "fr",
    }  # fmt: skip
    assert mixed.context.startswith(f"Text: {rows['de'].fields['context']}\nQuestion: {rows['en'].fields['question']}")
    assert f"\n4. {rows['fr'].options[3]}\nAnswer:" in mixed.context
    apart = show("xling_qa_belebele_question_options_fr", row=3)
    assert apart.context.startswith(
        f"Passage: {rows['en'].fields['context']}\nQuestion: {rows['fr'].fields['question']}"
    )


def test_bad_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(dataset: str, language: str, split: str) -> list[Row]:
        return [Row("x", language, {"context": "", "question": "Q?"}, target="A", extra={"answers": ["A"]})]

    monkeypatch.setattr(catalog, "load_rows", rows)
    with pytest.raises(UserError, match="the field 'context' is empty(.|\n)*xquad in ru, id x"):
        made("qa", "xquad_ru_en")
