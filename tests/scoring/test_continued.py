"""A run that was killed and continued makes the batches of one that was not, so that its answers are rounded alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM

from lm_eval_xling.scoring import generating_model
from lm_eval_xling.scoring import model as backend_module
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.scoring.prompts import decided_model, loglikelihood

SHARED = ["few shots that some documents share, longer than what is worth caching. ", "other shots, as long as those. "]

Batches = list[tuple[int, ...]]


def asked() -> dict[str, list[Instance]]:
    """Requests of every kind, of lengths that make several batches."""
    prompts = [f"{SHARED[n % 2] * 3}{n}: question {'and so on ' * (2 + n % 5)}" for n in range(24)]
    pairs = [(prompt, answer) for prompt in prompts for answer in (" yes", " no, never")]
    texts = [f"text {n} " * (3 + n) for n in range(40)]
    tokens = [(f"{n} is", "yes", "prefixes") for n in range(12)]
    until = [(prompt, {"until": ["\n"], "max_gen_toks": 4 + index % 2}) for index, prompt in enumerate(prompts)]
    return {
        "loglikelihood": loglikelihood(pairs),
        "next token": [Instance("loglikelihood", {}, request, 0) for request in tokens],
        "loglikelihood_rolling": [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts],
        "generate_until": [Instance("generate_until", {}, request, 0) for request in until],
    }


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[list[Any], Batches]]]:
    """Answers to requests through the harness's cache, and the shapes of the forward passes."""
    monkeypatch.setattr(backend_module, "_NEXT_TOKENS_AT_ONCE", 2)
    monkeypatch.setattr(backend_module, "_TEXTS_AT_ONCE", 4)
    monkeypatch.setattr(generating_model, "_WAITING", 1)
    opened = []

    def answers(requests: list[Instance], cache: str, answers_before_kill: int = -1) -> tuple[list[Any], Batches]:
        model = decided_model("llama")
        backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=2)
        backend._generation_checked = True
        shapes: Batches = []
        model.register_forward_pre_hook(
            lambda _, args, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
        )
        cached = CachingLM(backend, str(tmp_path / f"{cache}.db"))
        opened.append(cached.dbdict)
        store = backend.cache_hook.add_partial

        def add_partial(*answer: Any) -> None:
            nonlocal answers_before_kill
            if answers_before_kill == 0:
                raise Killed
            answers_before_kill -= 1
            store(*answer)

        backend.cache_hook.add_partial = add_partial
        try:
            return getattr(cached, requests[0].request_type)(requests), shapes
        except Killed:
            return [], shapes

    yield answers
    for store in opened:
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(asked()))
@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_the_rest_is_computed_in_the_batches_of_the_whole(
    kind: str, share: float, run: Callable[..., tuple[list[Any], Batches]]
) -> None:
    requests = asked()[kind]
    expected, batches = run(requests, "whole")
    stop = int(len(requests) * share)
    run(requests, "parts", stop)
    found, continued = run(requests, "parts")
    assert found == expected
    assert len(continued) < len(batches)
    rest = iter(batches)
    assert all(shape in rest for shape in continued)
    assert run(requests, "parts") == (expected, [])


@pytest.mark.parametrize("how", [{"do_sample": True, "temperature": 3.0}, {"temperature": 3.0}], ids=str)
def test_a_sampled_text_is_drawn_again(how: dict[str, Any], run: Callable[..., tuple[list[Any], Batches]]) -> None:
    """Also within a run: six repeats of one request in batches of two."""
    options = {"until": ["\n"], "max_gen_toks": 12, **how}
    requests = [Instance("generate_until", {}, ("Say something", options), 0) for _ in range(6)]
    _, batches = run(requests, "sampled")
    # With a temperature alone, the harness itself takes the answers of a whole run out of its cache.
    assert bool(run(requests, "sampled")[1]) == ("do_sample" in how)
    alone = run(requests[:2], "alone")[1]
    assert len(batches) >= len(alone) + 2
