"""Generation on top of cached prefixes: which prompts share which prefix, and the caches of one batch.

The decoding itself stays transformers' ``generate``, called by the harness's own code; only the cache that it
continues, and the attention over it, are ours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm_eval_xling.scoring.execution import Executor, is_out_of_memory
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.prefix_attention import attending
from lm_eval_xling.scoring.prefix_cache import CachedPrefix, GrowingCache, UnsupportedModel
from lm_eval_xling.scoring.support import TOLERANCE
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["PromptPlan", "PromptPrefixes", "has_own_cache", "plan_prompts", "reason_against_generation"]

_OWN_CACHE = ("cache_implementation", "assistant_model", "prompt_lookup_num_tokens", "prefill_chunk_size")
"""Options of ``generate`` that bring or need a cache of their own."""


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
        self._prefixes = sorted(prefixes, key=len, reverse=True)
        self._most_tokens = most_tokens
        self._cached: OrderedDict[int, CachedPrefix] = OrderedDict()

    def cache(self, context: Tensor, attention_mask: Tensor) -> GrowingCache | None:
        """Return a new cache for a batch of prompts, or None where no prompt continues a prefix.

        Args:
            context: token ids, padded on the left, shape (rows, width).
            attention_mask: 1 at tokens and 0 at padding, same shape.
        """
        padding = (attention_mask == 0).sum(dim=1)
        found = [self._longest(row[pad:]) for row, pad in zip(context.tolist(), padding.tolist(), strict=True)]
        if all(index is None for index in found):
            return None
        lengths = torch.tensor([0 if index is None else len(self._prefixes[index]) for index in found])
        return GrowingCache(self._groups(found), padding, padding + lengths.to(padding.device))

    def _longest(self, prompt: list[int]) -> int | None:
        tokens = np.asarray(prompt, np.uint32)
        for index, prefix in enumerate(self._prefixes):
            if len(prefix) < len(tokens) and np.array_equal(tokens[: len(prefix)], prefix):
                return index
        return None

    def _groups(self, found: list[int | None]) -> list[tuple[CachedPrefix | None, int, int]]:
        groups: list[tuple[CachedPrefix | None, int, int]] = []
        start = 0
        for stop in range(1, len(found) + 1):
            if stop == len(found) or found[stop] != found[start]:
                index = found[start]
                groups.append((None if index is None else self._computed(index), start, stop))
                start = stop
        return groups

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


def reason_against_generation(
    model: Any, prefixes: PromptPrefixes, batch: GrowingCache, context: Tensor, attention_mask: Tensor, pad: int
) -> str | None:
    """Generate two tokens both ways and return why the ways differ, or None where they agree.

    Args:
        model: a causal language model.
        prefixes: makes the caches.
        batch: the cache of the batch, which is not used up.
        context: token ids of the batch, padded on the left.
        attention_mask: of the context.
        pad: token id of padding.
    """
    cached = [row for prefix, start, stop in batch.groups if prefix is not None for row in range(start, stop)]
    # The harness sorts by length: these are the longest and the shortest, which has the most padding.
    rows = sorted({cached[0], cached[-1]})
    context, attention_mask = context[rows], attention_mask[rows]
    options: dict[str, Any] = {
        "attention_mask": attention_mask,
        "max_new_tokens": 2,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
        "pad_token_id": pad,
    }
    cache = prefixes.cache(context, attention_mask)
    assert cache is not None
    try:
        with attending(model, cache):
            found = model.generate(input_ids=context, past_key_values=cache, **options)
    except UnsupportedModel as error:
        return str(error)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError) as error:
        if is_out_of_memory(error):
            raise
        return f"generation from a cached prefix fails with {type(error).__name__}: {error}"
    expected = model.generate(input_ids=context, **options)
    width = context.shape[1]
    # Later steps are comparable only in rows that chose the same token before.
    agreeing = torch.ones(len(context), dtype=torch.bool, device=context.device)
    for step, (ours, theirs) in enumerate(zip(found.logits, expected.logits, strict=False)):
        chosen = theirs.argmax(dim=-1, keepdim=True)
        ours, theirs = (torch.log_softmax(logits.float(), dim=-1).gather(-1, chosen)[:, 0] for logits in (ours, theirs))
        differences = (ours - theirs).abs()[agreeing]
        if not bool((differences <= TOLERANCE.get(found.logits[0].dtype, 0.0)).all()):
            return (
                f"log-probabilities differ by {float(differences.max()):.2g} nats when generating from a cached prefix"
            )
        agreeing &= found.sequences[:, width + step] == expected.sequences[:, width + step]
    return None


def has_own_cache(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether options of ``generate``, given or the model's defaults, bring or need a cache of their own."""

    def value(name: str) -> Any:
        return options.get(name, getattr(getattr(model, "generation_config", None), name, None))

    several = any((value(name) or 1) != 1 for name in ("num_beams", "num_return_sequences"))
    return several or value("use_cache") is False or any(value(name) is not None for name in _OWN_CACHE)
