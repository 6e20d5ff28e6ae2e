"""Attention of a packed row, text by text.

transformers keeps packed texts apart by a mask over the whole row, so that the scores of all pairs of its tokens are
computed and most are thrown away. On a CPU that costs more than padding saves. Here each text is a causal attention
of its own, without a mask. Registered with transformers under ``NAME`` (its documented extension point).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.attention_switch import attention_configs, attention_implementation

__all__ = ["NAME", "by_text", "set_texts"]

NAME = "xling_by_text"
"""Name of the attention implementation."""

_BORDERS: ContextVar[list[int]] = ContextVar("where the texts of the packed row begin, and its end")


@contextmanager
def by_text(model: PreTrainedModel, device: torch.device) -> Iterator[bool]:
    """Let a model attend text by text inside the block, where that is possible and pays.

    Args:
        model: a model that may not be on its device yet.
        device: where it computes inside the block.

    Yields:
        Whether it does: on a CPU, for architectures whose attention is transformers' own ``sdpa``. If so, ``set_texts``
        comes before every forward pass.
    """
    configs = attention_configs(model)
    possible = (
        device.type == "cpu"
        and getattr(model, "_supports_attention_backend", False)
        and all(config._attn_implementation == "sdpa" for config in configs)
        and {kind for config in configs for kind in getattr(config, "layer_types", None) or ()}
        <= {"full_attention", "sliding_attention"}
    )
    with attention_implementation(model, NAME) if possible else nullcontext():
        yield possible


def set_texts(position_ids: Tensor) -> None:
    """Say where the texts of the next row lie. They stay until the next call: checkpointed layers run twice.

    Args:
        position_ids: ``(1, n)``, 0 at the first token of each text.
    """
    _BORDERS.set([*(position_ids[0] == 0).nonzero()[:, 0].tolist(), position_ids.shape[1]])


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each text of a row.

    Args:
        module: the attention layer.
        query: ``(1, heads, n, head dimension)``.
        key: ``(1, key heads, n, head dimension)``.
        value: as ``key``.
        attention_mask: None, because transformers makes no mask for an implementation that it does not know.
        dropout: probability.
        scaling: factor of the scores; 1 / sqrt(head dimension) if None.
        sliding_window: a token sees the last so many positions, its own included; None: all.

    Returns:
        The output ``(1, n, heads, head dimension)``, and None for the weights.

    Raises:
        UserError: if a layer has a sliding window and does not say how long it is; such a model is not packed.
    """
    kinds = getattr(module.config, "layer_types", None)
    if kinds and kinds[module.layer_idx] == "sliding_attention" and sliding_window is None:
        raise UserError(
            f"{type(module).__name__} has a sliding window that it does not pass on", fix="set batching=padded"
        )
    repeats = query.shape[1] // key.shape[1]
    # A view where there is one key head, as in small Gemmas; the backward pass keeps what stands here.
    key, value = (part[:, :, None].expand(-1, -1, repeats, -1, -1).flatten(1, 2) for part in (key, value))
    texts = []
    for start, end in pairwise(_BORDERS.get()):
        part = (slice(None), slice(None), slice(start, end))
        window = None
        if sliding_window is not None and end - start > sliding_window:
            distance = torch.arange(end - start)[:, None] - torch.arange(end - start)
            window = (distance >= 0) & (distance < sliding_window)
        texts.append(
            functional.scaled_dot_product_attention(
                query[part],
                key[part],
                value[part],
                attn_mask=window,
                dropout_p=dropout,
                is_causal=window is None,
                scale=scaling,
            )
        )
    return torch.cat(texts, dim=2).transpose(1, 2), None


AttentionInterface.register(NAME, _attend)
