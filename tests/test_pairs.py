from __future__ import annotations

import json
from pathlib import Path

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import requests
from lm_eval_xling.leaf_dataset import leaf_dataset
from lm_eval_xling.literals import word
from lm_eval_xling.pairs import QUESTIONS, catalog_questions, pair_questions, published_questions, split_pairs
from lm_eval_xling.records import Row
from tests.families.making import made


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def published(source: str, language: str, target: str) -> dict[str, str]:
    return {"input": f"{source}\nTranslate the input from {language} to English:\n", "answer": target}


@pytest.fixture
def files(raw_data: Path) -> list[Path]:
    folder = raw_data / "zhang_question_translation"
    return [folder / f"snli_{code}_train_question_first2000.json" for code in ("de", "zh", "sw")]


def test_published_files_come_back_byte_for_byte(files: list[Path]) -> None:
    questions = published_questions(files)
    assert set(questions) == {"de", "zh", "sw", "en"}
    for path, code in zip(files, ("de", "zh", "sw"), strict=True):
        pairs = pair_questions(questions, [code], "en")
        rows = json.loads(path.read_text(encoding="utf-8"))
        assert [(pair.prompt, pair.target) for pair in pairs] == [(row["input"], row["answer"]) for row in rows]


def test_any_language_can_be_the_target(files: list[Path]) -> None:
    pairs = pair_questions(published_questions(files), ["zh"], "German", limit=3)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in files[:2]]
    for pair, german, chinese in zip(pairs, *rows, strict=False):
        assert german["input"].startswith(pair.target + "\n")
        question = chinese["input"].removesuffix("Translate the input from Chinese to English:\n")
        assert pair.prompt == question + "Translate the input from Chinese to German:\n"


def test_files_are_joined_on_the_target_not_on_the_row_number(tmp_path: Path) -> None:
    first = write(tmp_path / "de.json", [published("eins", "German", "one"), published("zwei", "German", "two")])
    second = write(tmp_path / "fr.json", [published("deux", "French", "two"), published("un", "French", "one")])
    pairs = pair_questions(published_questions([first, second]), ["fr"], "de")
    assert {(pair.prompt.split("\n")[0], pair.target) for pair in pairs} == {("un", "eins"), ("deux", "zwei")}


def test_no_validation_target_is_learnt_from_another_language(files: list[Path]) -> None:
    pairs = pair_questions(published_questions(files), ["de", "zh"], "en")
    train, validation = split_pairs(pairs, 0.05, seed=42)
    assert {pair.id for pair in train}.isdisjoint(pair.id for pair in validation)
    assert len(train) + len(validation) == len(pairs)
    assert len(validation) / len(pairs) == pytest.approx(0.05, abs=0.02)
    assert [p.id for p in split_pairs(pairs[::-1], 0.05, seed=42)[1]] == [p.id for p in validation][::-1]
    assert {p.id for p in split_pairs(pairs, 0.05, seed=1)[1]} != {p.id for p in validation}


@pytest.mark.parametrize(
    ("sources", "target", "message"),
    [
        ([], "en", "no source language"),
        (["en"], "en", "both a source language and the target"),
        (["fr"], "en", "no question is there in both French and English"),
        (["de", "de"], "en", "occurs twice"),
        (["Germn"], "en", "unknown language"),
    ],
)
def test_bad_language_choices(tmp_path: Path, sources: list[str], target: str, message: str) -> None:
    questions = published_questions([write(tmp_path / "a.json", [published("eins", "German", "one")])])
    with pytest.raises(UserError, match=message):
        pair_questions(questions, sources, target)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "file is empty"),
        ("[{", "not a JSON array"),
        ('[{"input": "no instruction", "answer": "x"}]', "not a row"),
        ('[{"answer": "x"}]', "not a row"),
        (json.dumps([published(" ", "German", "one")]), "empty question"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        published_questions([path])
    assert "bad.json" in str(caught.value)


def test_questions_end_where_the_answer_would_follow() -> None:
    row = Row("1", "de", {"premise": "P.", "hypothesis": "H.", "sentence_1": "S.", "sentence_2": "T.", "text": "X."})
    assert QUESTIONS["nli"](row) == 'Prämisse: P.\nHypothese: H.\nAntwort: "'
    assert QUESTIONS["paraphrase"](row) == 'Satz 1: S.\nSatz 2: T.\nAntwort: "'
    assert QUESTIONS["sentiment"](row) == f'X.\n{word("de", "fields.emotion")}: "'


@pytest.mark.parametrize("family", ["sentiment", "nli", "paraphrase"])
def test_questions_are_the_tasks_own_prompts(
    full_mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """What the harness scores after training is what was trained on, to the letter."""
    for name, value in full_mirror.items():
        monkeypatch.setenv(name, value)
    for language in ("en", "zh", "th"):
        documents = made(family, language).evaluated
        questions = catalog_questions(family, "test", [language])[language]
        shown = {document.id: f"{document.prompt}\n{document.cue}" for document in documents}
        assert shown.items() <= questions.items()


def test_the_catalogs_pairs_are_the_published_files(
    full_mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch, files: list[Path]
) -> None:
    for name, value in full_mirror.items():
        monkeypatch.setenv(name, value)
    ours = catalog_questions("question_pairs", "train", ["de", "zh", "en"])
    theirs = published_questions(files[:2])
    for pair in zip(pair_questions(ours, ["de"], "zh"), pair_questions(theirs, ["de"], "zh"), strict=True):
        assert pair[0].prompt == pair[1].prompt and pair[0].target == pair[1].target
    with pytest.raises(UserError, match="did you mean question_pairs"):
        catalog_questions("question_pair", "train", ["de"])


@pytest.mark.parametrize("dataset", ["mgsm", "msvamp"])
def test_spaces_around_a_problem_are_trained_on_no_more_than_they_are_scored(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows of MSVAMP begin with a space."""
    question = " Lena hat 6 Schachteln. Wie viele hat sie? "

    def rows(dataset: str, language: str, split: str) -> list[Row]:
        return [Row("0", language, {"question": question}, target="6")]

    monkeypatch.setattr(catalog, "load_rows", rows)
    leaf_dataset.cache_clear()
    (request,) = requests(f"xling_math_{dataset}_direct_de", num_fewshot=0)
    leaf_dataset.cache_clear()
    assert request.context == "Frage: Lena hat 6 Schachteln. Wie viele hat sie?\nAntwort:"
    assert catalog_questions(dataset, "test", ["de"]) == {"de": {"0": request.context}}
