"""Neurons of the MLPs: what each layer's activation function gives, found by running the model, read and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lm_eval_xling.models.head import unserved
from lm_eval_xling.models.layers import hidden_states

__all__ = ["Neurons", "find_neurons"]


@dataclass(frozen=True)
class Neurons:
    """The activation functions of a model's MLPs. A neuron is one number that such a function gives of a token."""

    modules: tuple[nn.Module, ...]
    """One a layer, in order. In a gated MLP it is the gate's, before the product with the other branch."""
    width: int
    """Neurons of a layer."""

    @contextmanager
    def passed_through(
        self, shape: tuple[int, int], change: Callable[[int, torch.Tensor], torch.Tensor | None]
    ) -> Iterator[None]:
        """Show each layer's activations to a function, inside the block, and go on with what it returns.

        Args:
            shape: texts and length of the passes inside the block.
            change: from a layer's index, 0 the first, and its activations ``(texts, length, neurons)`` to those that
                the layer goes on with; ``None`` leaves them as they are.
        """

        def reader(index: int) -> Callable[..., Any]:
            def read(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor | None:
                # Some architectures join texts and positions before the MLP.
                changed = change(index, output.view(*shape, self.width))
                return None if changed is None else changed.view_as(output)

            return read

        hooks = [module.register_forward_hook(reader(index)) for index, module in enumerate(self.modules)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def find_neurons(model: Any, layers: Sequence[nn.Module], input_ids: torch.Tensor) -> Neurons:
    """Find the activation function of each layer's MLP by running the model once.

    It is the one module of a layer without parameters that changes each number by itself: the same numbers in another
    order give the same results in that order. A norm without weights is none, nor is dropout, which changes nothing.

    Args:
        model: a causal language model of transformers in evaluation mode.
        layers: its decoder layers, in order.
        input_ids: any tokens, ``(1, length)``.

    Raises:
        UserError: if a layer has none or several, as a mixture of experts has, or layers differ in their number.
    """
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    plain = {
        id(module): module
        for layer in layers
        for module in layer.modules()
        if next(module.children(), None) is None and next(module.parameters(), None) is None
    }

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if len(given) == 1 and isinstance(output, torch.Tensor) and _is_elementwise(module, given[0], output):
            calls.append((module, output))

    hooks = [module.register_forward_hook(note) for module in plain.values()]
    try:
        with torch.inference_mode():
            hidden_states(model, input_ids)
    finally:
        for hook in hooks:
            hook.remove()
    found, widths = [], set()
    for number, layer in enumerate(layers, start=1):
        inside = {id(module) for module in layer.modules()}
        own = [(module, output) for module, output in calls if id(module) in inside]
        if len(own) != 1 or own[0][1].numel() != input_ids.numel() * own[0][1].shape[-1]:
            raise unserved(model, f"layer {number} has not one activation function of all tokens, but {len(own)}")
        found.append(own[0][0])
        widths.add(own[0][1].shape[-1])
    if len(widths) > 1:
        raise unserved(model, f"its layers have {min(widths)} to {max(widths)} neurons")
    return Neurons(tuple(found), widths.pop())


def _is_elementwise(module: nn.Module, given: Any, output: torch.Tensor) -> bool:
    """Return whether a module changes its input, and each number of it by itself."""
    if not isinstance(given, torch.Tensor) or given.shape != output.shape or torch.equal(given, output):
        return False
    order = torch.randperm(given.numel(), generator=torch.Generator().manual_seed(0)).to(given.device)
    # Not by calling the module: that would run this hook again.
    again = module.forward(given.flatten()[order].view_as(given))
    return isinstance(again, torch.Tensor) and torch.allclose(
        again.flatten().float(), output.flatten()[order].float(), rtol=1e-2, atol=1e-5
    )
