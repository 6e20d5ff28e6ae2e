"""The classification families, through the harness."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.classification import HIGH_RESOURCE, LOW_RESOURCE
from lm_eval_xling.harness import requests
from lm_eval_xling.records import Document, Row
from tests.families.making import made

LANGUAGES = (*HIGH_RESOURCE, *LOW_RESOURCE)
FIELDS = {"sentiment": ("text",), "nli": ("premise", "hypothesis"), "paraphrase": ("sentence_1", "sentence_2")}
LABELS = {"sentiment": 2, "nli": 3, "paraphrase": 2}
FILES = {
    "sentiment": "ap_emotion/emotion_{}500_test.json",
    "nli": "snli/snli_{}600_test.json",
    "paraphrase": "paws/paws_{}500_test.json",
}


@pytest.fixture
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def published(folder: Path, family: str, language: str) -> list[dict[str, str]]:
    """The published file, read without the catalog."""
    path = folder / "zhang_eval" / FILES[family].format(language)
    rows: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def evaluated(family: str, language: str, **xling: Any) -> list[Document]:
    return list(made(family, language, **xling).evaluated)


@pytest.mark.usefixtures("mirrored")
def test_sentiment_is_the_published_prompt() -> None:
    (request,) = requests("xling_sentiment_de", rows=[0])
    reviews = [row.fields["text"] for row in catalog.load_rows("sentiment", "de", "test")]
    assert request.context == (
        f'{reviews[99]}\nEmotion: "positive"\n{reviews[20]}\nEmotion: "negative"\n{reviews[0]}\nEmotion: "'
    )
    assert request.continuations == ("positive", "negative")


def test_the_demonstrations_are_those_of_the_paper(real_mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(real_mirror))
    (request,) = requests("xling_sentiment_de", rows=[0])
    # Those of emotion_eval_2shot_enout.py.
    assert request.context.startswith(
        "Es fängt etwas langsam an, aber sobald die Witze über die Produktplatzierung beginnen, geht es los.\n"
        'Emotion: "positive"\n'
        "Ich habe dieses Buch mit großer Erwartung gelesen, es war durchweg sehr langweilig\n"
        'Emotion: "negative"\n'
    )


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize(("family", "shots"), [("sentiment", 2), ("nli", 6), ("paraphrase", 4)])
def test_demonstrations_are_balanced_fixed_and_never_scored(raw_data: Path, family: str, shots: int) -> None:
    english = published(raw_data, family, "en")
    shown: set[tuple[str, ...]] = set()
    for language in LANGUAGES:
        documents = made(family, language)
        ids = tuple(document.id for document in documents.demonstrations)
        shown.add(ids)
        # In the paper's label order, again and again.
        labels = [document.answer for document in documents.demonstrations]
        assert labels == [index % LABELS[family] for index in range(shots)]
        demonstrated = {document.fields[name] for document in documents.demonstrations for name in FIELDS[family]}
        assert not set(ids) & {document.id for document in documents.evaluated}
        if language == "en":
            texts = {document.fields[name] for document in documents.evaluated for name in FIELDS[family]}
            assert not demonstrated & texts
            # Rows that share a text with a demonstration are left out: for SNLI the other two of each premise.
            assert len(documents.evaluated) == len(english) - (18 if family == "nli" else shots)
        counts = Counter(document.answer for document in documents.evaluated)
        assert len(set(counts.values())) == 1
    assert len(shown) == 1


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("family", FIELDS)
@pytest.mark.parametrize("language", ["no", "ja", "bn", "en"])
def test_gold_is_that_of_the_english_row(raw_data: Path, family: str, language: str) -> None:
    english = published(raw_data, family, "en")
    here = published(raw_data, family, language)
    by_texts = {
        tuple(value for key, value in row.items() if key != "answer"): answer["answer"]
        for row, answer in zip(here, english, strict=True)
    }
    documents = evaluated(family, language)
    for document in documents:
        assert document.fields["label"] == by_texts[tuple(document.fields[name] for name in FIELDS[family])]


@pytest.mark.usefixtures("mirrored")
def test_the_swapped_and_misspelt_labels_of_snli_are_scored_right(raw_data: Path) -> None:
    english = [row["answer"] for row in published(raw_data, "nli", "en")]
    norwegian = [row["answer"] for row in published(raw_data, "nli", "no")]
    # The fault is in the data: what English calls neutral, the Norwegian file calls a contradiction.
    assert Counter(zip(english, norwegian, strict=True))["neutral", "motsigelse"] == 200
    for language, label, word in [
        ("no", "neutral", "nøytral"),
        ("no", "contradiction", "motsigelse"),
        ("ja", "neutral", "中立"),
        ("bn", "entailment", "অনুসিদ্ধান্ত"),
    ]:
        documents = [d for d in evaluated("nli", language, labels="native") if d.fields["label"] == label]
        assert len(documents) == 194
        assert {document.choices[document.answer or 0] for document in documents} == {word}


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_output_modes() -> None:
    def labels(task: str, mode: str) -> tuple[str, ...]:
        (request,) = requests(task, rows=[0], metadata={"xling": {"labels": mode}})
        # A demonstration shows the words that are scored.
        assert all(f'"{word}"\n' in request.context for word in request.continuations)
        return request.continuations

    assert labels("xling_sentiment_fr", "english") == ("positive", "negative")
    assert labels("xling_sentiment_fr", "native") == ("positif", "négatif")
    assert labels("xling_sentiment_fr", "agnostic") == ("ox", "horse")
    assert labels("xling_nli_sv", "native") == ("implikation", "neutral", "motsägelse")
    assert labels("xling_nli_sv", "agnostic") == ("ox", "horse", "sheep")
    assert labels("xling_paraphrase_it", "native") == ("uguale", "diverso")


@pytest.mark.usefixtures("mirrored")
def test_number_of_demonstrations() -> None:
    (none,) = requests("xling_nli_es", rows=[0], num_fewshot=0)
    assert none.context.count("Premisa: ") == 1
    (three,) = requests("xling_nli_es", rows=[0], num_fewshot=3)
    assert three.context.count("Premisa: ") == 4
    with pytest.raises(UserError, match="7 demonstrations were asked for, but there are 6(.|\n)*--num_fewshot 6"):
        requests("xling_nli_es", rows=[0], num_fewshot=7)


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("language", ["de", "sw", "ja"])
def test_drop_identical(raw_data: Path, language: str) -> None:
    rows = published(raw_data, "paraphrase", language)
    identical = sum(row["sentence1"] == row["sentence2"] for row in rows)
    assert identical > 0
    kept = evaluated("paraphrase", language, drop_identical=True)
    assert len(kept) == len(evaluated("paraphrase", language)) - identical
    assert all(document.fields["sentence_1"] != document.fields["sentence_2"] for document in kept)


@pytest.mark.usefixtures("mirrored")
@pytest.mark.parametrize("xling", [{}, {"switched": 50}])
def test_hypotheses_on_one_premise_are_one_cluster(xling: dict[str, int]) -> None:
    premises = {row.id: row.fields["premise"] for row in catalog.load_rows("nli", "en", "test")}
    shown = made("nli", "de", **xling).evaluated
    pairs = {(premises[document.id], document.cluster) for document in shown}
    assert len(pairs) == len({premise for premise, _ in pairs}) == len({cluster for _, cluster in pairs}) < len(shown)
    assert {document.cluster for document in made("sentiment", "de").evaluated} == {""}


def test_halves_are_disjoint() -> None:
    assert len(set(HIGH_RESOURCE) | set(LOW_RESOURCE)) == 20
    assert len(HIGH_RESOURCE) == len(LOW_RESOURCE) == 10


def broken(monkeypatch: pytest.MonkeyPatch, language: str, change: Any) -> None:
    """Serve rows that we wrote, with one list of them changed."""

    def rows(dataset: str, asked: str, split: str) -> list[Row]:
        ids = ["116", "324", "191", "414", "544", "343", "0", "1"]
        served = [
            Row(i, asked, {"premise": f"{asked} p {i}", "hypothesis": f"{asked} h {i}"}, answer=k % 3)
            for k, i in enumerate(ids)
        ]
        return change(served) if asked == language else served

    monkeypatch.setattr(catalog, "load_rows", rows)


def test_an_empty_field_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "de", lambda rows: [*rows[:-1], Row("1", "de", {"premise": " ", "hypothesis": "h"})])
    with pytest.raises(UserError, match="the field 'premise' is empty(.|\n)*nli in de, id 1"):
        evaluated("nli", "de")


def test_an_unknown_label_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(rows: list[Row]) -> list[Row]:
        return [*rows[:-1], Row("1", "en", {"premise": "p", "hypothesis": "h"}, answer=3)]

    broken(monkeypatch, "en", change)
    with pytest.raises(UserError, match="unknown label 3(.|\n)*id 1(.|\n)*entailment, neutral, contradiction"):
        evaluated("nli", "de")


def test_an_id_that_a_language_lacks_is_an_error_or_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken(monkeypatch, "de", lambda rows: rows[:-1])
    with pytest.raises(UserError, match=r"1 of 8 ids (.|\n)*'1' \(not in de\)(.|\n)*\"missing\": \"drop\""):
        evaluated("nli", "de")
    assert [document.id for document in evaluated("nli", "de", missing="drop")] == ["0"]
    assert "1 ids that a language lacks were dropped" in caplog.text


def test_a_demonstration_that_the_data_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "en", lambda rows: rows[1:])
    with pytest.raises(UserError, match="the demonstrations 116 are not among the rows"):
        evaluated("nli", "de", missing="drop")


def test_an_id_that_occurs_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "de", lambda rows: [*rows, rows[0]])
    with pytest.raises(UserError, match="id '116' occurs twice(.|\n)*nli, split test, rows in de"):
        evaluated("nli", "de")


@pytest.mark.slow
def test_groups_are_unweighted_means(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from lm_eval_xling.harness import tasks_folder

    monkeypatch.setenv("XLING_DATA", str(mirror))
    # Dropping identical pairs leaves a different number of rows in each language, so that weights would show.
    metadata = {"xling": {"drop_identical": True}}
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=metadata)
    run = simple_evaluate(model="dummy", tasks=["crosslingual_paraphrase"], bootstrap_iters=0, task_manager=manager)
    assert run is not None
    results = run["results"]

    def mean(languages: tuple[str, ...]) -> float:
        return sum(results[f"xling_paraphrase_{language}"]["acc,none"] for language in languages) / len(languages)

    assert len({entry["effective"] for name, entry in run["n-samples"].items() if name.startswith("xling_")}) > 5
    expected = {"crosslingual_paraphrase": LANGUAGES, "high_resource": HIGH_RESOURCE, "low_resource": LOW_RESOURCE}
    for name, languages in expected.items():
        (found,) = [key for key in results if key.endswith(name)]
        assert results[found]["acc,none"] == pytest.approx(mean(languages), abs=1e-12)
