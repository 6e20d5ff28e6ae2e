"""A model of any type computing in float32, layer by layer, so that rounding cannot be taken for an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.models.forward_switch import forward_method

__all__ = ["can_be_exact", "in_float32"]

_WEIGHTS_AT_ONCE = 1 << 20
"""Weights of a product that are converted at a time: 4 MiB in float32, still in a CPU's cache when they are used."""
_HALF = (torch.float16, torch.bfloat16)


def can_be_exact(model: torch.nn.Module) -> bool:
    """Whether all weights are at hand; those that accelerate loads for a layer's pass are not."""
    return not any(weight.is_meta for weight in model.parameters())


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let every layer compute with its weights in float32, which exist only while they are used.

    Products convert their weights block by block, everything else layer by layer. Weights that are no floating-point
    numbers stay, and are multiplied in float32 where their kind allows it (bitsandbytes' 4 bits do).

    Args:
        model: a causal language model in evaluation mode.
    """
    # PEFT keeps an adapter's products in dictionaries, and rounds what goes into them to the type of their weights.
    adapters = {
        part for module in model.modules() if isinstance(module, torch.nn.ModuleDict) for part in module.modules()
    }
    # Adapters that are no LoRA may multiply the weight of the layer that they adapt themselves.
    adapters |= {
        module.base_layer
        for module in model.modules()
        if hasattr(module, "base_layer") and not hasattr(module, "lora_A")
    }
    products = {
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear and module.weight.dtype in _HALF and module not in adapters
    }
    with ExitStack() as undo:
        for product in products:
            undo.enter_context(forward_method(product, partial(_product, product)))
        for module, deep in _units(model):
            hooks = _Upcast([part for part in (module.modules() if deep else (module,)) if part not in products])
            undo.callback(module.register_forward_pre_hook(hooks.before).remove)
            undo.callback(module.register_forward_hook(hooks.after, always_call=True).remove)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                undo.callback(module.register_forward_hook(lambda _module, _inputs, output: output.float()).remove)
        yield


def _units(module: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, bool]]:
    """The modules whose weights are converted together: each layer of a list, and what stands outside the lists."""
    if isinstance(module, torch.nn.Embedding):
        return
    if isinstance(module, torch.nn.ModuleList):
        for layer in module:
            yield layer, True
        return
    if not any(isinstance(part, torch.nn.ModuleList | torch.nn.Embedding) for part in module.modules()):
        yield module, True
        return
    if any(True for _ in module.parameters(recurse=False)):
        yield module, False
    for child in module.children():
        yield from _units(child)


class _Upcast:
    """Hooks that convert the weights of some modules before a pass and give them back after it."""

    def __init__(self, modules: list[torch.nn.Module]) -> None:
        self._modules = [module for module in modules if not isinstance(module, torch.nn.Embedding)]
        self._given_back: list[Callable[[], None]] = []

    def before(self, module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        for part in self._modules:
            for weight in part.parameters(recurse=False):
                if weight.dtype in _HALF:
                    self._given_back.append(_setter(weight, "data", weight.data))
                    weight.data = weight.data.float()
            for name, buffer in part.named_buffers(recurse=False):
                if buffer.dtype in _HALF:
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


def _product(module: torch.nn.Linear, states: Tensor) -> Tensor:
    """What a linear layer computes of states of shape (..., in features), in float32."""
    states = states.float()
    parts = []
    step = max(1, _WEIGHTS_AT_ONCE // module.weight.shape[1])
    for first in range(0, len(module.weight), step):
        rows = slice(first, first + step)
        bias = None if module.bias is None else module.bias[rows].float()
        parts.append(torch.nn.functional.linear(states, module.weight[rows].float(), bias))
    return torch.cat(parts, dim=-1)
