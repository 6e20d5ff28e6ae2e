from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.catalog.pair_files import TranslatedQuestion, read_translated_questions
from lm_eval_xling.catalog.sources import GitHubFiles
from lm_eval_xling.errors import UserError
from lm_eval_xling.pairs import catalog_questions, pair_questions, published_questions
from lm_eval_xling.records import Row


def published(question: str, source: str, translation: str, target: str = "English") -> dict[str, str]:
    return {"input": f"{question}\nTranslate the input from {source} to {target}:\n", "answer": translation}


def write(path: Path, rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------------------------
# the published files
# ---------------------------------------------------------------------------------------------------------------


def test_all_published_files_are_parts() -> None:
    entry = DATASETS["question_pairs"]
    (source,) = entry.sources
    assert isinstance(source, GitHubFiles)
    paths = [path for part in entry.parts() for path in source.paths(part)]
    assert len(set(paths)) == len(paths) == len(entry.parts())
    assert Counter(path.split("/")[1] for path in paths) == {"ap_emotion": 24, "paws": 10, "snli": 12}


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Part], list[Row]]:
    folder = tmp_path / "repository" / "data"
    write(folder / "snli" / "snli_de10k_train_question.json", [published("Wo?", "German", "Where?")])
    write(folder / "paws" / "paws_it10k_train_question.json", [published("Dove?", "Italian", "Where?")])
    write(folder / "ap_emotion" / "emotion_en10k_question.json", [published("Where?", "English", "Dove?", "Italian")])
    write(
        folder / "ap_emotion" / "emotion_ja2zhit2zh10k_question.json",
        [published("どこ?", "Japanese", "哪里?", "Chinese"), published("Dove?", "Italian", "哪里?", "Chinese")],
    )
    write(folder / "snli" / "snli_xy10k_question.json", [published("?", "German", "?")])
    with writing(tmp_path / "mirror", DATASETS) as writer:
        import_dataset(DATASETS["question_pairs"], [tmp_path / "repository"], writer)
    monkeypatch.setenv("XLING_DATA", str(tmp_path / "mirror"))
    return lambda part: Mirror(tmp_path / "mirror").rows("question_pairs", part)


def test_rows_name_their_languages_where_the_part_does_not(pairs: Callable[[Part], list[Row]]) -> None:
    (german,) = pairs(Part("de", "train"))
    assert (german.fields["question"], german.target, german.extra) == ("Wo?", "Where?", {})
    (italian,) = pairs(Part("it", "paraphrase"))
    assert italian.extra == {"languages": ["it", "en"]}
    (english,) = pairs(Part("en", "sentiment_en"))
    assert (english.target, english.extra) == ("Dove?", {"languages": ["en", "it"]})
    mixed = pairs(Part("mul", "sentiment_ja2zhit2zh"))
    assert [row.extra["languages"] for row in mixed] == [["ja", "zh"], ["it", "zh"]]


def test_mixes_and_other_targets_train(pairs: object) -> None:
    questions = catalog_questions("question_pairs", "sentiment_ja2zhit2zh", ["ja", "it", "zh"])
    # One target in two sources has one id, so that no validation target is learnt from the other language.
    assert questions["ja"].keys() == questions["it"].keys() == questions["zh"].keys()
    assert [(pair.source_language, pair.target) for pair in pair_questions(questions, ["ja", "it"], "zh")] == [
        ("ja", "哪里?"),
        ("it", "哪里?"),
    ]
    questions = catalog_questions("question_pairs", "sentiment_en", ["en", "it"])
    assert pair_questions(questions, ["en"], "it")[0].prompt == "Where?\nTranslate the input from English to Italian:\n"


def test_a_file_of_another_language_than_its_name_says_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in" / "snli_de10k_train_question.json", [published("Où ?", "French", "Where?")])
    with (
        pytest.raises(UserError, match="is said to be in fr, the file's name says de"),
        writing(tmp_path / "mirror", DATASETS) as writer,
    ):
        import_dataset(DATASETS["question_pairs"], [tmp_path / "in"], writer)


# ---------------------------------------------------------------------------------------------------------------
# other trainers' formats
# ---------------------------------------------------------------------------------------------------------------

LINE = "Translate the input from German to English:"
USER, ASSISTANT = {"role": "user"}, {"role": "assistant"}
PAIR = TranslatedQuestion("Wo ist\nes?", "de", "Where is it?", "en")
ROWS: dict[str, dict[str, Any]] = {
    "published": {"input": f"Wo ist\nes?\n{LINE}\n", "answer": "Where is it?"},
    "alpaca": {"instruction": LINE, "input": "Wo ist\nes?", "output": "Where is it?"},
    "alpaca in one": {"instruction": f"Wo ist\nes?\n{LINE}", "output": "Where is it?"},
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "You translate."},
            {"from": "human", "value": f"{LINE} Wo ist\nes?"},
            {"from": "gpt", "value": "Where is it?"},
        ]
    },
    "messages": {
        "messages": [
            {"role": "system", "content": "You translate."},
            {**USER, "content": "Please translate this question from German into English.\nWo ist\nes?"},
            {**ASSISTANT, "content": "Where is it?"},
        ]
    },
    "messages in parts": {
        "messages": [
            {**USER, "content": [{"type": "text", "text": f"Wo ist\nes?\n\n{LINE}"}]},
            {**ASSISTANT, "content": [{"type": "text", "text": "Where is it?"}]},
        ]
    },
    "prompt": {"prompt": "translate from de to en\nWo ist\nes?", "completion": "Where is it?"},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("lines", [False, True], ids=["array", "lines"])
def test_a_translation_pair_is_read_in_every_format(tmp_path: Path, row: dict[str, Any], lines: bool) -> None:
    path = tmp_path / "pairs.jsonl"
    text = (json.dumps(row) + "\n") * 2 if lines else json.dumps([row, row])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_translated_questions(path) == [PAIR, PAIR]
    assert list(published_questions([path])) == ["de", "en"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [{**USER, "content": "Hi."}, {**ASSISTANT, "content": "Hello."}]}, "chat messages, whose prompt"),
        ({"messages": [{**USER, "content": "Hi."}]}, "chat messages with 1 turns, not a question and its answer"),
        ({"conversations": [{"from": "human", "value": "Hi."}] * 4}, "ShareGPT format with 4 turns"),
        ({"instruction": "Say hello.", "input": "", "output": "Hello."}, "Alpaca format, whose prompt names no"),
        ({"prompt": "Translate to English: Wo?", "completion": "Where?"}, "prompt and completion, whose prompt"),
        ({"input": "no instruction", "answer": "x"}, "published format, whose prompt names no"),
        ({"prompt": "Wo?", "chosen": "Where?", "rejected": "?"}, "its fields are prompt, chosen, rejected"),
        ({"text": "Wo?"}, "its fields are text"),
        ({"input": f"Wo?\n{LINE}\n", "answer": " "}, "an empty question"),
        ({"input": "Wo?\nTranslate the input from Blorp to English:\n", "answer": "x"}, "unknown language 'Blorp'"),
        ([], "no JSON object"),
    ],
)
def test_what_is_no_pair_is_named(tmp_path: Path, row: object, message: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS["published"]) + "\n\n" + json.dumps(row) + "\n")
    with pytest.raises(UserError, match=rf"(?s){message}.*pairs.jsonl, line 3"):
        read_translated_questions(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "the file is empty"), ("\n\n", "the file is empty"), ("[]", "the file is empty"), ("[{", "not a JSON array")],
)
def test_files_without_rows(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_translated_questions(tmp_path / "x.json")
