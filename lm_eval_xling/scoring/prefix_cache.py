"""Caches of keys and values behind prefixes that the rows of a batch share: never copied, never modified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

__all__ = ["CachedPrefix", "GrowingCache", "Reach", "SharedPrefixCache", "TreeCache", "UnsupportedModel"]


class UnsupportedModel(Exception):
    """The model computes attention in a way that cannot be divided at a cached prefix; the text says which."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a token of a layer sees."""

    window: int | None = None
    """The last so many positions, its own included; None: all."""
    chunk: int | None = None
    """Sequences are divided into parts of so many positions, and a token sees its own part; None: all."""

    def covers(self, length: int) -> bool:
        """Whether every token of a sequence of so many tokens sees all before it."""
        return all(limit is None or length <= limit for limit in (self.window, self.chunk))

    def first(self, positions: Tensor) -> Tensor:
        """The first position that tokens at the given positions see, of the same shape."""
        seen = torch.zeros_like(positions)
        if self.window is not None:
            seen = torch.maximum(seen, positions - self.window + 1)
        if self.chunk is not None:
            seen = torch.maximum(seen, positions - positions % self.chunk)
        return seen


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
    """What the attention of a forward pass needs to know: the prefixes, and who sees whom among the rows' own tokens.

    Args:
        groups: cached prefix (or None), first row, row after the last; together they cover all rows in order.
        positions: position in its sequence of every token of the pass, shape (rows, width).
    """

    def __init__(self, groups: Sequence[tuple[CachedPrefix | None, int, int]], positions: Tensor) -> None:
        super().__init__(layers=[])
        self.groups = groups
        self.positions = positions
        self.attended: set[int] = set()
        self._own_hidden: dict[tuple[Reach, torch.device], Tensor] = {}
        self._prefix_hidden: dict[tuple[int, Reach, torch.device], tuple[int, Tensor | None]] = {}

    def next_pass(self, positions: Tensor) -> None:
        """Forget the masks of the pass before."""
        self.positions = positions
        self._own_hidden.clear()
        self._prefix_hidden.clear()

    def apart(self, states: Tensor) -> Tensor:
        """Queries, keys or values as the model computed them, divided into rows: (rows, heads, width, dimension)."""
        return states

    def joined(self, output: Tensor) -> Tensor:
        """What attention made of the rows, (rows, width, heads, dimension), as the model expects it."""
        return output

    def _own_seen(self, reach: Reach, device: torch.device) -> Tensor:
        """Which of its row's own tokens a token sees: bool, shape (rows, width of the pass, own tokens)."""
        raise NotImplementedError

    def own_positions(self, device: torch.device) -> Tensor:
        """Position in its sequence of each of a row's own tokens, shape (rows, own tokens)."""
        raise NotImplementedError

    def own_hidden(self, reach: Reach, device: torch.device) -> Tensor:
        """Which of its row's own tokens a token does not see: bool, shape (rows, 1, width of the pass, own tokens)."""
        key = (reach, device)
        if key not in self._own_hidden:
            self._own_hidden[key] = ~self._own_seen(reach, device)[:, None]
        return self._own_hidden[key]

    def is_causal(self, reach: Reach) -> bool:
        """Whether every token sees just the tokens before it and itself, padding on the right aside."""
        return False

    def prefix_hidden(
        self, group: int, reach: Reach, device: torch.device, rows: slice, columns: slice
    ) -> tuple[int, Tensor | None]:
        """Which tokens of its prefix a token does not see.

        Args:
            group: index into ``groups``.
            reach: of the layer.
            device: of the result.
            rows: which rows of the group.
            columns: which tokens of the pass.

        Returns:
            The first position of the prefix that any token of the group sees, and from there on a bool tensor of
            shape (rows, 1, columns, rest of the prefix), or None where all is seen.
        """
        key = (group, reach, device)
        if key not in self._prefix_hidden:
            self._prefix_hidden[key] = self._reach_on_prefix(group, reach, device)
        first, hidden = self._prefix_hidden[key]
        return first, None if hidden is None else hidden[rows, :, columns]

    def _reach_on_prefix(self, group: int, reach: Reach, device: torch.device) -> tuple[int, Tensor | None]:
        prefix, start, stop = self.groups[group]
        assert prefix is not None
        positions = self.positions[start:stop].to(device)
        if reach.covers(int(positions.max()) + 1):
            return 0, None
        lowest = reach.first(positions)
        # A long generation leaves the whole prefix behind its window.
        first = min(max(0, int(lowest.min())), prefix.length)
        return first, torch.arange(first, prefix.length, device=device) < lowest[:, None, :, None]


class TreeCache(SharedPrefixCache):
    """Of one forward pass whose rows are trees of tokens, which the model reads as one line.

    Args:
        groups: see ``SharedPrefixCache``.
        positions: of each row, the positions of its tokens in their sequences.
        ends: of each row, token ``j`` is seen by the tokens from ``j`` up to, not including, ``ends[j]``.
        keeping: whether to collect the keys and values of the rows.
        layer_done: is called with the number of each layer that fills the cache.
    """

    def __init__(
        self,
        groups: Sequence[tuple[CachedPrefix | None, int, int]],
        positions: Sequence[Sequence[int]],
        ends: Sequence[Sequence[int]],
        keeping: bool = False,
        layer_done: Callable[[int], None] = lambda layer: None,
    ) -> None:
        lengths = [len(row) for row in positions]
        width = max(lengths)
        # Padding is seen by itself alone, and repeats a position that the model has.
        padded = [[*row, *[row[-1]] * (width - len(row))] for row in positions]
        super().__init__(groups, torch.tensor(padded))
        self.ends = torch.tensor([[*row, *range(len(row) + 1, width + 1)] for row in ends])
        self.chains = all(min(row) == len(row) for row in ends)
        self.line = torch.tensor([[position for row in positions for position in row]])
        self.starts = [0, *accumulate(lengths)]
        self.keeping = keeping
        self.layer_done = layer_done
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._places: Tensor | None = None
        self._tokens: Tensor | None = None
        if min(lengths) < width:
            within = torch.arange(width)
            real = within < torch.tensor(lengths)[:, None]
            self._places = (torch.tensor(self.starts[:-1])[:, None] + within * real).flatten()
            self._tokens = real.flatten().nonzero()[:, 0]

    def apart(self, states: Tensor) -> Tensor:
        """Divide a line of shape (1, heads, tokens, dimension) into padded rows."""
        line = states[0].transpose(0, 1)
        if self._places is not None:
            self._places = self._places.to(states.device)
            line = line.index_select(0, self._places)
        return line.view(*self.positions.shape, *line.shape[1:]).transpose(1, 2)

    def joined(self, output: Tensor) -> Tensor:
        """Put padded rows into a line of shape (1, tokens, heads, dimension)."""
        line = output.flatten(0, 1)
        if self._tokens is not None:
            self._tokens = self._tokens.to(output.device)
            line = line.index_select(0, self._tokens)
        return line[None]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take the keys and values of a layer, shape (1, key heads, tokens, head dimension), and return them."""
        if layer_idx in self.kept:
            raise UnsupportedModel(f"layer {layer_idx} fills the cache twice in one pass")
        self.kept[layer_idx] = (key_states, value_states) if self.keeping else _NOTHING
        self.layer_done(layer_idx)
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Length before this pass, which models ask for where they get no positions; they always get them here."""
        return 0

    def is_causal(self, reach: Reach) -> bool:
        """Whether every token sees just the tokens before it and itself, padding on the right aside."""
        return self.chains and reach.covers(int(self.positions.max()) + 1)

    def own_positions(self, device: torch.device) -> Tensor:
        """Position of each of a row's own tokens."""
        return self.positions.to(device)

    def _own_seen(self, reach: Reach, device: torch.device) -> Tensor:
        index = torch.arange(self.positions.shape[1], device=device)
        # 32 bits: the differences of positions of a long row are a large matrix.
        ends, positions = self.ends.to(device), self.positions.to(device, torch.int32)
        seen = (index[None, :, None] >= index) & (index[None, :, None] < ends[:, None, :])
        if not reach.covers(int(positions.max()) + 1):
            seen &= positions[:, None, :] >= reach.first(positions)[:, :, None]
        return seen

    def row(self, index: int, parent: CachedPrefix | None) -> CachedPrefix:
        """The parent prefix and the tokens of a row, after a pass with ``keeping``."""
        layers = []
        for number in range(len(self.kept)):
            own = [tensor[0, :, self.starts[index] : self.starts[index + 1]] for tensor in self.kept[number]]
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


class GrowingCache(SharedPrefixCache):
    """Of a generation: rows padded on the left, their own keys and values growing with every token.

    Args:
        prefixes: of each row; None: it continues none.
        padding: number of padding tokens on the left of each row, shape (rows,).
        own: column of the first token of each row that is not in its prefix, shape (rows,).
        width: of the prompts; at least their last column is computed, also where it is padding.
    """

    def __init__(self, prefixes: Sequence[CachedPrefix | None], padding: Tensor, own: Tensor, width: int) -> None:
        super().__init__(_groups(prefixes), torch.empty(0))
        self.prefixes = list(prefixes)
        self.padding = padding
        self.own = own
        self.first = min(int(own.min()), width - 1)
        """First column that the model computes; before it, all rows have padding or cached tokens."""
        self.filled = self.first
        self.keys: dict[int, _Columns] = {}
        self.values: dict[int, _Columns] = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the keys and values of a pass to a layer's own ones, and return all of them."""
        keys, values = (kept.setdefault(layer_idx, _Columns()) for kept in (self.keys, self.values))
        states = keys.append(key_states), values.append(value_states)
        filled = self.first + keys.used
        if filled != self.filled:
            columns = torch.arange(self.filled, filled, device=self.padding.device)
            self.next_pass(columns - self.padding[:, None])
            self.filled = filled
        return states

    def shift(self, columns: int) -> None:
        """Put so many columns of padding before all rows, or take so many away."""
        self.padding = self.padding + columns
        self.own = self.own + columns
        self.first += columns
        self.filled += columns

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows, order these so, and forget the columns in which they have nothing of their own."""
        self.prefixes = [self.prefixes[row] for row in rows]
        self.groups = _groups(self.prefixes)
        index = torch.tensor(rows, device=self.padding.device)
        self.padding, self.own = self.padding[index], self.own[index]
        first = int(self.own.min())
        for kept in (*self.keys.values(), *self.values.values()):
            kept.keep(index, first - self.first)
        self.first = first

    def join(self, other: GrowingCache) -> None:
        """Append the rows of another cache that is filled up to the same column."""
        assert self.filled == other.filled
        self.prefixes += other.prefixes
        self.groups = _groups(self.prefixes)
        self.padding, self.own = torch.cat([self.padding, other.padding]), torch.cat([self.own, other.own])
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            for layer, kept in mine.items():
                kept.join(theirs[layer])
        self.first = min(self.first, other.first)

    def by_prefix(self) -> list[int]:
        """The rows, those of one prefix beside each other."""
        first: dict[int, int] = {}
        for row, prefix in enumerate(self.prefixes):
            first.setdefault(id(prefix), row)
        return sorted(range(len(self.prefixes)), key=lambda row: first[id(self.prefixes[row])])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns that are padding, cached or computed."""
        return self.filled

    def _own_seen(self, reach: Reach, device: torch.device) -> Tensor:
        columns = torch.arange(self.first, self.filled, device=device)
        asking = columns[-self.positions.shape[1] :]
        seen = (asking[:, None] >= columns) & (columns >= self.own.to(device)[:, None, None])
        positions = self.own_positions(device)
        if not reach.covers(int(positions.max()) + 1):
            seen &= positions[:, None, :] >= reach.first(positions[:, -len(asking) :])[:, :, None]
        return seen

    def own_positions(self, device: torch.device) -> Tensor:
        """Position in its sequence of each of a row's own tokens, negative for padding."""
        return torch.arange(self.first, self.filled, device=device) - self.padding.to(device)[:, None]


class _Columns:
    """Keys or values of a layer by column, with room for more: (key heads, rows, columns, dimension)."""

    def __init__(self) -> None:
        self._kept = torch.empty(0)
        self.used = 0

    def append(self, states: Tensor) -> Tensor:
        """Take those of a pass, shape (rows, key heads, columns, dimension), and return all in that order."""
        new = states.transpose(0, 1)
        used = self.used + new.shape[2]
        if not self.used:
            self._kept = new.new_empty(*new.shape[:2], used + _ROOM, new.shape[3])
        elif used > self._kept.shape[2]:
            self._kept = torch.nn.functional.pad(self._kept[:, :, : self.used], (0, 0, 0, new.shape[2] + _ROOM))
        self._kept[:, :, self.used : used] = new
        self.used = used
        return self._kept[:, :, :used].transpose(0, 1)

    def keep(self, rows: Tensor, dropped: int) -> None:
        """Forget all other rows, and so many columns from the left."""
        self._kept = self._kept[:, rows.to(self._kept.device), dropped:]
        self.used -= dropped

    def join(self, other: _Columns) -> None:
        """Append the rows of another; both end at the same column."""
        used = max(self.used, other.used)
        self._kept = torch.cat(
            [
                # Zeros: what is not seen has the weight 0, which makes a number only of numbers.
                torch.nn.functional.pad(part._kept[:, :, : part.used], (0, 0, used - part.used, _ROOM))
                for part in (self, other)
            ],
            dim=1,
        )
        self.used = used


_ROOM = 64
"""Columns for which there is room in advance, so that not every token copies all before it."""


def _groups(prefixes: Sequence[CachedPrefix | None]) -> list[tuple[CachedPrefix | None, int, int]]:
    """Neighbouring rows of one prefix, with the first of them and the one after the last."""
    groups: list[tuple[CachedPrefix | None, int, int]] = []
    for row, prefix in enumerate(prefixes):
        if groups and groups[-1][0] is prefix:
            groups[-1] = (prefix, groups[-1][1], row + 1)
        else:
            groups.append((prefix, row, row + 1))
    return groups


_NOTHING = (torch.empty(0), torch.empty(0))
