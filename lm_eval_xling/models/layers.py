"""Which modules are a model's decoder layers: those that a forward pass of text went through, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lm_eval_xling.models.head import unserved

__all__ = ["bypassed", "decoder_layers", "edited", "hidden_states"]


def hidden_states(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """Return the embedding's and every layer's output, each ``(batch, length, width)``, without any logits."""
    output = model.base_model(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=False, output_hidden_states=True
    )
    states: tuple[torch.Tensor, ...] | None = getattr(output, "hidden_states", None)
    return () if states is None else states


def decoder_layers(model: Any, input_ids: torch.Tensor) -> tuple[nn.ModuleList, tuple[torch.Tensor, ...]]:
    """Find the list of transformer layers by running the model once.

    A list of the right length need not be it: a vision tower may be as deep as the text model. The layers are the
    list whose modules the pass went through once each, in order, and gave the model's hidden states.

    Args:
        model: a causal language model of transformers in evaluation mode.
        input_ids: any tokens, ``(1, length)``.

    Returns:
        The layers, and the hidden states of the pass: the embedding's and every layer's output.

    Raises:
        UserError: if there is no such list.
    """
    wanted = model.config.get_text_config().num_hidden_layers
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == wanted]
    if not lists:
        raise unserved(model, f"it has no list of {wanted} layers")
    calls: list[tuple[nn.Module, Any]] = []
    hooks = [
        child.register_forward_hook(lambda module, _, output: calls.append((module, _first(output))))
        for child in {id(child): child for modules in lists for child in modules}.values()
    ]
    try:
        with torch.inference_mode():
            states = hidden_states(model, input_ids)
    finally:
        for hook in hooks:
            hook.remove()
    if len(states) != wanted + 1:
        raise unserved(model, f"it returns {len(states) or 'no'} hidden states for {wanted} layers")
    if len({state.shape[-1] for state in states}) > 1:
        raise unserved(model, "its hidden states differ in width")
    for modules in lists:
        members = {id(child) for child in modules}
        own = [(module, output) for module, output in calls if id(module) in members]
        in_order = [id(module) for module, _ in own] == [id(child) for child in modules]
        # The last one's output may have passed the final norm before it was returned.
        if in_order and all(_same(output, state) for (_, output), state in zip(own[:-1], states[1:-1], strict=True)):
            return modules, states
    raise unserved(model, f"the hidden states of a pass are not what a list of {wanted} layers gave")


@contextmanager
def bypassed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let layers give what they were given, inside the block."""

    def bypass(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        hidden = given[0] if given else named["hidden_states"]
        return hidden if isinstance(output, torch.Tensor) else (hidden, *output[1:])

    hooks = [layer.register_forward_hook(bypass, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def edited(layers: Sequence[nn.Module], edit: Callable[[int, torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Let layers read other states than those they are given, inside the block.

    Args:
        layers: of the model, in order.
        edit: from a layer's index and the states that it is given, ``(batch, length, width)``, to those that it reads.
            What layer 0 is given is the embedding; what layer k is given, the output of layer k - 1.
    """

    def reader(index: int) -> Callable[..., Any]:
        def read(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if given:
                return (edit(index, given[0]), *given[1:]), named
            return given, {**named, "hidden_states": edit(index, named["hidden_states"])}

        return read

    hooks = [layer.register_forward_pre_hook(reader(index), with_kwargs=True) for index, layer in enumerate(layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _first(output: Any) -> Any:
    return output if isinstance(output, torch.Tensor) else output[0]


def _same(output: Any, state: torch.Tensor) -> bool:
    return isinstance(output, torch.Tensor) and output.shape == state.shape and torch.equal(output, state)
