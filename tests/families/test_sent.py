"""Lengths in bytes and tokens are those of what was sent, under a chat template and from the request cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.caching import cache as request_cache
from lm_eval.tasks import TaskManager

from lm_eval_xling.harness import tasks_folder
from tests.tiny import tokenizer

pytestmark = pytest.mark.usefixtures("written")

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"


class Recorder(LM):
    """Gives every continuation a log-likelihood of its own and keeps what it was sent."""

    tokenizer_name = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []

    def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
        self.sent += [request.args for request in requests]
        return [(log_likelihood(*request.args), False) for request in requests]

    def loglikelihood_rolling(self, requests: Any) -> Any:
        raise NotImplementedError

    def generate_until(self, requests: Any) -> list[str]:
        return ["" for _ in requests]

    def apply_chat_template(self, history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in history)

    def chat_template(self, chat_template: Any = False) -> str:
        return TEMPLATE


def log_likelihood(context: str, continuation: str) -> float:
    return -1.0 - sum(continuation.encode()) % 97 / 10


@pytest.fixture
def counted(tmp_path: Path) -> str:
    """A tokenizer of a token a byte."""
    tokenizer().save_pretrained(tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def run(task: str, metadata: dict[str, Any], **options: Any) -> tuple[list[dict[str, Any]], Recorder]:
    model = Recorder()
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=metadata)
    results = simple_evaluate(
        model=model, tasks=[task], task_manager=manager, log_samples=True, bootstrap_iters=0, **options
    )
    assert results is not None
    return results["samples"][task], model


def expected(sample: dict[str, Any], unit: Callable[[str], int]) -> float:
    """TOFU's probability of the answer: the length-normalised one, of what stands in the log as sent."""
    context, continuation = sample["arguments"][sample["doc"]["answer"]]
    return math.exp(log_likelihood(context, continuation) / unit(continuation))


def without_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the harness send the answers as it does where no prefix of the model's turn is known."""
    from lm_eval.api.task import ConfigurableTask

    build = ConfigurableTask.construct_requests

    def bare(self: Any, doc: Any, ctx: Any, **more: Any) -> Any:
        made = build(self, doc, ctx, **more)
        for instance in made:
            instance.arguments = (instance.arguments[0], instance.arguments[1].lstrip())
        return made

    monkeypatch.setattr(ConfigurableTask, "construct_requests", bare)


@pytest.mark.slow
@pytest.mark.parametrize("templated", [False, True])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_lengths_are_those_of_what_was_sent(
    templated: bool, bare: bool, cached: bool, counted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_cache, "PATH", str(tmp_path / "requests"))
    if bare:
        without_a_space(monkeypatch)
    options: dict[str, Any] = {"apply_chat_template": templated, "cache_requests": cached}
    for task in ("xling_tofu_forget01_fr_en", "xling_atlas_fr_es"):
        first, _ = run(task, {"tokenizer": counted}, **options)
        samples, model = run(task, {"tokenizer": counted}, **options)
        assert {text.startswith(" ") for _, text in model.sent} == {not bare}
        assert all(context.startswith(("<user>", "<system>")) == templated for context, _ in model.sent)
        for sample, before in zip(samples, first, strict=True):
            texts = [text for _, text in sample["arguments"]]
            if "tofu" in task:
                bytes_sent = expected(sample, lambda text: len(text.encode()))
                assert sample["probability_bytes"] == pytest.approx(bytes_sent)
                # A token a byte.
                assert sample["probability"] == pytest.approx(bytes_sent)
                assert sample["probability_bytes"] == before["probability_bytes"]
            else:
                a_byte = [log_likelihood("", text) / len(text.encode()) for text in texts]
                right = a_byte.index(max(a_byte)) == sample["doc"]["answer"]
                assert sample["acc_bytes"] == float(right)
    assert len(list(tmp_path.rglob("*.pickle"))) == (2 if cached else 0)


@pytest.mark.slow
def test_other_metadata_is_sent_other_prompts_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_cache, "PATH", str(tmp_path / "requests"))
    sent = {}
    for seed in (0, 1, 0):
        _, model = run("xling_hp_mixup", {"xling": {"seed": seed}}, cache_requests=True)
        assert sent.setdefault(seed, model.sent) == model.sent
    assert sent[0] != sent[1]
    # The same documents with letters of another form.
    letters = run("xling_atlas_fr_es", {"xling": {"form": "letters"}}, cache_requests=True)[1].sent
    texts = run("xling_atlas_fr_es", {}, cache_requests=True)[1].sent
    assert {text for _, text in letters} == {" A", " B", " C", " D"}
    assert not {text for _, text in texts} & {text for _, text in letters}
    assert len(list(tmp_path.rglob("*.pickle"))) == 4


@pytest.mark.slow
def test_tokens_are_counted_where_a_tokenizer_is_known(counted: str) -> None:
    for metadata in ({"xling": {"tokenizer": counted}}, {"tokenizer": counted}, {"pretrained": counted}):
        samples, _ = run("xling_tofu_forget01_en_en", metadata, limit=1)
        assert samples[0]["probability"] == pytest.approx(samples[0]["probability_bytes"])
    assert "probability" not in run("xling_tofu_forget01_en_en", {}, limit=1)[0][0]
