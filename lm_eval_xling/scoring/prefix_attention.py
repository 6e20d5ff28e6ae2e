"""Attention of a batch over cached prefixes that are shared by its rows.

Registered with transformers under ``NAME`` (its documented extension point); a model computes with it only inside
``attending``. The scores over the shared prefix are one matrix product for all rows of the prefix, as in Hydragen
(Juravsky et al. 2024, arXiv 2402.05099, section 3.1), normalised together with the scores over the row's own tokens.

Scores, their normalisation and the sums of values are float32 also where the model computes in half precision, as in
fused attention (Dao et al. 2022, arXiv 2205.14135): each output is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from lm_eval_xling.models.attention_switch import attention_implementation
from lm_eval_xling.models.float32_products import float32_products
from lm_eval_xling.scoring.architectures import own_attention, position_scale
from lm_eval_xling.scoring.output_product import head_in_blocks
from lm_eval_xling.scoring.prefix_cache import Reach, SharedPrefixCache, UnsupportedModel

__all__ = ["NAME", "attending"]

NAME = "xling_shared_prefix"
"""Name of the attention implementation."""

_SCORES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Elements of the score matrix computed at a time: what fits a CPU's cache, and a small part of a GPU's memory."""

_HARMLESS = frozenset({"position_ids", "cache_position", "cu_seq_lens_q", "cu_seq_lens_k"})
"""Tensors that models pass to any attention function and that do not change what it computes."""

KeyBias = Callable[[Tensor], Tensor]
"""What is added to the scores of keys at given positions: shape (…) to (heads, …)."""

_ACTIVE: ContextVar[SharedPrefixCache] = ContextVar("shared prefix cache of the forward pass")


@contextmanager
def attending(model: torch.nn.Module, cache: SharedPrefixCache) -> Iterator[None]:
    """Let a model compute its attention through a cache, which the caller also passes to it, and logits in blocks."""
    token = _ACTIVE.set(cache)
    device = next(model.parameters()).device
    try:
        with (
            attention_implementation(model, NAME),
            own_attention(model, _attend),
            head_in_blocks(model),
            float32_products(device),
        ):
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
    s_aux: Tensor | None = None,
    key_bias: KeyBias | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention over the active cache's prefixes and the tokens of the pass.

    Args:
        module: the attention layer.
        query: shape (rows, heads, width, head dimension), or all rows in one line; see ``SharedPrefixCache.apart``.
        key: of the rows' own tokens, shape (rows, key heads, own tokens, head dimension), or all in one line.
        value: shape (rows, key heads, own tokens, value dimension), or all in one line.
        attention_mask: None, because transformers makes no mask for an implementation that it does not know.
        scaling: factor of the scores; 1 / sqrt(head dimension) if None.
        dropout: probability, 0 outside training.
        sliding_window: a token sees the last so many positions, its own included; None: all.
        softcap: the scores are capped by ``softcap * tanh(scores / softcap)``.
        s_aux: attention sinks, shape (heads,): each head's score of a token without a value (gpt-oss).
        key_bias: added to the scaled scores, after their capping.
        kwargs: what else the model passes; see ``_check_layer``.

    Returns:
        The output of shape (rows, width, heads, value dimension), or in one line, and None for the weights.
    """
    cache = _ACTIVE.get()
    reach = _check_layer(module, attention_mask, dropout, sliding_window, kwargs)
    layer: int = module.layer_idx  # type: ignore[assignment]  # torch types every attribute of a module as a module
    cache.attended.add(layer)
    query = cache.apart(position_scale(module, query, cache))
    key, value = cache.apart(key), cache.apart(value)
    rows, heads, width, head_dim = query.shape
    key_heads, own = key.shape[1], key.shape[2]
    per_key = heads // key_heads
    scale = head_dim**-0.5 if scaling is None else scaling
    output = query.new_empty(rows, width, heads, value.shape[-1])
    limit = _SCORES_AT_ONCE.get(query.device.type, 1 << 22)
    plain = softcap is None and s_aux is None and key_bias is None
    exact = torch.promote_types(query.dtype, torch.float32)
    sinks = None if s_aux is None else s_aux.to(exact).view(key_heads, 1, per_key, 1, 1)
    own_bias = None
    if key_bias is not None:
        own_bias = key_bias(cache.own_positions(query.device)).to(exact)
        own_bias = own_bias.view(key_heads, per_key, rows, 1, own).transpose(1, 2)
    for group, (prefix, first, last) in enumerate(cache.groups):
        if prefix is None and plain and cache.is_causal(reach):
            output[first:last] = torch.nn.functional.scaled_dot_product_attention(
                query[first:last],
                key[first:last].repeat_interleave(per_key, dim=1),
                value[first:last].repeat_interleave(per_key, dim=1),
                is_causal=True,
                scale=scale,
            ).transpose(1, 2)
            continue
        cached = cached_bias = None
        if prefix is not None:
            cached = (prefix.keys[layer].to(exact), prefix.values[layer].to(exact))
            if key_bias is not None:
                positions = torch.arange(prefix.length, device=query.device)
                cached_bias = key_bias(positions).view(key_heads, 1, per_key, 1, -1).to(exact)
        line = heads * ((0 if prefix is None else prefix.length) + own)
        step, block = max(1, limit // (line * width)), max(1, min(width, limit // line))
        for start in range(first, last, step):
            part = slice(start, min(start + step, last))
            for low in range(0, width, block):
                high = min(low + block, width)
                seen = own - width + high  # no token sees what comes after it
                # Key heads first, so that all rows of a prefix are one matrix.
                asking = (query[part, :, low:high].to(exact) * scale).reshape(
                    -1, key_heads, per_key, high - low, head_dim
                )
                within = slice(start - first, part.stop - first)
                mixed = _mix(
                    asking.transpose(0, 1),
                    key[part, :, :seen].transpose(0, 1).to(exact),
                    value[part, :, :seen].transpose(0, 1).to(exact),
                    cache.own_hidden(reach, query.device)[part, :, low:high, :seen],
                    cached,
                    (0, None)
                    if prefix is None
                    else cache.prefix_hidden(group, reach, query.device, within, slice(low, high)),
                    softcap,
                    (None if own_bias is None else own_bias[:, part, ..., :seen], cached_bias),
                    sinks,
                )
                output[part, low:high] = mixed.permute(1, 3, 0, 2, 4).flatten(2, 3)
    return cache.joined(output), None


def _mix(
    asking: Tensor,
    keys: Tensor,
    values: Tensor,
    hidden: Tensor,
    prefix: tuple[Tensor, Tensor] | None,
    outside: tuple[int, Tensor | None],
    softcap: float | None,
    biases: tuple[Tensor | None, Tensor | None],
    sinks: Tensor | None,
) -> Tensor:
    """Attention of rows of one prefix, in float32.

    Args:
        asking: scaled queries, shape (key heads, rows, heads of a key head, width, head dimension).
        keys: of the rows' own tokens, shape (key heads, rows, own tokens, head dimension).
        values: shape (key heads, rows, own tokens, value dimension).
        hidden: own tokens that are not seen, shape (rows, 1, width, own tokens).
        prefix: keys and values of the prefix, shape (key heads, length, dimension).
        outside: first token of the prefix that is seen at all, and which of those from there on are not seen.
        softcap: see ``_attend``.
        biases: of the own tokens and of the prefix, shape (key heads, rows or 1, heads of a key head, 1, tokens).
        sinks: score of the token without a value, shape (key heads, 1, heads of a key head, 1, 1).

    Returns:
        Shape (key heads, rows, heads of a key head, width, value dimension).
    """
    shape = asking.shape[:-1]
    key_heads, rows, per_key, width = shape
    asking = asking.reshape(key_heads, rows, per_key * width, -1)
    scores = _scores(asking, keys, softcap).view(*shape, -1)
    if biases[0] is not None:
        scores += biases[0]
    # The lowest number rather than minus infinity, which would make padding NaN.
    scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    parts = [scores]
    length = 0
    if prefix is not None:
        offset, unseen = outside
        old_keys, old_values = (tensor[:, offset:] for tensor in prefix)
        length = old_keys.shape[1]
        old = _scores(asking.reshape(key_heads, rows * per_key * width, -1), old_keys, softcap).view(*shape, length)
        if biases[1] is not None:
            old += biases[1][..., offset:]
        if unseen is not None:
            old.masked_fill_(unseen, torch.finfo(old.dtype).min)
        parts.insert(0, old)
    if sinks is not None:
        parts.append(sinks.expand(*shape, 1))
    weights = torch.softmax(parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1), -1)
    weights = weights.view(key_heads, rows, per_key * width, -1)
    mixed = weights[..., length : length + keys.shape[2]] @ values
    if prefix is not None:
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
) -> Reach:
    """Refuse what this attention does not compute, because leaving it out would be silently wrong.

    Returns:
        How far back the tokens of the layer see.
    """
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
    config = getattr(module, "config", None)
    layer_types = getattr(config, "layer_types", None)
    kind = layer_types[module.layer_idx] if layer_types else "full_attention"
    if kind == "chunked_attention":
        return Reach(chunk=config.attention_chunk_size)  # type: ignore[union-attr]
    if kind not in ("full_attention", "sliding_attention"):
        raise UnsupportedModel(f"layer {module.layer_idx} is of type {kind!r}")
    if kind == "sliding_attention" and sliding_window is None:
        raise UnsupportedModel(f"{name} has a sliding window that it does not pass on")
    return Reach(window=sliding_window)


AttentionInterface.register(NAME, _attend)
