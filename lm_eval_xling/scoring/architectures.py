"""Architectures whose attention does not go through transformers' interface, or only in part.

XGLM, BLOOM and Falcon compute attention in the layer itself. Here the layer's own projections are used, and what stands
between them is replaced. BLOOM and some Falcon models add ALiBi (Press et al. 2022, arXiv 2108.12409): a slope of the
head times the key's position, which the models take from the start of the sequence, because a constant in all scores of
a query changes nothing. The rounding of these biases in half precision is the models' own and is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.scoring.prefix_cache import SharedPrefixCache, TreeCache, UnsupportedModel

__all__ = ["own_attention", "position_scale"]

Attend = Callable[..., tuple[Tensor, None]]
"""An attention function as transformers' interface has it."""


@contextmanager
def own_attention(model: torch.nn.Module, attend: Attend) -> Iterator[None]:
    """Let layers outside the interface compute their attention by a function, too.

    Args:
        model: any model; one without such layers stays as it is.
        attend: takes ``key_bias`` beside the interface's arguments.
    """
    replaced: list[tuple[torch.nn.Module, Any]] = []
    try:
        for module in model.modules():
            forward = next(
                (_FORWARD[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in _FORWARD), None
            )
            if forward is not None:
                replaced.append((module, module.__dict__.get("forward")))
                module.forward = partial(forward, module, attend)
        yield
    finally:
        for module, before in replaced:
            del module.forward
            if before is not None:
                module.forward = before


def position_scale(module: Any, query: Tensor, cache: SharedPrefixCache) -> Tensor:
    """Return the query scaled by the positions of its tokens, where the layer took their columns for them.

    Layers of Llama 4 without rotary embedding do so (temperature tuning, Nakanishi 2025, arXiv 2501.19399).

    Args:
        module: the attention layer.
        query: shape (1, heads, tokens, head dimension).
        cache: of the pass. In generation columns count in ``hf``, too.
    """
    tuned = getattr(module, "attn_temperature_tuning", False) and not getattr(module, "use_rope", True)
    if not tuned or not isinstance(cache, TreeCache):
        return query

    def scale(positions: Tensor) -> Tensor:
        steps = torch.floor((positions.float() + 1.0) / module.floor_scale)
        scales: Tensor = torch.log1p(steps) * module.attn_scale + 1.0
        return scales

    columns = torch.arange(query.shape[2], device=query.device)
    factor = scale(cache.line.to(query.device)) / scale(columns)
    return (query * factor[:, None, :, None]).to(query.dtype)


def _xglm(
    module: Any,
    attend: Attend,
    hidden_states: Tensor,
    key_value_states: Tensor | None = None,
    past_key_values: Any = None,
    attention_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if key_value_states is not None:
        raise UnsupportedModel("XGLM with an encoder")
    query, key, value = (
        projection(hidden_states).unflatten(-1, (module.num_heads, module.head_dim)).transpose(1, 2)
        for projection in (module.q_proj, module.k_proj, module.v_proj)
    )
    key, value = past_key_values.update(key, value, module.layer_idx)
    mixed, _ = attend(module, query, key, value, attention_mask, scaling=module.scaling)
    return module.out_proj(mixed.flatten(2)), None


def _bloom(
    module: Any,
    attend: Attend,
    hidden_states: Tensor,
    residual: Tensor,
    alibi: Tensor,
    attention_mask: Tensor | None,
    layer_past: Any = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    query, key, value = module._reshape(module.query_key_value(hidden_states))
    key, value = layer_past.update(key, value, module.layer_idx)

    def bias(positions: Tensor) -> Tensor:
        # As the model: the product is rounded to its type, and the slopes are not.
        return _scaled(_slopes(module.num_heads, positions.device), positions).to(hidden_states.dtype)

    mixed, _ = attend(module, query, key, value, attention_mask, scaling=module.inv_norm_factor, key_bias=bias)
    return residual + module.dense(mixed.flatten(2)), None


def _falcon(
    module: Any,
    attend: Attend,
    hidden_states: Tensor,
    alibi: Tensor | None,
    attention_mask: Tensor | None,
    position_ids: Tensor | None = None,
    layer_past: Any = None,
    position_embeddings: tuple[Tensor, Tensor] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

    query, key, value = (part.transpose(1, 2) for part in module._split_heads(module.query_key_value(hidden_states)))
    bias = None
    if alibi is None:
        assert position_embeddings is not None
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
    else:

        def bias(positions: Tensor) -> Tensor:
            # As the model: slopes and positions are rounded to bfloat16 whatever its own type is.
            slopes = _slopes(module.num_heads, positions.device).bfloat16()
            return _scaled(slopes, positions).to(hidden_states.dtype) / math.sqrt(module.head_dim)

    key, value = layer_past.update(key, value, module.layer_idx)
    mixed, _ = attend(module, query, key, value, attention_mask, scaling=module.inv_norm_factor, key_bias=bias)
    return module.dense(mixed.flatten(2)), None


def _slopes(heads: int, device: torch.device) -> Tensor:
    """ALiBi's slope of each head, shape (heads,), computed as the models do."""
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    # The bias at position 1 is the slope.
    biases: Tensor = build_alibi_tensor(torch.ones(1, 2, device=device, dtype=torch.long), heads, torch.float32)
    return biases[:, 0, 1]


def _scaled(slopes: Tensor, positions: Tensor) -> Tensor:
    # Padding of a generation has negative positions and is never seen.
    return slopes.view(-1, *[1] * positions.dim()) * positions.clamp(min=0)


_FORWARD: dict[str, Callable[..., tuple[Tensor, None]]] = {
    "XGLMAttention": _xglm,
    "BloomAttention": _bloom,
    "FalconAttention": _falcon,
}
"""By the name of the layer's class, so that looking for them imports no architecture."""
