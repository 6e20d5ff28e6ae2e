"""TOFU through the harness; its metrics against values computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.choosing import letter_scores
from lm_eval_xling.families.tofu import given_scores, recall_scores
from lm_eval_xling.harness import requests
from lm_eval_xling.records import Condition, Document, Request, Response, Row
from tests.families.making import made, said


@pytest.fixture(autouse=True)
def mirrored(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLING_DATA", str(mirror))


def show(task: str, row: int = 0, **xling: Any) -> Request:
    (request,) = requests(task, rows=[row], metadata={"xling": xling})
    return request


def test_question_in_one_language_and_answer_in_another() -> None:
    french = catalog.load_rows("tofu", "fr", "forget01")[4]
    english = catalog.load_rows("tofu", "en", "forget01")[4]
    request = show("xling_tofu_forget01_fr_en", row=4)
    assert request.context == f"Question: {french.fields['question']}\nAnswer:"
    assert request.document.id == english.id == french.id == "full/3964"
    # The answer, its paraphrase, and five wrong answers worded like the paraphrase.
    wrong = english.extra["perturbed_answers"]
    expected = [english.target, english.extra["paraphrased_answer"], *wrong]
    assert request.continuations == tuple(f" {answer}" for answer in expected)
    assert (request.document.answer, request.document.fields["right"]) == (0, 1)
    assert request.document.fields["wrong"] == [2, 3, 4, 5, 6]
    hebrew = show("xling_tofu_forget01_en_he", row=4)
    assert hebrew.context == f"Question: {english.fields['question']}\nתשובה:"
    # No wrong answers are published in Hebrew, so only the answer itself is scored.
    assert hebrew.continuations == (f" {catalog.load_rows('tofu', 'he', 'forget01')[4].target}",)


def test_any_split_and_pair_by_parameters() -> None:
    request = show("xling_tofu_forget01_en_en", question_language="ja", answer_language="Korean")
    assert request.context.startswith("質問: ") and request.context.endswith("\n답변:")
    retained = show("xling_tofu_full_en_en", split="retain_perturbed")
    assert len(retained.continuations) >= 3
    generated = show("xling_tofu_full_en_en_generate", split="world_facts", question_language="fr")
    assert generated.document.target == catalog.load_rows("tofu", "en", "world_facts")[0].target
    with pytest.raises(UserError, match="split 'world_facts' does not fit the leaf"):
        show("xling_tofu_full_en_en", split="world_facts")


def test_real_authors_and_world_facts_are_multiple_choice_too() -> None:
    english, french = (catalog.load_rows("tofu", code, "world_facts")[1] for code in ("en", "fr"))
    cloze = show("xling_tofu_world_facts_fr_en", row=1)
    assert cloze.continuations == tuple(f" {option}" for option in english.options)
    assert cloze.document.answer == english.options.index(english.target or "")
    letters = show("xling_tofu_world_facts_fr_fr", row=1, form="letters")
    assert letters.continuations == (" A", " B", " C", " D")
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", french.options, strict=True)]
    assert "\n{}\n".format("\n".join(lines)) in letters.context and letters.context.endswith("\nRéponse:")


def test_switched_questions_mix_chunks_of_both_languages() -> None:
    rows = {code: catalog.load_rows("tofu", code, "forget01") for code in ("en", "fr")}
    mixed = requests("xling_tofu_forget01_switched_generate")
    assert len(mixed) == 40
    both = 0
    for index, request in enumerate(mixed):
        units = request.document.fields["units"]
        assert all(unit["text"].strip() in rows[unit["language"]][index].fields["question"] for unit in units)
        both += len({unit["language"] for unit in units}) == 2
    assert both >= 10
    sentences = show("xling_tofu_forget01_switched", unit="sentence")
    assert len(sentences.document.fields["units"]) == 1


def answered(choices: list[str], logs: list[float], tokens: list[int] | None = None) -> list[Response]:
    counts = tokens or [None] * len(choices)
    return [Response("Q", f" {c}", log, n) for c, log, n in zip(choices, logs, counts, strict=True)]


def document(
    answer: int = 0, right: int = 1, wrong: tuple[int, ...] = (2, 3), options: tuple[str, ...] = ()
) -> Document:
    condition = Condition("", "cloze", {"question": "en", "answer": "en"})
    fields = {"right": right, "wrong": list(wrong)}
    return Document("0", "tofu", condition, "Q", answer=answer, options=options, fields=fields)


def test_scores_of_an_invented_author_by_hand() -> None:
    # Token probabilities: the answer 0.5 · 0.5, its paraphrase 0.4 three times, wrong answers 0.1 twice and 0.3 once.
    logs = [2 * math.log(0.5), 3 * math.log(0.4), 2 * math.log(0.1), math.log(0.3)]
    metrics = given_scores(document(), answered(["abc", "é", "x", "y"], logs, tokens=[2, 3, 2, 1]))
    assert metrics["probability"] == pytest.approx(0.5)
    assert metrics["truth_ratio"] == pytest.approx(((0.1 + 0.3) / 2) / 0.4)
    assert metrics["truthfulness"] == pytest.approx(0.5)
    # Per byte: " abc" has four, " é" three, " x" and " y" two.
    per_byte = [0.25 ** (1 / 4), 0.4 ** (3 / 3), 0.01 ** (1 / 2), 0.3 ** (1 / 2)]
    assert metrics["probability_bytes"] == pytest.approx(per_byte[0])
    assert metrics["truth_ratio_bytes"] == pytest.approx((per_byte[2] + per_byte[3]) / 2 / per_byte[1])
    assert "acc" not in metrics


def test_scores_of_options_by_hand() -> None:
    logs = [math.log(0.2), math.log(0.6), math.log(0.1), math.log(0.1)]
    shown = document(answer=1, right=1, wrong=(0, 2, 3), options=tuple("abcd"))
    metrics = given_scores(shown, answered(list("abcd"), logs, tokens=[1, 1, 1, 1]))
    assert metrics["acc"] == 1.0
    assert metrics["probability"] == pytest.approx(0.6)
    assert metrics["truth_ratio"] == pytest.approx((0.4 / 3) / 0.6)
    # Letters say nothing of the probability of an answer.
    assert letter_scores(shown, answered(list("ABCD"), logs)) == {"acc": 1.0}


def test_without_a_tokenizer_only_bytes_are_counted() -> None:
    metrics = given_scores(document(), answered(["a", "b", "c", "d"], [-1.0] * 4))
    assert set(metrics) == {"probability_bytes", "truth_ratio_bytes", "truthfulness_bytes"}


def test_recall_scores() -> None:
    condition = Condition("", "generate", {"question": "en", "answer": "fr"})
    asked = Document("0", "tofu", condition, "Q", target="Son père était fleuriste")
    metrics = recall_scores(asked, said("Son père était un grand fleuriste de la ville"))
    assert metrics == {"rouge_l_recall": 1.0, "language_told": 1.0, "language_fidelity": 1.0}


def test_probability_is_that_of_the_model(tiny: Callable[[str], Path]) -> None:
    """The harness's result equals TOFU's definition computed from the model's own token probabilities."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lm_eval_xling.harness import tasks_folder

    folder = tiny("llama")
    name = "xling_tofu_real_authors_fr_en"
    arguments = {"pretrained": str(folder)}
    results = simple_evaluate(
        model="hf", model_args=arguments, tasks=[name], limit=3, log_samples=True, bootstrap_iters=0, device="cpu",
        task_manager=TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=arguments),
    )  # fmt: skip
    assert results is not None
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for sample in results["samples"][name]:
        asked, each = sample["doc"], []
        for choice in asked["choices"]:
            prompt = tokenizer(f"{asked['prompt']}\n{asked['cue']}")["input_ids"]
            answer = tokenizer(f" {choice}")["input_ids"]
            with torch.no_grad():
                logits = model(torch.tensor([prompt + answer])).logits[0]
            tokens = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(answer)[:, None])
            each.append(tokens.mean().exp().item())
        right = each.pop(asked["answer"])
        assert sample["probability"] == pytest.approx(right / (right + sum(each)), rel=1e-4)
        assert sample["truth_ratio"] == pytest.approx(sum(each) / len(each) / right, rel=1e-4)


def test_bad_rows(monkeypatch: pytest.MonkeyPatch, mirror: Path) -> None:
    def serve(**fields: Any) -> None:
        def rows(dataset: str, language: str, split: str) -> list[Row]:
            return [Row("full/0", language, **{"fields": {"question": "Q?"}, "target": "A", **fields})]

        monkeypatch.setattr(catalog, "load_rows", rows)

    serve(target=" ")
    with pytest.raises(UserError, match="the answer is empty(.|\n)*tofu in en, id full/0"):
        made("tofu", "forget01_fr_en")
    serve(fields={"question": ""})
    with pytest.raises(UserError, match="the question is empty(.|\n)*tofu in fr, id full/0"):
        made("tofu", "forget01_fr_en")
    serve(options=("a", "b"), answer=2)
    with pytest.raises(UserError, match="the answer 2 is not the index of an option"):
        made("tofu", "world_facts_fr_en")
    serve()
    with pytest.raises(UserError, match='the tokenizer cannot be loaded(.|\n)*/nowhere(.|\n)*"tokenizer"'):
        requests("xling_tofu_forget01_fr_en", metadata={"xling": {"tokenizer": "/nowhere"}})
