"""Attention of a batch over cached prefixes that are shared by its rows and never copied or modified.

Registered with transformers under ``NAME`` (its documented extension point); a model computes with it only inside
``SharedPrefixCache.attending``. The scores over the shared prefix are one matrix product for all rows of the
prefix, as in Hydragen (Juravsky et al. 2024, arXiv 2402.05099, section 3.1), normalised together with the scores
over the row's own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache

__all__ = ["NAME", "CachedPrefix", "SharedPrefixCache", "UnsupportedModel"]

NAME = "xling_shared_prefix"
"""Name of the attention implementation."""

_SCORES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Elements of the score matrix computed at a time: what fits a CPU's cache, and a small part of a GPU's memory."""

_HARMLESS = frozenset({"position_ids", "cache_position", "cu_seq_lens_q", "cu_seq_lens_k"})
"""Tensors that models pass to any attention function and that do not change what it computes."""


class UnsupportedModel(Exception):
    """The model computes attention in a way that cannot be divided at a cached prefix; the text says which."""


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """Keys and values of the first tokens of several sequences."""

    keys: tuple[Tensor, ...]
    """One a layer, of shape (key heads, length, head dimension), after the positional rotation."""
    values: tuple[Tensor, ...]
    """One a layer, of shape (key heads, length, value dimension)."""

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.keys[0].shape[1]


class SharedPrefixCache(Cache):  # type: ignore[misc]  # transformers is not typed
    """What the attention of one forward pass needs to know: the prefixes and who sees whom.

    Args:
        groups: cached prefix (or None), first row, row after the last; together they cover all rows in order.
        positions: position of every token in its sequence, shape (rows, width).
        ends: token ``j`` of a row is seen by the tokens from ``j`` up to, not including, ``ends[j]``; same shape.
        keeping: whether to collect the keys and values of the rows.
    """

    def __init__(
        self,
        groups: Sequence[tuple[CachedPrefix | None, int, int]],
        positions: Tensor,
        ends: Tensor,
        keeping: bool = False,
    ) -> None:
        super().__init__(layers=[])
        self.groups = groups
        self.positions = positions
        self.ends = ends
        self.keeping = keeping
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self.attended: set[int] = set()
        self._own_hidden: dict[tuple[int | None, torch.device], Tensor] = {}
        self._prefix_hidden: dict[tuple[int, int | None, torch.device], tuple[int, Tensor | None]] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take the keys and values of a layer, shape (rows, key heads, width, head dimension), and return them."""
        if layer_idx in self.kept:
            raise UnsupportedModel(f"layer {layer_idx} fills the cache twice in one pass")
        self.kept[layer_idx] = (key_states, value_states) if self.keeping else _NOTHING
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Length before this pass, which models ask for where they get no positions; they always get them here."""
        return 0

    def own_hidden(self, window: int | None, device: torch.device) -> Tensor:
        """Which tokens of its own row a token does not see: bool, shape (rows, 1, width, width)."""
        key = (window, device)
        if key not in self._own_hidden:
            index = torch.arange(self.positions.shape[1], device=device)
            ends, positions = self.ends.to(device), self.positions.to(device)
            seen = (index[None, :, None] >= index) & (index[None, :, None] < ends[:, None, :])
            if window is not None:
                seen &= positions[:, :, None] - positions[:, None, :] < window
            self._own_hidden[key] = ~seen[:, None]
        return self._own_hidden[key]

    def prefix_hidden(self, group: int, window: int | None, device: torch.device) -> tuple[int, Tensor | None]:
        """Which tokens of its prefix a token does not see.

        Returns:
            The first position of the prefix that any token of the group sees, and from there on a bool tensor of
            shape (rows of the group, 1, width, rest of the prefix), or None where all is seen.
        """
        key = (group, window, device)
        if key not in self._prefix_hidden:
            self._prefix_hidden[key] = self._window_on_prefix(group, window, device)
        return self._prefix_hidden[key]

    def _window_on_prefix(self, group: int, window: int | None, device: torch.device) -> tuple[int, Tensor | None]:
        prefix, start, stop = self.groups[group]
        assert prefix is not None
        positions = self.positions[start:stop].to(device)
        if window is None or int(positions.max()) < window:
            return 0, None
        first = max(0, int(positions.min()) - window + 1)
        seen = torch.arange(first, prefix.length, device=device)
        return first, (positions[:, None, :, None] - seen >= window)

    def row(self, index: int, length: int, parent: CachedPrefix | None) -> CachedPrefix:
        """The parent prefix and the first tokens of a row, after a pass with ``keeping``."""
        layers = []
        for number in range(len(self.kept)):
            own = [tensor[index, :, :length] for tensor in self.kept[number]]
            # A copy in any case: a view would keep the whole batch in memory.
            before = (None, None) if parent is None else (parent.keys[number], parent.values[number])
            layers.append(
                [o.clone() if b is None else torch.cat([b, o], dim=1) for b, o in zip(before, own, strict=True)]
            )
        return CachedPrefix(tuple(keys for keys, _ in layers), tuple(values for _, values in layers))

    def check_complete(self) -> None:
        """Raise unless the layers that filled the cache, and only those, computed their attention from it.

        Raises:
            UnsupportedModel: if the model has layers of another kind, or attention outside the interface.
        """
        if not self.attended or self.attended != set(self.kept) or self.attended != set(range(len(self.kept))):
            raise UnsupportedModel(
                f"{len(self.kept)} layers fill the cache, and {len(self.attended)} compute their attention from it"
            )

    @contextmanager
    def attending(self, model: torch.nn.Module) -> Iterator[None]:
        """Let a model compute its attention through this cache."""
        configs = {
            id(module.config): module.config for module in model.modules() if isinstance(module, PreTrainedModel)
        }
        before = {number: config._attn_implementation for number, config in configs.items()}
        token = _ACTIVE.set(self)
        try:
            for config in configs.values():
                config._attn_implementation = NAME
            yield
        finally:
            for number, config in configs.items():
                config._attn_implementation = before[number]
            _ACTIVE.reset(token)


_NOTHING = (torch.empty(0), torch.empty(0))
_ACTIVE: ContextVar[SharedPrefixCache] = ContextVar("shared prefix cache of the forward pass")


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
        key: shape (rows, key heads, width, head dimension).
        value: shape (rows, key heads, width, value dimension).
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
    key_heads, per_key = key.shape[1], heads // key.shape[1]
    scale = head_dim**-0.5 if scaling is None else scaling
    output = query.new_empty(rows, width, heads, value.shape[-1])
    hidden = cache.own_hidden(sliding_window, query.device)
    # Key heads first, so that all rows of a prefix are one matrix.
    queries = (query * scale).reshape(rows, key_heads, per_key * width, head_dim).transpose(0, 1)
    keys, values = key.transpose(0, 1), value.transpose(0, 1)
    limit = _SCORES_AT_ONCE.get(query.device.type, 1 << 22)
    for group, (prefix, first, last) in enumerate(cache.groups):
        length = 0 if prefix is None else prefix.length
        step = max(1, limit // (heads * width * (length + width)))
        for start in range(first, last, step):
            part = slice(start, min(start + step, last))
            count = part.stop - part.start
            mine = queries[:, part]
            scores = mine @ keys[:, part].transpose(2, 3)
            if softcap is not None:
                scores = softcap * torch.tanh(scores / softcap)
            shape = (key_heads, count, per_key, width, width)
            # The lowest number rather than minus infinity, which would make padding NaN.
            scores.view(shape).masked_fill_(hidden[part], torch.finfo(scores.dtype).min)
            if prefix is None:
                mixed = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype) @ values[:, part]
            else:
                offset, outside = cache.prefix_hidden(group, sliding_window, query.device)
                old_keys = prefix.keys[layer][:, offset:]
                old_values = prefix.values[layer][:, offset:]
                flat = mine.reshape(key_heads, count * per_key * width, head_dim)
                old = flat @ old_keys.transpose(1, 2)
                if softcap is not None:
                    old = softcap * torch.tanh(old / softcap)
                seen = old.shape[-1]
                if outside is not None:
                    old.view(key_heads, count, per_key, width, seen).masked_fill_(
                        outside[start - first : part.stop - first], torch.finfo(old.dtype).min
                    )
                both = torch.cat([old.view(key_heads, count, per_key * width, seen), scores], dim=-1)
                weights = torch.softmax(both, -1, dtype=torch.float32).to(value.dtype)
                mixed = weights[..., seen:] @ values[:, part]
                on_prefix = weights.view(key_heads, count * per_key * width, -1)[..., :seen]
                mixed += (on_prefix @ old_values).view_as(mixed)
            # (key heads, rows, heads of a key head, width, dimension) to (rows, width, heads, dimension)
            output[part] = mixed.view(key_heads, count, per_key, width, -1).permute(1, 3, 0, 2, 4).flatten(2, 3)
    return output, None


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
