"""Tiny random models with a byte-level tokenizer: the suite runs offline, and real models only where marked."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

VOCABULARY = 260  # 256 bytes and four special tokens

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 258,
}
_GATED = {**_SHAPE, "intermediate_size": 64, "num_key_value_heads": 2}

CONFIGS = {
    "llama": LlamaConfig(**_GATED),
    "qwen2": Qwen2Config(**_GATED),
    # The window is shorter than most prompts of the tests, so that it takes effect.
    "gemma3": Gemma3TextConfig(
        **_GATED,
        head_dim=8,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "mistral": MistralConfig(**_GATED, head_dim=8, sliding_window=16),
    "gpt_neox": GPTNeoXConfig(**_SHAPE, intermediate_size=64),
    "opt": OPTConfig(**_SHAPE, ffn_dim=64, word_embed_proj_dim=32),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte; ids 256 to 259 are <bos>, <eos>, <pad>, <unk>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<bos>", "<eos>", "<pad>", "<unk>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )


def config(architecture: str) -> PreTrainedConfig:
    """A copy of an architecture's configuration: a model changes the one that it is given."""
    return copy.deepcopy(CONFIGS[architecture])


def model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A random model of an architecture in ``CONFIGS``, in evaluation mode, float32."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config(architecture), dtype=torch.float32).eval()


def save(architecture: str, folder: Path, seed: int = 0) -> Path:
    """Write a random model and the tokenizer as a transformers folder."""
    model(architecture, seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
