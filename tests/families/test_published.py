"""``preset: paper`` sends, byte for byte, what the papers' released scripts make of the same rows.

``tests/fixtures/published/outputs.json`` is their output on rows that we wrote (``tests/generators/published.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import mmlu
from lm_eval_xling.families.mmlu import MmluParameters
from lm_eval_xling.harness import requests
from lm_eval_xling.records import ComposedItem, Request, Row

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "published"
ROWS = json.loads((FOLDER / "rows.json").read_text(encoding="utf-8"))
OUTPUTS = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))


def asked(task: str, *, shots: int | None = None, chat: Any = None, **xling: Any) -> list[Request]:
    metadata = {"xling": {"preset": "paper", **xling}}
    return requests(task, num_fewshot=shots, metadata=metadata, chat_template=chat)


def contexts(task: str, shots: int | None = None, **xling: Any) -> list[str]:
    return [request.context for request in asked(task, shots=shots, **xling)]


def mmlu_rows(dataset: str, language: str, split: str) -> list[Row]:
    subject = ROWS["mmlu"]["subject"]
    return [
        Row(f"{subject}/{split}/{index}", language, {"question": question}, tuple(options), "ABCD".index(letter), None,
            {"subject": subject, "category": "social sciences"})
        for index, (question, *options, letter) in enumerate(ROWS["mmlu"][split][language])
    ]  # fmt: skip


@pytest.fixture
def mmlu_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", mmlu_rows)


LEAVES = {"en": "xling_mmlu_en", "de": "xling_mmlu_full_de", "mul": "xling_mmlu_mixup_paper"}


@pytest.mark.usefixtures("mmlu_written")
@pytest.mark.parametrize("language", LEAVES)
def test_mmlu(language: str) -> None:
    task, expected = LEAVES[language], OUTPUTS["mmlu"]
    sentences = {-1: "none", 0: "question_and_options", 1: "any_language"}
    for number, name in sentences.items():
        prompts = [prompt for prompt, _ in expected[f"{language} 0-shot {number}"]]
        assert contexts(task, 0, awareness=name) == prompts
    assert contexts(task) == [prompt for prompt, _ in expected[f"{language} 5-shot"]]
    assert contexts(task, demos="placement") == [prompt for prompt, _ in expected[f"{language} 5-shot same"]]


@pytest.mark.usefixtures("mmlu_written")
def test_mmlu_identifiers_and_their_gold_answers() -> None:
    found = asked("xling_mmlu_full_de", shots=2, option_ids="1-4")
    assert {request.continuations for request in found} == {("1", "2", "3", "4")}
    answers = [request.continuations[request.document.answer or 0] for request in found]
    assert [[r.context, a] for r, a in zip(found, answers, strict=True)] == OUTPUTS["mmlu"]["de 2-shot numbers"]


@pytest.mark.usefixtures("mmlu_written")
def test_mmlu_translate_then_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(leaf: object, split: str, parameters: MmluParameters) -> list[ComposedItem]:
        return [mmlu._published(row) for row in mmlu_rows("mmlu_mixup", "mul", split)]

    monkeypatch.setattr(mmlu, "_items", mixed)
    monkeypatch.setattr(mmlu, "_english", lambda: [mmlu._published(row) for row in mmlu_rows("mmlu", "en", "dev")])
    found = asked("xling_mmlu_mixup_translate")
    assert [request.context for request in found] == [prompt for prompt, _ in OUTPUTS["mmlu"]["mul translate"]]
    assert {request.max_tokens for request in found} == {256}
    with pytest.raises(UserError, match="one sentence for translate-then-answer(.|\n)*awareness: any_language"):
        asked("xling_mmlu_mixup_translate", awareness="any_language")


def quiz_rows(dataset: str, language: str, split: str) -> list[Row]:
    lines = (FOLDER.parent / "hp" / f"quiz_{language}.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Row(
            row["id"],
            language,
            {"question": row["question"]},
            tuple(row[x] for x in "ABCD"),
            "ABCD".index(row["answer"]),
        )
        for row in map(json.loads, lines)
    ]


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it"])
def test_quiz(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", quiz_rows)
    found = asked("xling_hp_en" if language == "en" else f"xling_hp_full_{language}")
    assert [request.context for request in found] == OUTPUTS["hp"][language]
    assert {request.continuations for request in found} == {tuple("ABCD")}


@pytest.mark.parametrize("family", ["mmlu", "hp"])
def test_gpt_gets_one_message_and_gives_one_token(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", mmlu_rows if family == "mmlu" else quiz_rows)
    task = f"xling_{family}_generate_full_de"
    found = asked(task, chat=lambda messages, **_: json.dumps(messages))
    plain = contexts(f"xling_{family}_full_de")
    assert [json.loads(request.context) for request in found] == [
        [{"role": "user", "content": prompt}] for prompt in plain
    ]
    assert {request.max_tokens for request in found} == {1}
