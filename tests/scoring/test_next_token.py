"""Answers scored by the next token alone: the numbers of the papers' scripts, from the backend and its fallback."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from lm_eval_xling import catalog
from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.scoring.model import SharedPrefixLM
from lm_eval_xling.scoring.next_token import answer_tokens
from tests import tiny
from tests.families.written import rows_of
from tests.scoring.prompts import decided_model

CONTEXTS = ("What is it?\nA. one\nB. two\nAnswer: ", "What is it?\nA. one\nB. three\nAnswer: ", 'Émotion: "')


def backend(architecture: str = "gemma3") -> SharedPrefixLM:
    return SharedPrefixLM(decided_model(architecture), tokenizer=tiny.tokenizer(), device="cpu", batch_size=4)


def ask(*arguments: str) -> Instance:
    return Instance("loglikelihood", {}, arguments, 0, (None, 0, 1))


def log_probabilities(model: Any, context: str) -> torch.Tensor:
    """As the scripts compute them: one text, the tokenizer as it is, the logits of the last position."""
    ids = tiny.tokenizer()(context, return_tensors="pt").input_ids
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=ids).logits[0, -1].float(), -1)


@pytest.mark.parametrize("architecture", ["gemma3", "llama"])
@pytest.mark.parametrize("fallback", [False, True])
def test_the_numbers_are_those_of_the_next_token(architecture: str, fallback: bool) -> None:
    model = backend(architecture)
    if fallback:
        model.fallback_reason = "a test"
    requests = [ask(context, answer, "last") for context in CONTEXTS for answer in "ABCD"]
    # Requests of the usual kind between them keep their places.
    requests[3:3] = [ask(CONTEXTS[0], "A")]
    whole = model.loglikelihood([requests[3]], disable_tqdm=True)
    answers = model.loglikelihood(requests, disable_tqdm=True)
    assert answers.pop(3) == pytest.approx(whole[0], rel=1e-5)
    expected = [
        log_probabilities(model.model, context)[tiny.tokenizer()(answer).input_ids[-1]].item()
        for context in CONTEXTS
        for answer in "ABCD"
    ]
    assert [value for value, _ in answers] == pytest.approx(expected, rel=1e-4)


def test_prefixes_add_up() -> None:
    model = backend()
    # Of the prefixes of "same" a vocabulary of bytes has the first alone.
    (total, _), *rest = model.loglikelihood([ask(CONTEXTS[2], "same", "prefixes")], disable_tqdm=True)
    expected = log_probabilities(model.model, CONTEXTS[2])
    vocabulary = tiny.tokenizer().get_vocab()
    assert not rest and total == pytest.approx(expected[vocabulary["s"]].item(), rel=1e-4)
    with pytest.raises(UserError, match="no token of the model's vocabulary is a prefix of '積極'"):
        model.loglikelihood([ask(CONTEXTS[2], "積極", "prefixes")], disable_tqdm=True)
    # For Qwen the scripts add the first token of every prefix.
    qwen = backend("qwen2")
    (total, _) = qwen.loglikelihood([ask(CONTEXTS[2], "積極", "prefixes")], disable_tqdm=True)[0]
    first = tiny.tokenizer()("積").input_ids[0]
    assert total == pytest.approx(log_probabilities(qwen.model, CONTEXTS[2])[first].item(), rel=1e-4)


def words(*entries: str) -> PreTrainedTokenizerFast:
    vocabulary = {entry: index for index, entry in enumerate([*entries, "<unk>"])}
    raw = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("positive", {"p", "pos", "▁p", "▁positive"}),
        ("积极", {"积", "<0xE7>"}),
        ("no", set()),
    ],
)
def test_tokens_that_stand_for_an_answer(answer: str, expected: set[str]) -> None:
    entries = ("p", "pos", "▁p", "▁positive", "ositive", "posit ive", "积", "极", "<0xE7>", "<0x70>", "P")
    tokenizer = words(*entries)
    if not expected:
        with pytest.raises(UserError, match="leave out the preset"):
            answer_tokens(tokenizer, answer, "prefixes")
        return
    found = answer_tokens(tokenizer, answer, "prefixes")
    assert {entries[index] for index in found} == expected
    assert list(found) == sorted(set(found))


def test_answers_are_kept_in_the_cache(tmp_path: Path) -> None:
    requests = [ask(context, answer, "last") for context in CONTEXTS for answer in "AB"]
    first = CachingLM(backend(), str(tmp_path / "answers")).loglikelihood(requests)
    model = backend()
    again = CachingLM(model, str(tmp_path / "answers"))

    def refuse(*_: Any, **__: Any) -> Sequence[Any]:
        raise AssertionError("asked again")

    model.loglikelihood = refuse  # type: ignore[method-assign]
    assert again.loglikelihood(requests) == first


def test_the_quiz_chooses_as_the_script_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", rows_of)
    model = backend()
    manager = TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata={"xling": {"preset": "paper"}}
    )
    results = simple_evaluate(
        model=model, tasks=["xling_hp_full_de"], task_manager=manager, log_samples=True, bootstrap_iters=0
    )
    assert results is not None
    for sample in results["samples"]["xling_hp_full_de"]:
        context = sample["arguments"][0][0]
        assert context.endswith("Answer: ")
        logits = log_probabilities(model.model, context)
        chosen = max(range(4), key=lambda k: logits[tiny.tokenizer()("ABCD"[k]).input_ids[-1]])
        assert sample["acc"] == float(chosen == sample["doc"]["answer"])
