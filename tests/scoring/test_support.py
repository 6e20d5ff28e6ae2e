from __future__ import annotations

import logging

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    T5Config,
)

from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.scoring.prompts import decided_model, loglikelihood, pairs

_SHAPE = {"vocab_size": tiny.VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "eos_token_id": 257}


def unsupported() -> dict[str, tuple[torch.nn.Module, str]]:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    torch.manual_seed(0)
    return {
        "state space": (AutoModelForCausalLM.from_config(MambaConfig(**_SHAPE)), "recurrent state"),
        "position biases": (
            AutoModelForCausalLM.from_config(
                MptConfig(vocab_size=tiny.VOCABULARY, d_model=32, n_layers=2, n_heads=4, eos_token_id=257)
            ),
            "the self-check failed",
        ),
        "rotation by length": (
            AutoModelForCausalLM.from_config(
                LlamaConfig(**_SHAPE, num_attention_heads=4, intermediate_size=64, rope_parameters=rope)
            ),
            "'dynamic' depend on the length",
        ),
        "encoder-decoder": (
            AutoModelForSeq2SeqLM.from_config(
                T5Config(
                    vocab_size=tiny.VOCABULARY,
                    d_model=32,
                    d_kv=8,
                    d_ff=64,
                    num_layers=2,
                    num_heads=4,
                    decoder_start_token_id=258,
                    pad_token_id=258,
                )  # fmt: skip
            ),
            "encoder-decoder",
        ),
    }


@pytest.mark.parametrize("kind", ["state space", "position biases", "rotation by length", "encoder-decoder"])
def test_what_cannot_be_cached_is_scored_by_hf_with_one_warning(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    model, why = unsupported()[kind]
    model.eval()
    requests = loglikelihood([pair for pair in pairs(documents=2) if pair[0]])
    expected = HFLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=4).loglikelihood(requests)
    with caplog.at_level(logging.WARNING):
        backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=4)
        assert backend.loglikelihood(requests) == expected
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("lm_eval_xling")]
    assert len(warnings) == 1
    assert "hf's own code is used" in warnings[0]
    assert why in warnings[0]


def test_an_architecture_that_ignores_the_cache_fails_the_self_check(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decided_model("llama")
    layer = type(model.model.layers[1].self_attn)
    forward = layer.forward

    def forgetting(self: torch.nn.Module, *args: object, **kwargs: object) -> object:
        if self.layer_idx == 1 and kwargs.get("past_key_values") is not None:
            kwargs["past_key_values"] = None
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(layer, "forward", forgetting)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer())
    assert "2 layers fill the cache, and 3 compute" in str(backend.fallback_reason)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_positions_that_the_model_gets_wrong_fail_the_self_check(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = decided_model(architecture)
    inner = type(model.model)
    forward = inner.forward

    def from_zero(self: torch.nn.Module, **kwargs: object) -> object:
        if kwargs.get("past_key_values") is not None:
            kwargs["position_ids"] = torch.arange(kwargs["input_ids"].shape[1])[None]
        return forward(self, **kwargs)

    monkeypatch.setattr(inner, "forward", from_zero)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer())
    assert "log-probabilities differ by" in str(backend.fallback_reason)


def test_numbers_that_are_none_are_an_error_that_names_the_request() -> None:
    model = tiny.model("llama")
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer())
    assert "no numbers" in str(backend.fallback_reason)
    with pytest.raises(UserError, match=r"log-likelihood is nan\n  in: request 'a context' ▸ ' and more'"):
        backend.loglikelihood(loglikelihood([("a context", " and more")]))
    prompts = [Instance("generate_until", {}, ("a context", {"until": ["."], "max_gen_toks": 2}), 0)]
    with pytest.raises(UserError, match=r"no numbers\n  in: prompt ending in 'a context'"):
        backend.generate_until(prompts)


def test_the_self_check_exceeds_a_short_sliding_window(monkeypatch: pytest.MonkeyPatch) -> None:
    model = decided_model("mistral")
    lengths = []
    forward = type(model.model).forward

    def recording(self: torch.nn.Module, **kwargs: object) -> object:
        lengths.append(kwargs["input_ids"].shape[1])
        return forward(self, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", recording)
    assert SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer()).fallback_reason is None
    assert max(lengths) > model.config.sliding_window
