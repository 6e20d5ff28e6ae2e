"""Evaluations of a base model and of its adapters in one process: loaded once, tokenized once, planned once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.scoring.plan import Costs, Plan, make_plan
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["OneLoad", "adapter_weights", "current_load", "one_load"]

Encodings = dict[str, "NDArray[np.uint32] | list[int]"]
"""Token ids by text."""


class OneLoad:
    """What evaluations of one base model have in common."""

    def __init__(self) -> None:
        self._base: Any = None
        self._tokenizer: Any = None
        self._encodings: Encodings = {}
        self._planned: tuple[Sequence[ScoredSequence], Costs, Plan] | None = None

    def factory(self, kind: Any, written: Iterable[str] = ()) -> Any:
        """Return what loads like a class of transformers, but loads only once.

        What it gives are models of one's own, whose weights lie where those of all others do.

        Args:
            kind: such as ``AutoModelForCausalLM``.
            written: names of the weights that will be written over; they are copied.
        """

        def from_pretrained(*args: Any, **kwargs: Any) -> Any:
            if self._base is None:
                self._base = kind.from_pretrained(*args, **kwargs)
            return _on_the_same_weights(self._base, set(written))

        return SimpleNamespace(from_pretrained=from_pretrained)

    def tokenizer(self, load: Callable[[], Any]) -> Any:
        """Return the tokenizer, loaded at the first call."""
        if self._tokenizer is None:
            self._tokenizer = load()
        return self._tokenizer

    def encodings(self, texts: set[str], encode: Callable[[], Encodings]) -> Encodings:
        """Return the encodings of texts: those of the call before, if that had them all."""
        if not texts <= self._encodings.keys():
            self._encodings = encode()
        return self._encodings

    def plan(self, sequences: Sequence[ScoredSequence], costs: Costs) -> Plan:
        """Return the plan of sequences: the one before, if that was of the same."""
        if self._planned is None or self._planned[1] != costs or not _equal(self._planned[0], sequences):
            self._planned = (sequences, costs, make_plan(sequences, costs))
        return self._planned[2]


def adapter_weights(adapter: str, revision: str | None) -> set[str]:
    """Return the names of the weights in an adapter's file, as the base model would call them."""
    from peft.utils.save_and_load import load_peft_weights

    names = load_peft_weights(adapter, device="cpu", revision=revision)
    return {name.removeprefix("base_model.model.").replace(".base_layer.", ".") for name in names}


def _on_the_same_weights(base: Any, own: set[str]) -> Any:
    """Copy the modules of a model, but of its weights only some.

    An adapter puts modules in the places of others, and not all kinds can take them out again.
    """
    tensors = [*base.named_parameters(remove_duplicate=False), *base.named_buffers(remove_duplicate=False)]
    # Tied weights have several names.
    copied = {id(tensor) for name, tensor in tensors if name in own}
    return copy.deepcopy(base, {id(tensor): copy.copy(tensor) for _, tensor in tensors if id(tensor) not in copied})


def _equal(some: Sequence[ScoredSequence], others: Sequence[ScoredSequence]) -> bool:
    return len(some) == len(others) and all(
        list(one.targets) == list(other.targets) and np.array_equal(one.tokens, other.tokens)
        for one, other in zip(some, others, strict=True)
    )


_CURRENT: ContextVar[OneLoad | None] = ContextVar("what evaluations have in common", default=None)


def current_load() -> OneLoad | None:
    """What the evaluations around have in common; None outside ``one_load``."""
    return _CURRENT.get()


@contextmanager
def one_load() -> Iterator[None]:
    """Let the backend's models that are made inside the block share base weights, tokenizer and plan."""
    token = _CURRENT.set(OneLoad())
    try:
        yield
    finally:
        _CURRENT.reset(token)
