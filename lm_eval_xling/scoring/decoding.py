"""Greedy generation with continuous batching: rows that end make room for prompts that wait.

Orca (Yu et al. 2022, OSDI) and vLLM decide after every token which rows stay in the batch. Here the tokens come from
transformers' ``generate``, some at a time, so that everything that a model does with its logits stays its own; between
two calls rows that have ended leave the batch, and prompts that wait join it. Each row has the text that it has in a
batch of its own: it ends at its own stop, not at the last one of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lm_eval_xling.scoring.prefix_cache import GrowingCache

__all__ = ["Ending", "generate_continuously"]

_TOKENS_AT_ONCE = 8
"""Tokens of a call of ``generate``: of a row that ends within them, the rest is computed in vain."""
_STARTED_AT_ONCE = 16
"""Prompts that are read in one pass: the fewer, the more alike are their lengths, and the less padding is read."""


class Ending:
    """Where a generated text ends: after the token that ends texts, or that completes a stop string.

    Args:
        tokenizer: decodes tokens.
        stops: strings that end a text; an empty one, which every text has, ends it after its first token.
        end_tokens: ids of tokens that end a text.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str], end_tokens: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        # As many tokens are decoded as in the harness's MultiTokenEOSCriteria, because what they read as depends on it.
        self._stops = [(stop, len(tokenizer.encode(stop, add_special_tokens=False)) + 2) for stop in stops]
        self._end_tokens = frozenset(end_tokens)

    def find(self, tokens: Sequence[int], checked: int) -> int | None:
        """Return how many tokens the text has, its end included; None if it does not end.

        Args:
            tokens: generated so far.
            checked: the first so many do not end it.
        """
        return next((length for length in range(checked + 1, len(tokens) + 1) if self._ends(tokens, length)), None)

    def _ends(self, tokens: Sequence[int], length: int) -> bool:
        """Whether the first so many tokens end the text with their last."""
        if tokens[length - 1] in self._end_tokens:
            return True
        return any(stop in self._tokenizer.decode(tokens[max(0, length - read) : length]) for stop, read in self._stops)


@dataclass(slots=True)
class _Batch:
    """Rows that are being generated from."""

    indices: list[int]
    """Of the prompts."""
    ids: Tensor
    """Prompts and what was generated, padded on the left: (rows, width)."""
    mask: Tensor
    """0 at padding and else 1, same shape."""
    cache: GrowingCache

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all other rows, and put these in the order given."""
        self.indices = [self.indices[row] for row in rows]
        self.ids, self.mask = self.ids[list(rows)], self.mask[list(rows)]
        self.cache.keep(rows)
        self._widen(-int((self.mask == 0).sum(dim=1).min()))

    def join(self, other: _Batch) -> None:
        width = max(self.ids.shape[1], other.ids.shape[1])
        for batch in (self, other):
            batch._widen(width - batch.ids.shape[1])
        self.indices += other.indices
        self.ids, self.mask = torch.cat([self.ids, other.ids]), torch.cat([self.mask, other.mask])
        self.cache.join(other.cache)
        self.gather()

    def gather(self) -> None:
        """Put rows of one prefix beside each other, so that attention reads the prefix once."""
        order = self.cache.by_prefix()
        if order != sorted(order):
            self.keep(order)

    def _widen(self, columns: int) -> None:
        """Put so many columns of padding before all rows, or take so many away."""
        if columns > 0:
            self.ids = torch.cat([self.ids[:, -1:].expand(-1, columns), self.ids], dim=1)
            self.mask = pad(self.mask, (columns, 0))
        elif columns < 0:
            self.ids, self.mask = self.ids[:, -columns:], self.mask[:, -columns:]
        self.cache.shift(columns)


def generate_continuously(
    context: Tensor,
    attention_mask: Tensor,
    *,
    order: Sequence[int],
    most: int,
    rows: int,
    ending: Ending,
    filler: int,
    cache_of: Callable[[Tensor, Tensor], GrowingCache],
    generate: Callable[[Tensor, Tensor, GrowingCache, int], Tensor],
    done: Callable[[], None],
) -> Tensor:
    """Generate from all prompts, so many rows at a time.

    Args:
        context: token ids of the prompts, padded on the left, shape (prompts, width).
        attention_mask: 0 at padding and else 1, same shape.
        order: of the prompts, in which they begin.
        most: tokens generated from each, at least 1.
        rows: prompts in the batch at a time.
        ending: of each text.
        filler: id of the token behind texts that ended before others.
        cache_of: makes the cache of prompts.
        generate: is given ids, mask, cache and a number of tokens, and returns the ids with at most so many more.
        done: is called after each prompt.

    Returns:
        Prompts and texts, padded on the right, shape (prompts, width and longest text).
    """
    waiting = list(order)
    texts: list[list[int]] = [[] for _ in waiting]
    running: _Batch | None = None

    def started(indices: list[int]) -> _Batch:
        ids, mask = context[indices], attention_mask[indices]
        # An empty prompt is read as one token of padding.
        padding = min(int((mask == 0).sum(dim=1).min()), ids.shape[1] - 1)
        ids, mask = ids[:, padding:], mask[:, padding:]
        # Padding is a token that the row has, so that what is made rarer for having occurred is what occurred in it.
        batch = _Batch(indices, torch.where(mask == 0, ids[:, -1:], ids), mask, cache_of(ids, mask))
        batch.gather()
        return batch

    def advance(batch: _Batch, count: int) -> _Batch | None:
        """Generate so many tokens, if no row must end before; return what has not ended."""
        count = min(count, most - max(len(texts[index]) for index in batch.indices))
        width = batch.ids.shape[1]
        batch.ids = generate(batch.ids, batch.mask, batch.cache, count)
        batch.mask = pad(batch.mask, (0, batch.ids.shape[1] - width), value=1)
        left = []
        for row, new in enumerate(batch.ids[:, width:].tolist()):
            index = batch.indices[row]
            checked = len(texts[index])
            texts[index] += new
            length = ending.find(texts[index], checked)
            if length is None and len(texts[index]) < most:
                left.append(row)
                continue
            del texts[index][length if length is not None else most :]
            done()
        if len(left) < len(batch.indices):
            if not left:
                return None
            batch.keep(left)
        return batch

    while waiting or running is not None:
        while waiting and (room := rows - (0 if running is None else len(running.indices))) > 0:
            count = min(room, _STARTED_AT_ONCE)
            admitted, waiting = waiting[:count], waiting[count:]
            # One token, after which they are generated from together with the others.
            new = advance(started(admitted), 1)
            if new is not None and running is not None:
                running.join(new)
            else:
                running = new or running
        if running is not None:
            running = advance(running, _TOKENS_AT_ONCE)
    longest = max(map(len, texts))
    made = torch.tensor([text + [filler] * (longest - len(text)) for text in texts], dtype=context.dtype)
    return torch.cat([context, made.to(context.device)], dim=1)
