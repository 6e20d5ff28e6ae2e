"""Cached prefixes of prompts: which prompts share which, and the caches of a batch that continues them.

The decoding itself stays transformers' ``generate``, called by the harness's own code; only the cache that it
continues, and the attention over it, are ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm_eval_xling.scoring.execution import Executor
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.prefix_cache import CachedPrefix, GrowingCache
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["PromptPlan", "PromptPrefixes", "plan_prompts"]


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """Which prompts continue which prefix."""

    prefixes: tuple[NDArray[np.uint32], ...]
    """Token ids of each prefix, from the start of the prompt."""
    prefix_of: tuple[int | None, ...]
    """For each prompt the index of its prefix, which is shorter than the prompt; None: nothing worth caching."""


def plan_prompts(prompts: Sequence[Sequence[int]], saving: int = 64) -> PromptPlan:
    """Find the prefixes that prompts share.

    Args:
        prompts: token ids, each of at least one token.
        saving: a prefix is worth caching if that saves at least so many tokens.
    """
    # Every prompt is a row of its own, because it will grow.
    costs = Costs(budget=1 << 40, saving=saving, row=0, overhang=-1.0)
    plan = make_plan([ScoredSequence(prompt, [0]) for prompt in prompts], costs)
    prefixes: list[NDArray[np.uint32]] = []
    for prefix in plan.prefixes:
        own = np.asarray(prefix.row.tokens, np.uint32)
        prefixes.append(own if prefix.parent is None else np.concatenate([prefixes[prefix.parent], own]))
    prefix_of: list[int | None] = [None] * len(prompts)
    for batch in plan.batches:
        for row in batch.rows:
            for target in row.scored:
                prefix_of[target.sequence] = row.prefix
    return PromptPlan(tuple(prefixes), tuple(prefix_of))


class PromptPrefixes:
    """The cached prefixes of the prompts that are being generated from.

    Args:
        executor: computes them.
        prefixes: token ids of each.
        most_tokens: prefixes of about so many tokens stay cached, those used last.
    """

    def __init__(self, executor: Executor, prefixes: Sequence[NDArray[np.uint32]], most_tokens: int) -> None:
        self._executor = executor
        self._prefixes = list(prefixes)
        self._by_length: dict[int, dict[bytes, int]] = {}
        for index, prefix in sorted(enumerate(prefixes), key=lambda pair: -len(pair[1])):
            self._by_length.setdefault(len(prefix), {})[prefix.tobytes()] = index
        self._most_tokens = most_tokens
        self._cached: OrderedDict[int, CachedPrefix] = OrderedDict()

    def continued(self, context: Tensor, attention_mask: Tensor) -> bool:
        """Whether any of a batch of prompts, as ``cache`` takes them, continues a prefix."""
        return any(index is not None for index in self._found(context, attention_mask))

    def cache(self, context: Tensor, attention_mask: Tensor) -> GrowingCache:
        """Return a new cache for a batch of prompts.

        Args:
            context: token ids, padded on the left, shape (rows, width).
            attention_mask: 1 at tokens and 0 at padding, same shape.
        """
        found = self._found(context, attention_mask)
        padding = (attention_mask == 0).sum(dim=1)
        lengths = torch.tensor([0 if index is None else len(self._prefixes[index]) for index in found])
        prefixes = [None if index is None else self._computed(index) for index in found]
        return GrowingCache(prefixes, padding, padding + lengths.to(padding.device), context.shape[1])

    def in_order(self, context: Tensor, attention_mask: Tensor) -> list[int]:
        """Return the indices of a batch of prompts, as ``cache`` takes them, those of one prefix after each other."""
        found = [-1 if index is None else index for index in self._found(context, attention_mask)]
        return sorted(range(len(found)), key=found.__getitem__)

    def _found(self, context: Tensor, attention_mask: Tensor) -> list[int | None]:
        padding = (attention_mask == 0).sum(dim=1)
        return [self._longest(row[pad:]) for row, pad in zip(context.tolist(), padding.tolist(), strict=True)]

    def _longest(self, prompt: list[int]) -> int | None:
        tokens = np.asarray(prompt, np.uint32)
        for length, prefixes in self._by_length.items():
            if length < len(tokens) and (index := prefixes.get(tokens[:length].tobytes())) is not None:
                return index
        return None

    def _computed(self, index: int) -> CachedPrefix:
        if index not in self._cached:
            while self._cached and self._size() + len(self._prefixes[index]) > self._most_tokens:
                # A batch that still uses it holds it itself.
                self._cached.popitem(last=False)
            self._cached[index] = self._executor.prefix(self._prefixes[index].tolist())
        self._cached.move_to_end(index)
        return self._cached[index]

    def _size(self) -> int:
        return sum(prefix.length for prefix in self._cached.values())
