"""How a causal model turns a hidden state into next-token probabilities: found once at load, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["OutputPath", "find_output_path", "layer_stack"]

# A head applied twice to the same state in float32 agrees to about 1e-6; half precision rounds logits to 2^-4.
TOLERANCE = 1e-4
HALF_TOLERANCE = 6e-2


@dataclass(frozen=True)
class OutputPath:
    """What stands between the output of a layer and the logits: final norm, projections, head, scale and cap."""

    tail: tuple[nn.Module, ...]
    """Modules between the last layer and the head, in order; nearly always the final norm alone."""
    head: nn.Module
    """The output embedding."""
    scale: float
    """Factor on the logits."""
    softcap: float | None
    """Bound of the logits: ``softcap * tanh(logits / softcap)``."""
    last_is_normed: bool
    """Whether the last of the model's ``hidden_states`` has passed the tail already."""

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
        import torch

        logits: torch.Tensor = self.head(hidden if finished else self.finish(hidden)).float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def lens_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits ``(..., layers + 1, vocabulary)`` of all layers' states ``(..., layers + 1, width)``."""
        import torch

        if not self.last_is_normed:
            return self.logits(states)
        return self.logits(torch.cat([self.finish(states[..., :-1, :]), states[..., -1:, :]], dim=-2), finished=True)


def layer_stack(model: Any) -> nn.ModuleList:
    """Return the list of transformer layers.

    Raises:
        UserError: if the model has no list of ``num_hidden_layers`` modules.
    """
    from torch import nn

    wanted = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise _unserved(model, f"it has no list of {wanted} layers")


def find_output_path(model: Any, input_ids: torch.Tensor) -> OutputPath:
    """Find the modules after the last layer by running the model once, and check the lens of the last layer.

    Args:
        model: a causal language model of transformers in evaluation mode.
        input_ids: any tokens, shape ``(1, length)``.

    Raises:
        UserError: if the lens of the last layer is not the model's own output (to 1e-4 in log-probability), which
            names the architecture.
    """
    import torch

    head = model.get_output_embeddings()
    if head is None:
        raise _unserved(model, "it has no output embedding")
    stack = layer_stack(model)
    with _events(model, stack, head) as events, torch.inference_mode():
        logits = model(input_ids=input_ids, use_cache=False).logits.float()
    with torch.inference_mode():
        backbone = model.base_model(input_ids=input_ids, use_cache=False, output_hidden_states=True)
    states = getattr(backbone, "hidden_states", None)
    if states is None or len(states) != len(stack) + 1:
        found = "no" if states is None else str(len(states))
        raise _unserved(model, f"it returns {found} hidden states for {len(stack)} layers")
    if len({state.shape[-1] for state in states}) > 1:
        raise _unserved(model, "its hidden states differ in width")
    config = model.config.get_text_config()
    own = logits.log_softmax(-1)
    best = float("inf")
    for finished in (True, False):
        path = OutputPath(
            tail=_between(events),
            head=head,
            scale=_scale(config),
            softcap=getattr(config, "final_logit_softcapping", None),
            last_is_normed=finished,
        )
        with torch.inference_mode():
            difference = (path.logits(states[-1], finished=finished).log_softmax(-1) - own).abs().max().item()
        # NaN compares false, so a broken model is an error too.
        if difference <= (TOLERANCE if model.dtype == torch.float32 else HALF_TOLERANCE):
            return path
        best = min(best, difference)
    raise _unserved(
        model, f"the lens of the last layer is not the model's own output (log-probabilities differ by {best:.2g})"
    )


def _scale(config: Any) -> float:
    """Factor on the logits: Cohere multiplies by ``logit_scale``, Granite divides by ``logits_scaling``."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)


@contextmanager
def _events(model: Any, stack: nn.ModuleList, head: nn.Module) -> Iterator[list[tuple[str, nn.Module]]]:
    """Record the starts and ends of all modules from the end of the last layer to the start of the head."""
    events: list[tuple[str, nn.Module]] = []
    state = {"open": False}
    inside = {id(module) for module in stack.modules()}

    def begin(module: nn.Module, _: Any) -> None:
        if module is head:
            state["open"] = False
        elif state["open"]:
            events.append(("start", module))

    def end(module: nn.Module, *_: Any) -> None:
        if module is stack[-1]:
            events.clear()
            state["open"] = True
        elif state["open"]:
            events.append(("end", module))

    hooks = [stack[-1].register_forward_hook(end)]
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


def _unserved(model: Any, why: str) -> UserError:
    return UserError(
        f"the probes cannot serve the architecture {type(model).__name__} ({model.config.model_type}): {why}",
        fix="use a causal model whose logits are head(norm(hidden state)), scaled or capped as its config says",
    )
