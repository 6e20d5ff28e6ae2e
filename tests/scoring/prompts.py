"""Requests in the shapes that the harness makes: shared few-shot prefixes, several continuations, edge cases."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from statistics import median

import torch
from lm_eval.api.instance import Instance
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GptOssConfig,
    Llama4TextConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedModel,
    Qwen3Config,
    XGLMConfig,
)

from tests import tiny
from tests.precision import rounding


def loglikelihood(pairs: list[tuple[str, str]]) -> list[Instance]:
    return [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]


def assert_same_scores(found: Sequence[float], expected: Sequence[float]) -> None:
    """Compare log-likelihoods of one model: sums of differences of logits, which float32 rounds at their size.

    A log-likelihood near 0 is a difference of logits that are as large as those of the others.
    """
    assert len(found) == len(expected)
    usual = median(map(abs, expected))
    for ours, theirs in zip(found, expected, strict=True):
        assert abs(ours - theirs) <= rounding(max(abs(theirs), usual)), f"{ours} is not {theirs}"


def pairs(seed: int = 0, documents: int = 12) -> list[tuple[str, str]]:
    """Two few-shot prefixes longer than the tiny models' sliding window of 16, and what usually goes wrong."""
    draw = random.Random(seed)

    def text(shortest: int, longest: int) -> str:
        return "".join(draw.choice("abcde fg") for _ in range(draw.randint(shortest, longest)))

    made = []
    for _ in range(2):
        shots = "".join(f"P: {text(20, 30)}\nA: yes\n" for _ in range(3))
        for _ in range(documents // 2):
            context = f"{shots}P: {text(3, 40)}\nA:"
            made += [(context, f" {label}") for label in ("entailment", "e", "contradiction", "x")]
    made += [
        ("", "without a context"),
        ("ends in spaces  ", "x"),
        ("ends in a newline\n", "x"),
        ("a", "b"),
        ("a", "b and more"),
        (made[0][0] * 4, " context longer than the model"),
        (made[0][0] * 4, " context longer than the moose"),
        ("x", " " + text(100, 120)),
        made[0],
        made[5],
    ]
    draw.shuffle(made)
    return made


_SHAPE = tiny.config("gpt_neox").to_dict()
_GATED = {
    **{name: _SHAPE[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")},
    **{name: _SHAPE[name] for name in ("max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")},
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
_PLAIN = {name: value for name, value in _GATED.items() if name not in ("num_key_value_heads", "intermediate_size")}

FURTHER_CONFIGS = {
    "bloom": BloomConfig(**_PLAIN),
    # Its own heads are no power of two, for which the slopes are made in another way.
    "bloom with 6 heads": BloomConfig(**{**_PLAIN, "hidden_size": 48, "num_attention_heads": 6}),
    "falcon": FalconConfig(**_PLAIN),
    "falcon with ALiBi": FalconConfig(**_PLAIN, alibi=True, multi_query=False),
    "falcon 40b": FalconConfig(**_PLAIN, new_decoder_architecture=True, num_kv_heads=2),
    "xglm": XGLMConfig(
        **{name: _PLAIN[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")},
        **{"d_model": 32, "num_layers": 3, "attention_heads": 4, "ffn_dim": 64, "max_position_embeddings": 512},
    ),
    "gpt-oss": GptOssConfig(
        **_GATED,
        head_dim=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "llama 4": Llama4TextConfig(
        **_GATED,
        intermediate_size_mlp=64,
        head_dim=8,
        num_local_experts=2,
        num_experts_per_tok=1,
        attention_chunk_size=24,
        no_rope_layers=[1, 0, 1],
        layer_types=["chunked_attention", "full_attention", "chunked_attention"],
        # So low that the temperature changes within the tests' prompts.
        floor_scale=32,
        attn_scale=0.5,
    ),
    "olmo 2": Olmo2Config(**_GATED),
    "phi 3": Phi3Config(**_GATED),
    "qwen 3": Qwen3Config(**_GATED, head_dim=8),
    "gemma 2": Gemma2Config(**_GATED, head_dim=8, sliding_window=16, attn_logit_softcapping=5.0),
}
"""Architectures beside those of ``tiny.CONFIGS``, each with what is particular about its attention."""


def decided_model(architecture: str) -> PreTrainedModel:
    """A tiny random model whose predictions depend strongly on what it attends to.

    As initialised, its log-probabilities are all nearly equal, and a wrong mask would hardly change them.
    """
    if architecture in tiny.CONFIGS:
        model = tiny.model(architecture)
    else:
        torch.manual_seed(0)
        config = copy.deepcopy(FURTHER_CONFIGS[architecture])
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.mul_(4 if "embed" in name or "head" in name else 6)
            elif name.endswith("sinks"):
                weight.copy_(torch.linspace(-1, 3, len(weight)))
    return model
