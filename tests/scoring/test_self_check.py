"""The self-check tells errors from rounding, in every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from peft import LoraConfig, PeftConfig, ShiraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from lm_eval_xling.scoring import exact, prefix_attention, prefix_cache
from lm_eval_xling.scoring.exact import in_float32
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.precision import STEPS, assert_equal_up_to_rounding, rounding
from tests.scoring.prompts import FURTHER_CONFIGS, decided_model, loglikelihood, pairs

TYPES = [torch.float32, torch.bfloat16, torch.float16]


def reason(model: PreTrainedModel) -> str | None:
    return SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer()).fallback_reason


def sees_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(self: prefix_cache.TreeCache, reach: object, device: torch.device) -> torch.Tensor:
        rows, width = self.positions.shape
        return torch.ones(rows, width, width, dtype=torch.bool, device=device)

    monkeypatch.setattr(prefix_cache.TreeCache, "_own_seen", seen)


def sees_its_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(self: prefix_cache.TreeCache, reach: object, device: torch.device) -> torch.Tensor:
        rows, width = self.positions.shape
        return torch.ones(rows, width, width, dtype=torch.bool, device=device).tril()

    monkeypatch.setattr(prefix_cache.TreeCache, "_own_seen", seen)


def counts_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = type(tiny.model("gemma3").model)
    forward = inner.forward

    def from_zero(self: torch.nn.Module, **kwargs: object) -> object:
        if kwargs.get("past_key_values") is not None:
            kwargs["position_ids"] = kwargs["position_ids"] - kwargs["position_ids"][:, :1]  # type: ignore[index]
        return forward(self, **kwargs)

    monkeypatch.setattr(inner, "forward", from_zero)


def has_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_attention, "_check_layer", lambda *arguments: prefix_cache.Reach())


def has_a_window_of_one_less(monkeypatch: pytest.MonkeyPatch) -> None:
    check = prefix_attention._check_layer

    def narrow(*arguments: Any) -> prefix_cache.Reach:
        found = check(*arguments)
        return found if found.window is None else prefix_cache.Reach(window=found.window - 1)

    monkeypatch.setattr(prefix_attention, "_check_layer", narrow)


def forgets_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    row = prefix_cache.TreeCache.row

    def without(self: prefix_cache.TreeCache, *arguments: Any) -> prefix_cache.CachedPrefix:
        found = row(self, *arguments)
        found.values[1].zero_()
        return found

    monkeypatch.setattr(prefix_cache.TreeCache, "row", without)


def loses_later_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = prefix_cache.TreeCache.joined

    def first_alone(self: prefix_cache.TreeCache, output: torch.Tensor) -> torch.Tensor:
        output[1:] = 0
        return joined(self, output)

    monkeypatch.setattr(prefix_cache.TreeCache, "joined", first_alone)


def scales_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    mix = prefix_attention._mix
    monkeypatch.setattr(prefix_attention, "_mix", lambda asking, *rest: mix(asking * 1.02, *rest))


FAULTS = [
    sees_everything,
    sees_its_branches,
    counts_from_zero,
    has_no_window,
    has_a_window_of_one_less,
    forgets_a_layer,
    loses_later_rows,
    scales_wrongly,
]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_every_type(
    fault: Callable[[pytest.MonkeyPatch], None], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Layers with a sliding window and without.
    model = decided_model("gemma3").to(dtype)
    assert reason(model) is None
    fault(monkeypatch)
    assert "log-probabilities differ by" in str(reason(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("architecture", [*tiny.CONFIGS, *FURTHER_CONFIGS])
def test_half_precision_takes_the_fast_path(architecture: str, dtype: torch.dtype) -> None:
    assert reason(decided_model(architecture).to(dtype)) is None


_WIDE = {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "vocab_size": tiny.VOCABULARY}
_GATED = {**_WIDE, "intermediate_size": 1024, "num_key_value_heads": 2}
LARGER: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**_GATED),
    "qwen2": Qwen2Config(**_GATED),
    "gemma3": Gemma3TextConfig(**_GATED, head_dim=64, sliding_window=64),
    "gpt_neox": GPTNeoXConfig(**_WIDE, intermediate_size=1024),
    "bloom": BloomConfig(**_WIDE),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_rounding_of_a_larger_model_is_not_taken_for_a_fault(name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LARGER[name], dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                # As initialised its layers hardly change what goes through them; so, bfloat16 rounds by tenths of nats.
                parameter.mul_(2)
    assert reason(model.to(torch.bfloat16)) is None


@pytest.mark.real
@pytest.mark.parametrize("name", ["gemma", "smollm2"])
def test_real_models_take_the_fast_path_in_bfloat16(name: str, request: pytest.FixtureRequest) -> None:
    model = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(name), dtype=torch.bfloat16).eval()
    backend = SharedPrefixLM(pretrained=model)
    assert backend.fallback_reason is None


@pytest.mark.parametrize("kind", ["gpt-oss", "adapter", "sparse adapter", "opt"])
def test_layers_compute_in_float32_and_keep_their_weights(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few that products are divided.
    monkeypatch.setattr(exact, "_WEIGHTS_AT_ONCE", 1000)

    def made() -> PreTrainedModel:
        torch.manual_seed(0)
        if "adapter" not in kind:
            model = decided_model(kind)
            for name, weight in model.named_parameters():
                if name.endswith("bias"):
                    torch.nn.init.normal_(weight)
            return model.to(torch.bfloat16)
        adapter: PeftConfig = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
        if kind == "sparse adapter":
            # It multiplies the weight of the layer that it adapts itself.
            adapter = ShiraConfig(r=4, target_modules=["q_proj", "down_proj"], init_weights=False)
        return get_peft_model(decided_model("llama"), adapter).eval().to(torch.bfloat16)

    model = made()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        rounded = model(tokens).logits
        with in_float32(model):
            found = model(tokens).logits
        expected = made().to(torch.float32)(tokens).logits
        again = model(tokens).logits
    assert found.dtype == torch.float32
    assert_equal_up_to_rounding(found, expected)
    assert (rounded.float() - expected).abs().max() > rounding(expected, 10 * STEPS)
    assert torch.equal(rounded, again)
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, before[name])


def test_weights_are_given_back_when_a_pass_fails() -> None:
    model = decided_model("llama").to(torch.bfloat16)

    def failing(*arguments: object) -> None:
        raise RuntimeError("in the middle")

    handle = model.model.layers[1].mlp.register_forward_pre_hook(failing)
    with pytest.raises(RuntimeError, match="in the middle"), torch.no_grad(), in_float32(model):
        model(torch.arange(5)[None])
    handle.remove()
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_attention_over_a_prefix_rounds_no_more_than_fused_attention(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, heads, width, length, dimension = 3, 4, 5, 200, 96

    def states(count: int, size: float = 1.0) -> torch.Tensor:
        return (torch.randn(rows, heads, count, dimension, generator=draw) * size).to(dtype)

    # Scores of about 50, as in models whose heads look at single tokens; a prefix that all rows share.
    query, key, value = states(width, 3.0), states(length + width, 1.7), states(length + width)
    key[:, :, :length], value[:, :, :length] = key[:1, :, :length].clone(), value[:1, :, :length].clone()
    mask = torch.ones(width, length + width, dtype=torch.bool).tril(length)
    exact = torch.nn.functional.scaled_dot_product_attention(query.double(), key.double(), value.double(), mask)
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)

    prefix = prefix_cache.CachedPrefix((key[0, :, :length],), (value[0, :, :length],))
    cache = prefix_cache.TreeCache(
        [(prefix, 0, rows)], [range(length, length + width)] * rows, [[width] * width] * rows
    )

    def line(states: torch.Tensor) -> torch.Tensor:
        return states.transpose(1, 2).flatten(0, 1)[None].transpose(1, 2)

    layer = torch.nn.Module()
    layer.layer_idx = 0
    token = prefix_attention._ACTIVE.set(cache)
    try:
        found, _ = prefix_attention._attend(layer, *map(line, (query, key[:, :, length:], value[:, :, length:])), None)
    finally:
        prefix_attention._ACTIVE.reset(token)

    def error(output: torch.Tensor) -> float:
        return float((output.double() - exact).pow(2).mean().sqrt())

    assert found.dtype == dtype
    assert error(found.view(rows, width, heads, -1).transpose(1, 2)) < 1.1 * error(fused)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "gpt_neox"])
def test_half_precision_is_no_noisier_than_that_of_hf(architecture: str) -> None:
    requests = loglikelihood([pair for pair in pairs(documents=24) if len(pair[0] + pair[1]) < 400])
    half = decided_model(architecture).to(torch.bfloat16)
    # The same weights without rounding of what is computed with them.
    exact = decided_model(architecture).to(torch.bfloat16).to(torch.float32)
    arguments = {"tokenizer": tiny.tokenizer(), "batch_size": 4}
    expected = HFLM(pretrained=exact, **arguments).loglikelihood(requests, disable_tqdm=True)

    def noise(backend: HFLM) -> float:
        found = backend.loglikelihood(requests, disable_tqdm=True)
        pairs_of_scores = zip(found, expected, strict=True)
        return sum(abs(ours - theirs) for (ours, _), (theirs, _) in pairs_of_scores) / len(requests)

    ours = noise(SharedPrefixLM(pretrained=half, **arguments))
    theirs = noise(HFLM(pretrained=half, **arguments))
    assert ours < 1.15 * theirs
