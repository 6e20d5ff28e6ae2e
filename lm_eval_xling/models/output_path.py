"""How a causal model turns a hidden state into next-token probabilities: found once at load, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lm_eval_xling.models.head import OutputHead, unserved
from lm_eval_xling.models.layers import bypassed, decoder_layers

__all__ = ["OutputPath", "find_output_path"]

# A head applied twice to the same state in float32 agrees to about 1e-6; half precision rounds logits to 2^-4.
TOLERANCE = 1e-4
HALF_TOLERANCE = 6e-2


@dataclass(frozen=True)
class OutputPath:
    """What stands between the output of a layer and the logits: final norm, projections, head, scale and cap."""

    tail: tuple[nn.Module, ...]
    """Modules between the last layer and the head, in order; nearly always the final norm alone."""
    head: OutputHead
    """The output layer, with scale and cap."""
    last_is_normed: bool
    """Whether the last of the model's ``hidden_states`` has passed the tail already."""
    vocabulary: int
    """Number of logits that the model gives; those of the rows after them, which an adapter added, are ``-inf``."""

    def finish(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return states of the same width that have passed the tail."""
        for module in self.tail:
            hidden = module(hidden)
        return hidden

    def logits(self, hidden: torch.Tensor, *, finished: bool = False) -> torch.Tensor:
        """Return float32 logits ``(..., vocabulary)`` of hidden states ``(..., width)``.

        Args:
            hidden: output of a layer.
            finished: whether the states have passed the tail.
        """
        logits = self.head.logits(hidden if finished else self.finish(hidden))
        if logits.shape[-1] > self.vocabulary:
            logits[..., self.vocabulary :] = -torch.inf
        return logits

    def lens_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits ``(..., layers + 1, vocabulary)`` of all layers' states ``(..., layers + 1, width)``."""
        if not self.last_is_normed:
            return self.logits(states)
        return self.logits(torch.cat([self.finish(states[..., :-1, :]), states[..., -1:, :]], dim=-2), finished=True)


def find_output_path(model: Any, input_ids: torch.Tensor) -> OutputPath:
    """Find the modules after the last layer by running the model, and check the lens of a middle and the last layer.

    The lens of the last layer must be the model's own output, and that of the middle layer what the model's own
    modules give when the layers above are left out.

    Args:
        model: a causal language model of transformers in evaluation mode.
        input_ids: any tokens, shape ``(1, length)``.

    Raises:
        UserError: if one of the two is not (to 1e-4 in log-probability), which names the architecture.
    """
    head = OutputHead.of(model)
    layers, states = decoder_layers(model, input_ids)
    with _events(model, list(layers), head.module) as events:
        own = _log_probabilities(model, input_ids)
    middle = len(layers) // 2
    with bypassed(list(layers)[middle:]):
        own_of_middle = _log_probabilities(model, input_ids)
    tail = _between(events)
    tolerance = TOLERANCE if model.dtype == torch.float32 else HALF_TOLERANCE
    best = float("inf")
    for last_is_normed in (True, False):
        path = OutputPath(tail, head, last_is_normed, vocabulary=own.shape[-1])
        difference = _difference(path, states[-1], own, finished=last_is_normed)
        # NaN compares false, so a broken model is an error too.
        if difference <= tolerance:
            difference = _difference(path, states[middle], own_of_middle)
            if difference <= tolerance:
                return path
            raise _wrong(model, f"layer {middle} is not what the model's own modules make of it", difference)
        best = min(best, difference)
    raise _wrong(model, "the last layer is not the model's own output", best)


@torch.inference_mode()
def _log_probabilities(model: Any, input_ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=input_ids, use_cache=False).logits
    return logits.float().log_softmax(-1)


@torch.inference_mode()
def _difference(path: OutputPath, states: torch.Tensor, own: torch.Tensor, *, finished: bool = False) -> float:
    return float((path.logits(states, finished=finished).log_softmax(-1) - own).abs().max())


def _wrong(model: Any, what: str, difference: float) -> Exception:
    return unserved(model, f"the lens of {what} (log-probabilities differ by {difference:.2g})")


@contextmanager
def _events(model: Any, layers: Sequence[nn.Module], head: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """Record the starts and ends of all modules from the end of the last layer to the start of the head."""
    events: list[tuple[str, nn.Module]] = []
    state = {"open": False}
    inside = {id(module) for layer in layers for module in layer.modules()}

    def begin(module: nn.Module, _: Any) -> None:
        if module is head:
            state["open"] = False
        elif state["open"]:
            events.append(("start", module))

    def end(module: nn.Module, *_: Any) -> None:
        if module is layers[-1]:
            events.clear()
            state["open"] = True
        elif state["open"]:
            events.append(("end", module))

    hooks = [layers[-1].register_forward_hook(end)]
    for module in model.modules():
        if id(module) not in inside:
            hooks.append(module.register_forward_pre_hook(begin))
            hooks.append(module.register_forward_hook(end))
    try:
        yield events
    finally:
        for hook in hooks:
            hook.remove()


def _between(events: list[tuple[str, nn.Module]]) -> tuple[nn.Module, ...]:
    """Return the outermost modules that both started and ended between the last layer and the head."""
    tail: list[nn.Module] = []
    running: list[nn.Module] = []
    ended = [module for kind, module in events if kind == "end"]
    for kind, module in events:
        if kind == "start" and any(module is other for other in ended):
            if not running:
                tail.append(module)
            running.append(module)
        elif running and kind == "end" and module is running[-1]:
            running.pop()
    return tuple(tail)
