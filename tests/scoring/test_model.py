from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from peft import LoraConfig, get_peft_model

from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.scoring.prompts import FURTHER_CONFIGS, assert_same_scores, decided_model, loglikelihood, pairs


def both(model: object, **arguments: object) -> tuple[HFLM, SharedPrefixLM]:
    arguments = {"tokenizer": tiny.tokenizer(), "batch_size": 4, **arguments}
    return HFLM(pretrained=model, **arguments), SharedPrefixLM(pretrained=model, **arguments)


def assert_as_hf(model: object, requests: list[tuple[str, str]], **arguments: object) -> SharedPrefixLM:
    reference, backend = both(model, **arguments)
    assert backend.fallback_reason is None
    expected = reference.loglikelihood(loglikelihood(requests), disable_tqdm=True)
    found = backend.loglikelihood(loglikelihood(requests), disable_tqdm=True)
    assert_same_scores([score for score, _ in found], [score for score, _ in expected])
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    return backend


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*tiny.CONFIGS, *FURTHER_CONFIGS])
def test_same_log_likelihoods_as_hf(architecture: str) -> None:
    assert_as_hf(decided_model(architecture), pairs())


def test_same_log_likelihoods_with_an_adapter() -> None:
    adapter = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    plain = decided_model("llama")
    before = plain(torch.arange(20)[None]).logits
    model = get_peft_model(plain, adapter)
    assert not torch.allclose(before, model(torch.arange(20)[None]).logits, atol=0.1)
    assert_as_hf(model.eval(), pairs())


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_same_log_likelihoods_where_the_scores_are_computed_in_blocks(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So few at once that rows and the tokens of a row are divided.
    monkeypatch.setattr("lm_eval_xling.scoring.prefix_attention._SCORES_AT_ONCE", {"cpu": 2000})
    assert_as_hf(decided_model(architecture), pairs(documents=6))


@pytest.mark.parametrize("batch_size", [1, 3, 64, "auto"])
def test_same_log_likelihoods_at_any_batch_size(batch_size: int | str) -> None:
    requests = pairs(documents=6)
    model = decided_model("gemma3")
    expected = HFLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=2).loglikelihood(loglikelihood(requests))
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=batch_size)
    found = backend.loglikelihood(loglikelihood(requests))
    assert_same_scores([score for score, _ in found], [score for score, _ in expected])


@pytest.mark.parametrize("arguments", [{"add_bos_token": True}, {"max_length": 130}, {"softmax_dtype": "float32"}])
def test_same_log_likelihoods_with_the_arguments_of_hf(arguments: dict[str, object]) -> None:
    assert_as_hf(decided_model("llama"), pairs(documents=6), **arguments)


def test_text_that_begins_with_the_bos_token_is_encoded_as_hf_does() -> None:
    requests = [("<bos>some context", " a"), ("some context", " a"), ("<bos>", "a")]
    assert_as_hf(decided_model("llama"), requests, add_bos_token=True)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "opt"])
def test_same_rolling_log_likelihoods_as_hf(architecture: str) -> None:
    # Without hf's logits cache, which mixes up windows of periodic texts; see the test below.
    reference, backend = both(decided_model(architecture), max_length=100, logits_cache=False)
    # Shorter than a window, exactly one, and several with a rest.
    texts = [pair[0] for pair in pairs(documents=2) if pair[0]] + ["x" * 100, "y" * 101, "abc " * 90]
    requests = [Instance("loglikelihood_rolling", {}, (text,), index) for index, text in enumerate(texts)]
    expected = reference.loglikelihood_rolling(requests, disable_tqdm=True)
    assert_same_scores(backend.loglikelihood_rolling(requests, disable_tqdm=True), expected)


def test_one_text_divided_in_two_ways_is_scored_as_hf_does_without_its_logits_cache() -> None:
    # With its cache of logits, hf (0.4.13) reads the shorter continuation's tokens at the longer one's positions.
    assert_as_hf(decided_model("llama"), [("a", "b and more"), ("ab", " and more")], logits_cache=False)


def test_scores_do_not_depend_on_the_order_of_the_requests() -> None:
    requests = pairs()
    backend = SharedPrefixLM(pretrained=decided_model("opt"), tokenizer=tiny.tokenizer(), batch_size=4)
    first = backend.loglikelihood(loglikelihood(requests))
    again = backend.loglikelihood(loglikelihood(requests[::-1]))[::-1]
    assert first == again


def test_no_requests_give_no_scores() -> None:
    backend = SharedPrefixLM(pretrained=tiny.model("llama"), tokenizer=tiny.tokenizer())
    assert backend.loglikelihood([]) == []


def test_an_empty_continuation_is_the_users_error() -> None:
    backend = SharedPrefixLM(pretrained=tiny.model("llama"), tokenizer=tiny.tokenizer())
    for reason in (None, "hf's own code is used"):
        backend.fallback_reason = reason
        for context in ("context", ""):
            with pytest.raises(UserError, match="continuation without tokens"):
                backend.loglikelihood(loglikelihood([("context", "x"), (context, "")]))


@pytest.mark.parametrize("max_length", [8, 12, 16])
def test_a_model_that_reads_little_is_scored_by_shared_prefixes_too(max_length: int) -> None:
    requests = [pair for pair in pairs(documents=6) if len(pair[1]) < max_length]
    assert_as_hf(decided_model("llama"), requests, max_length=max_length, logits_cache=False)


def test_the_model_is_left_as_it_was(tiny_model: torch.nn.Module) -> None:
    backend = SharedPrefixLM(pretrained=tiny_model, tokenizer=tiny.tokenizer())
    before = tiny_model.config._attn_implementation
    backend.loglikelihood(loglikelihood(pairs(documents=2)))
    assert tiny_model.config._attn_implementation == before == "sdpa"
    assert not tiny_model.get_output_embeddings()._forward_pre_hooks
    assert tiny_model(torch.arange(7)[None]).logits.shape == (1, 7, tiny.VOCABULARY)


@pytest.fixture
def tiny_model() -> Iterator[torch.nn.Module]:
    yield tiny.model("llama")


def test_out_of_memory_halves_the_batch_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = decided_model("llama")
    requests = [pair for pair in pairs(documents=40) if len(pair[0] + pair[1]) < 250]
    expected = HFLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=4).loglikelihood(loglikelihood(requests))
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=8)
    forward = type(model.model).forward
    largest = []

    def limited(self: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if input_ids.numel() > 300:
            raise torch.OutOfMemoryError("CUDA out of memory")
        largest.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", limited)
    with caplog.at_level(logging.WARNING):
        found = backend.loglikelihood(loglikelihood(requests))
    assert_same_scores([score for score, _ in found], [score for score, _ in expected])
    assert 150 < max(largest) <= 300
    assert "out of memory" in caplog.text


def test_any_other_error_of_the_model_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama")
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer())

    def failing(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the weights are broken")

    monkeypatch.setattr(type(model.model), "forward", failing)
    with pytest.raises(RuntimeError, match="the weights are broken"):
        backend.loglikelihood(loglikelihood(pairs(documents=2)))


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_from_a_folder_as_the_harness_loads_it(architecture: str, tiny: object, tmp_path: Path) -> None:
    folder = tiny(architecture)  # type: ignore[operator]
    arguments = f"pretrained={folder},dtype=float32"
    reference = HFLM.create_from_arg_string(arguments, {"batch_size": "2", "device": "cpu"})
    backend = SharedPrefixLM.create_from_arg_string(arguments, {"batch_size": "2", "device": "cpu"})
    requests = loglikelihood(pairs(documents=4))
    expected = reference.loglikelihood(requests)
    found = backend.loglikelihood(requests)
    assert_same_scores([score for score, _ in found], [score for score, _ in expected])
