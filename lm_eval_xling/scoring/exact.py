"""A model of any type computing in float32, layer by layer, so that rounding cannot be taken for an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.models.forward_switch import forward_method

__all__ = ["can_be_exact", "in_float32"]

_ROWS_AT_ONCE = 8192
"""Entries of the vocabulary whose logits are computed at a time: a whole head in float32 may be gigabytes."""


def can_be_exact(model: torch.nn.Module) -> bool:
    """Whether all weights are at hand; those that accelerate loads for a layer's pass are not."""
    return not any(weight.is_meta for weight in model.parameters())


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let every layer have its weights in float32 while it computes, and only then.

    One layer at a time is in memory twice; the embeddings and the output head are never copied as a whole. Weights
    that are no floating-point numbers stay, and are multiplied in float32 where their kind allows it (bitsandbytes'
    4 bits do).

    Args:
        model: a causal language model in evaluation mode.
    """
    with ExitStack() as undo:
        head = model.get_output_embeddings()
        for module, deep in _units(model, head):
            own = list(module.modules()) if deep else [module]
            hooks = _Upcast(own)
            undo.callback(module.register_forward_pre_hook(hooks.before).remove)
            undo.callback(module.register_forward_hook(hooks.after, always_call=True).remove)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                undo.callback(module.register_forward_hook(lambda _module, _inputs, output: output.float()).remove)
        if type(head) is torch.nn.Linear:
            undo.enter_context(forward_method(head, lambda hidden: _logits(head, hidden)))
        yield


def _units(module: torch.nn.Module, head: torch.nn.Module | None) -> Iterator[tuple[torch.nn.Module, bool]]:
    """The modules whose weights are converted together: each layer of a list, and what stands outside the lists."""
    if isinstance(module, torch.nn.Embedding) or (module is head and type(head) is torch.nn.Linear):
        return
    if isinstance(module, torch.nn.ModuleList):
        for layer in module:
            yield layer, True
        return
    if not any(isinstance(part, torch.nn.ModuleList | torch.nn.Embedding) or part is head for part in module.modules()):
        yield module, True
        return
    if any(True for _ in module.parameters(recurse=False)):
        yield module, False
    for child in module.children():
        yield from _units(child, head)


class _Upcast:
    """Hooks that convert the weights of some modules before a pass and give them back after it."""

    def __init__(self, modules: list[torch.nn.Module]) -> None:
        self._modules = [module for module in modules if not isinstance(module, torch.nn.Embedding)]
        self._given_back: list[Callable[[], None]] = []

    def before(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        for part in self._modules:
            for weight in part.parameters(recurse=False):
                if weight.dtype in (torch.float16, torch.bfloat16):
                    self._given_back.append(_setter(weight, "data", weight.data))
                    weight.data = weight.data.float()
            for name, buffer in part.named_buffers(recurse=False):
                if buffer.dtype in (torch.float16, torch.bfloat16):
                    self._given_back.append(_setter(part, name, buffer))
                    setattr(part, name, buffer.float())
            if isinstance(getattr(part, "compute_dtype", None), torch.dtype):
                self._given_back.append(_setter(part, "compute_dtype", part.compute_dtype))
                part.compute_dtype = torch.float32  # type: ignore[assignment]

    def after(self, module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        while self._given_back:
            self._given_back.pop()()


def _setter(owner: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


def _logits(head: torch.nn.Linear, hidden: Tensor) -> Tensor:
    parts = []
    for first in range(0, len(head.weight), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        bias = None if head.bias is None else head.bias[rows].float()
        parts.append(torch.nn.functional.linear(hidden.float(), head.weight[rows].float(), bias))
    return torch.cat(parts, dim=-1)
