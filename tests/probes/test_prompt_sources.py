from __future__ import annotations

import json
from pathlib import Path

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.catalog import DATASETS, Dataset, load_rows
from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import requests
from lm_eval_xling.probes.lexicons import read_lexicons, words_by_language
from lm_eval_xling.probes.prompt_sources import from_files, from_tasks, parallel_sentences
from lm_eval_xling.records import Row


@pytest.fixture
def data(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


@pytest.mark.slow
@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("mode", ["english", "native"])
def test_task_prompts_are_the_harness_own(mode: str) -> None:
    metadata = {"xling": {"labels": mode}}
    found = from_tasks(["xling_sentiment_zh", "xling_nli_sw"], limit=5, metadata=metadata, labels=True)
    for task, part in (("xling_sentiment_zh", found[:5]), ("xling_nli_sw", found[5:])):
        for prompt, request in zip(part, requests(task, limit=5, metadata=metadata), strict=True):
            assert prompt.text == request.context and prompt.text.endswith('"')
            assert prompt.answer is not None
            # The words of the scored language are what the harness scores, in its order.
            words = prompt.labels["en" if mode == "english" else prompt.language]
            assert words == tuple(continuation.strip(' "') for continuation in request.continuations)
    assert found[0].labels["zh"] == ("积极", "消极") and found[0].labels["en"] == ("positive", "negative")
    assert {prompt.language for prompt in found} == {"zh", "sw"}


@pytest.mark.usefixtures("data")
def test_tasks_without_label_words_serve_other_probes() -> None:
    with pytest.raises(UserError, match="no label words"):
        from_tasks(["xling_sentiment_de"], limit=1, metadata={"xling": {"labels": "agnostic"}}, labels=True)
    (prompt,) = from_tasks(["xling_atlas_fr_de"], limit=1, labels=False)
    assert prompt.language == "fr" and prompt.labels == {}


@pytest.mark.parametrize("name", ["xling_atlas", "crosslingual_atlas"])
def test_a_tag_or_group_is_answered_with_leaves(name: str) -> None:
    with pytest.raises(UserError, match=r"tag or group of tasks(.|\n)*name leaves, such as xling_atlas_"):
        from_tasks([name], limit=3)


@pytest.mark.usefixtures("data")
def test_a_dataset_of_the_catalog_is_parallel() -> None:
    found = parallel_sentences("flores", limit=3)
    assert [prompt.language for prompt in found] == [code for code in ("en", "fr", "de", "es", "it") for _ in range(3)]
    for start, language in enumerate(("en", "fr", "de", "es", "it")):
        sentences = [row.fields["sentence"] for row in load_rows("flores", language, "devtest")[:3]]
        assert [prompt.text for prompt in found[3 * start : 3 * start + 3]] == sentences


def rows_of(dataset: Dataset, language: str) -> list[Row]:
    """Rows in our own words; the second is missing in the last language."""
    ids = ["1", "3", "4"] if language == dataset.languages[-1] else ["1", "2", "3", "4"]
    return [Row(id, language, {str(dataset.text_field): f"{id} in {language}"}) for id in ids]


def test_every_dataset_whose_rows_have_one_main_text_is_parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_rows(name: str, language: str, split: str) -> list[Row]:
        asked.append((name, split))
        return rows_of(DATASETS[name], language)

    monkeypatch.setattr(catalog, "load_rows", load_rows)
    works = {entry.name for entry in DATASETS.values() if entry.text_field and len(entry.languages) > 1}
    assert {"mmlu", "hp", "sentiment", "tofu", "mgsm", "msvamp", "flores"} <= works
    for name in works:
        found = parallel_sentences(name, limit=2)
        languages = DATASETS[name].languages
        assert [(p.language, p.id) for p in found] == [(code, id) for code in languages for id in ("1", "3")]
        assert found[0].text == f"1 in {languages[0]}"
    assert set(asked) == {(name, DATASETS[name].splits[0]) for name in works}
    for name in set(DATASETS) - works:
        with pytest.raises(UserError, match="no one main text|in one language") as error:
            parallel_sentences(name)
        assert error.value.where == name
        assert set(str(error.value.fix).partition("one of: ")[2].split(", ")) == works


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", ["sentiment", "mgsm", "msvamp"])
def test_the_field_of_the_main_text_is_one_that_the_rows_have(name: str) -> None:
    found = parallel_sentences(name, limit=1)
    assert {prompt.language for prompt in found} == set(DATASETS[name].languages) and all(p.text for p in found)


def test_text_files_are_lines(tmp_path: Path) -> None:
    (tmp_path / "deu_Latn.txt").write_text("eins\n\nzwei\u2028halb\ndrei", encoding="utf-8")
    (tmp_path / "x=y.txt").write_text("un\n", encoding="utf-8")
    found = from_files([str(tmp_path / "deu_Latn.txt"), f"fr={tmp_path / 'x=y.txt'}"], limit=2)
    assert [(p.id, p.language, p.text) for p in found] == [
        ("0", "de", "eins"),
        ("2", "de", "zwei\u2028halb"),
        ("0", "fr", "un"),
    ]


def test_json_lines_carry_labels(tmp_path: Path) -> None:
    row = {"id": 7, "language": "German", "text": "t", "labels": {"eng": ["a"], "de": ["b"]}, "answer": 0}
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (found,) = from_files([str(path)])
    assert (found.id, found.language, found.labels, found.answer) == ("7", "de", {"en": ("a",), "de": ("b",)}, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"x", "name says no language"),
        ("de.txt", b"\xff\xfe", "is not UTF-8"),
        ("de.txt", b"\n\n", "there are no texts"),
        ("a.jsonl", b'{"text": "x"}', "no language"),
        ("a.jsonl", b"[1]", "line is no JSON object"),
        ("a.jsonl", b'{"language": "de"}', "line is no prompt"),
        ("a.jsonl", b'{"text": "x", "language": "blorp"}', "blorp"),
        ("a.jsonl", b'{"id": 1, "text": "x", "language": "de"}\n' * 2, "'1' occurs twice in German"),
    ],
)
def test_bad_files_are_errors(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        from_files([str(tmp_path / name)])


def test_parallel_files_lose_pairs_with_an_empty_side(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("a\n\nc\nd\n")
    (tmp_path / "deu.dev").write_text("A\nB\n\nD\n")
    (tmp_path / "README.md").write_text("no language")
    assert [(p.language, p.id, p.text) for p in parallel_sentences(str(tmp_path))] == [
        ("de", "0", "A"),
        ("de", "3", "D"),
        ("en", "0", "a"),
        ("en", "3", "d"),
    ]
    (tmp_path / "deu.dev").write_text("A\n")
    with pytest.raises(UserError, match="not parallel"):
        parallel_sentences(str(tmp_path))
    with pytest.raises(UserError, match="neither a folder nor a dataset"):
        parallel_sentences(str(tmp_path / "none"))


def test_lexicons_skip_equal_pairs(tmp_path: Path) -> None:
    (tmp_path / "en-de.5000.tsv").write_text("the\tdie\nthe\tder\nParis\tparis\nto be\tsein\n")
    (tmp_path / "eng-fra.txt").write_text("the le\n")
    found = read_lexicons(tmp_path)
    assert found == {("en", "de"): {"the": ("die", "der"), "to be": ("sein",)}, ("en", "fr"): {"the": ("le",)}}
    assert words_by_language(found) == {"en": {"the", "to be"}, "de": {"die", "der", "sein"}, "fr": {"le"}}
    (tmp_path / "en-it.txt").write_text("alone\n")
    with pytest.raises(UserError, match="has 1 fields, a word pair has 2"):
        read_lexicons(tmp_path)
    with pytest.raises(UserError, match="no lexicon here"):
        read_lexicons(tmp_path / "none")
