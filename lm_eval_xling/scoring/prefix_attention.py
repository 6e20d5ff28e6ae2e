"""Attention of a batch over cached prefixes that are shared by its rows.

Registered with transformers under ``NAME`` (its documented extension point); a model computes with it only inside
``attending``. The scores over the shared prefix are one matrix product for all rows of the prefix, as in Hydragen
(Juravsky et al. 2024, arXiv 2402.05099, section 3.1), normalised together with the scores over the row's own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from lm_eval_xling.models.attention_switch import attention_implementation
from lm_eval_xling.scoring.prefix_cache import SharedPrefixCache, UnsupportedModel

__all__ = ["NAME", "attending"]

NAME = "xling_shared_prefix"
"""Name of the attention implementation."""

_SCORES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Elements of the score matrix computed at a time: what fits a CPU's cache, and a small part of a GPU's memory."""

_HARMLESS = frozenset({"position_ids", "cache_position", "cu_seq_lens_q", "cu_seq_lens_k"})
"""Tensors that models pass to any attention function and that do not change what it computes."""

_ACTIVE: ContextVar[SharedPrefixCache] = ContextVar("shared prefix cache of the forward pass")


@contextmanager
def attending(model: torch.nn.Module, cache: SharedPrefixCache) -> Iterator[None]:
    """Let a model compute its attention through a cache, which the caller also passes to it."""
    token = _ACTIVE.set(cache)
    try:
        with attention_implementation(model, NAME):
            yield
    finally:
        _ACTIVE.reset(token)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention over the active cache's prefixes and the tokens of the pass.

    Args:
        module: the attention layer.
        query: shape (rows, heads, width, head dimension).
        key: of the rows' own tokens, shape (rows, key heads, own tokens, head dimension).
        value: shape (rows, key heads, own tokens, value dimension).
        attention_mask: None, because transformers makes no mask for an implementation that it does not know.
        scaling: factor of the scores; 1 / sqrt(head dimension) if None.
        dropout: probability, 0 outside training.
        sliding_window: a token sees the last so many positions, its own included; None: all.
        softcap: the scores are capped by ``softcap * tanh(scores / softcap)``.
        kwargs: what else the model passes; see ``_check_layer``.

    Returns:
        The output of shape (rows, width, heads, value dimension), and None for the weights.
    """
    cache = _ACTIVE.get()
    _check_layer(module, attention_mask, dropout, sliding_window, kwargs)
    layer: int = module.layer_idx  # type: ignore[assignment]  # torch types every attribute of a module as a module
    cache.attended.add(layer)
    rows, heads, width, head_dim = query.shape
    key_heads, own = key.shape[1], key.shape[2]
    per_key = heads // key_heads
    scale = head_dim**-0.5 if scaling is None else scaling
    output = query.new_empty(rows, width, heads, value.shape[-1])
    limit = _SCORES_AT_ONCE.get(query.device.type, 1 << 22)
    for group, (prefix, first, last) in enumerate(cache.groups):
        if prefix is None and softcap is None and cache.is_causal(sliding_window):
            output[first:last] = torch.nn.functional.scaled_dot_product_attention(
                query[first:last],
                key[first:last].repeat_interleave(per_key, dim=1),
                value[first:last].repeat_interleave(per_key, dim=1),
                is_causal=True,
                scale=scale,
            ).transpose(1, 2)
            continue
        line = heads * ((0 if prefix is None else prefix.length) + own)
        step, block = max(1, limit // (line * width)), max(1, min(width, limit // line))
        for start in range(first, last, step):
            part = slice(start, min(start + step, last))
            for low in range(0, width, block):
                high = min(low + block, width)
                seen = own - width + high  # no token sees what comes after it
                # Key heads first, so that all rows of a prefix are one matrix.
                asking = (query[part, :, low:high] * scale).reshape(-1, key_heads, per_key, high - low, head_dim)
                within = slice(start - first, part.stop - first)
                mixed = _mix(
                    asking.transpose(0, 1),
                    key[part, :, :seen].transpose(0, 1),
                    value[part, :, :seen].transpose(0, 1),
                    cache.own_hidden(sliding_window, query.device)[part, :, low:high, :seen],
                    None if prefix is None else (prefix.keys[layer], prefix.values[layer]),
                    (0, None)
                    if prefix is None
                    else cache.prefix_hidden(group, sliding_window, query.device, within, slice(low, high)),
                    softcap,
                )
                output[part, low:high] = mixed.permute(1, 3, 0, 2, 4).flatten(2, 3)
    return output, None


def _mix(
    asking: Tensor,
    keys: Tensor,
    values: Tensor,
    hidden: Tensor,
    prefix: tuple[Tensor, Tensor] | None,
    outside: tuple[int, Tensor | None],
    softcap: float | None,
) -> Tensor:
    """Attention of rows of one prefix.

    Args:
        asking: scaled queries, shape (key heads, rows, heads of a key head, width, head dimension).
        keys: of the rows' own tokens, shape (key heads, rows, own tokens, head dimension).
        values: shape (key heads, rows, own tokens, value dimension).
        hidden: own tokens that are not seen, shape (rows, 1, width, own tokens).
        prefix: keys and values of the prefix, shape (key heads, length, dimension).
        outside: first token of the prefix that is seen at all, and which of those from there on are not seen.
        softcap: see ``_attend``.

    Returns:
        Shape (key heads, rows, heads of a key head, width, value dimension).
    """
    shape = asking.shape[:-1]
    key_heads, rows, per_key, width = shape
    asking = asking.reshape(key_heads, rows, per_key * width, -1)
    scores = _scores(asking, keys, softcap)
    # The lowest number rather than minus infinity, which would make padding NaN.
    scores.view(*shape, -1).masked_fill_(hidden, torch.finfo(scores.dtype).min)
    if prefix is None:
        return (torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype) @ values).view(*shape, -1)
    offset, unseen = outside
    old_keys, old_values = (tensor[:, offset:] for tensor in prefix)
    old = _scores(asking.reshape(key_heads, rows * per_key * width, -1), old_keys, softcap)
    if unseen is not None:
        old.view(*shape, -1).masked_fill_(unseen, torch.finfo(old.dtype).min)
    length = old_keys.shape[1]
    both = torch.cat([old.view(*scores.shape[:-1], length), scores], dim=-1)
    weights = torch.softmax(both, -1, dtype=torch.float32).to(values.dtype)
    mixed = weights[..., length:] @ values
    mixed += (weights.view(key_heads, rows * per_key * width, -1)[..., :length] @ old_values).view_as(mixed)
    return mixed.view(*shape, -1)


def _scores(asking: Tensor, keys: Tensor, softcap: float | None) -> Tensor:
    scores = asking @ keys.transpose(-1, -2)
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _check_layer(
    module: torch.nn.Module,
    attention_mask: Tensor | None,
    dropout: float,
    sliding_window: int | None,
    kwargs: dict[str, Any],
) -> None:
    """Refuse what this attention does not compute, because leaving it out would be silently wrong."""
    name = type(module).__name__
    if attention_mask is not None:
        raise UnsupportedModel(f"{name} brings its own attention mask")
    if not getattr(module, "is_causal", True) or kwargs.get("is_causal") is False:
        raise UnsupportedModel(f"{name} is not causal")
    if dropout:
        raise UnsupportedModel(f"{name} is in training mode")
    for key, argument in kwargs.items():
        if isinstance(argument, Tensor) and key not in _HARMLESS:
            raise UnsupportedModel(f"{name} passes {key!r} to its attention")
    layer_types = getattr(module.config, "layer_types", None)
    kind = layer_types[module.layer_idx] if layer_types else "full_attention"
    if kind not in ("full_attention", "sliding_attention"):
        raise UnsupportedModel(f"layer {module.layer_idx} is of type {kind!r}")
    if kind == "sliding_attention" and sliding_window is None:
        raise UnsupportedModel(f"{name} has a sliding window that it does not pass on")


AttentionInterface.register(NAME, _attend)
