"""Causal-LM loss at the supervised positions only, without the logits of the whole batch.

With a vocabulary of 262k a batch of 4 × 120 tokens has half a gigabyte of float32 logits, three to four times over
with softmax and gradient, and question alignment supervises less than half of its positions. Here the output head
runs on the supervised positions alone, a chunk at a time, and each chunk's gradient is taken before the next chunk
is computed, so that no more than one chunk of logits is ever alive (the idea of fused linear cross-entropy,
Hsu et al. 2024, arXiv 2410.10989, in plain PyTorch and for any head).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from lm_eval_xling.errors import UserError
from lm_eval_xling.trainers.packed_attention import by_text, set_texts

__all__ = ["IGNORED", "check_structure", "head_loss", "output_head", "supervised_forward"]

IGNORED = -100
"""Label of a position without loss, as everywhere in transformers."""

LOGITS_PER_CHUNK = {"cpu": 3 * 2**23, "cuda": 2**26}
"""Elements of the logits that are alive at once, by device: on a CPU 96 MiB in float32, 96 positions at Gemma's
vocabulary (with 32 the products with its head run a quarter slower); a GPU needs larger matrices to be busy."""


class _HeadLoss(torch.autograd.Function):
    """Sum of cross-entropies; the gradients are computed in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, head: Callable[[Tensor], Tensor], chunk: int, targets: Tensor, hidden: Tensor, *weights: Tensor
    ) -> Tensor:
        trained = [weight for weight, needed in zip(weights, ctx.needs_input_grad[4:], strict=True) if needed]
        hidden_gradient = torch.empty_like(hidden) if ctx.needs_input_grad[3] else None
        weight_gradients = [torch.zeros_like(weight) for weight in trained]
        total = torch.zeros((), device=hidden.device, dtype=torch.float32)
        # Equal parts: a small rest would cost nearly as much as a whole one.
        chunk = math.ceil(len(targets) / max(1, math.ceil(len(targets) / chunk)))
        for start in range(0, len(targets), max(1, chunk)):
            part = slice(start, start + chunk)
            states = hidden[part].detach()
            with torch.set_grad_enabled(hidden_gradient is not None or bool(trained)):
                states.requires_grad_(hidden_gradient is not None)
                logits = head(states)
            loss, logits_gradient = _cross_entropy(logits.detach(), targets[part])
            total += loss
            inputs = ([states] if hidden_gradient is not None else []) + trained
            if inputs:
                gradients = list(torch.autograd.grad(logits, inputs, logits_gradient))
                if hidden_gradient is not None:
                    hidden_gradient[part] = gradients.pop(0)
                for known, new in zip(weight_gradients, gradients, strict=True):
                    known += new
        ctx.save_for_backward(hidden_gradient, *weight_gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        hidden_gradient, *weight_gradients = ctx.saved_tensors
        # The sum, not the mean, is differentiated above, so that half-precision gradients do not underflow before
        # the loss scale and the number of tokens meet here.
        scale = outer[0]
        remaining = iter(weight_gradients)
        scaled = [next(remaining) * scale if needed else None for needed in ctx.needs_input_grad[4:]]
        return None, None, None, None if hidden_gradient is None else hidden_gradient * scale, *scaled


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the cross-entropies and its gradient, softmax minus one at the target, in place of the logits.

    ``functional.cross_entropy`` keeps logits, log-probabilities and gradient at once: three matrices instead of one.
    It also adds up a large vocabulary less exactly: by 3e-5 nats a token, against 1e-6 here, at 262k logits.
    """
    scores = logits.float()
    largest = scores.amax(-1, keepdim=True)
    own = scores.gather(-1, targets[:, None]) - largest
    total = scores.sub_(largest).exp_().sum(-1, keepdim=True)
    scores.div_(total).scatter_add_(-1, targets[:, None], -torch.ones_like(own))
    return (total.log() - own).sum(), scores.to(logits.dtype)


def head_loss(
    hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], weights: Sequence[Tensor], *, chunk: int
) -> Tensor:
    """Return the sum of the cross-entropies of targets, in nats, in float32.

    Args:
        hidden: final hidden states at the supervised positions, ``(n, d_model)``.
        targets: token ids, ``(n,)``.
        head: hidden states ``(k, d_model)`` to logits ``(k, vocabulary)``, whose last step keeps no reference to its
            result, because the gradient takes its place.
        weights: parameters that ``head`` reads; those that require gradients get them.
        chunk: most positions whose logits are alive at once.
    """
    total: Tensor = _HeadLoss.apply(head, chunk, targets, hidden, *weights)  # type: ignore[no-untyped-call]
    return total


def output_head(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """Return the map from final hidden states to logits: the head and what the architecture does after it."""
    module = model.get_output_embeddings()
    if module is None:
        raise UserError(f"{type(model).__name__} has no output head", fix="train a causal language model")
    # Not the module: it would run hooks at every chunk, and is called once a step by ``supervised_forward``.
    project = module.forward
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2 and 3
    factor = getattr(config, "logit_scale", None) or 1.0  # Cohere
    factor = factor / (getattr(config, "logits_scaling", None) or 1.0)  # Granite

    def head(hidden: Tensor) -> Tensor:
        logits: Tensor = project(hidden)
        if factor != 1.0:
            logits = logits * factor
        return logits if cap is None else torch.tanh(logits / cap) * cap

    return head


@contextmanager
def supervised_forward(model: PreTrainedModel, *, packed: bool) -> Iterator[None]:
    """Make the model's ``forward`` return the loss at the supervised positions, and no logits, inside the block.

    ``packed`` batches are one row with ``position_ids`` that begin at 0 with every text.

    The instance's method is replaced, and not the model wrapped, because peft, DDP, FSDP and the Trainer's saving
    all reach the model through it. The head's method is replaced too, by one that ends in the loss: FSDP gathers the
    weights of decoder and head by hooks around their calls, and there are no logits that it could see. With
    ``num_items_in_batch`` the loss is the sum divided by it, otherwise the mean over the batch, as transformers
    defines it.
    """
    decoder: nn.Module = model.get_decoder()
    module: nn.Module = model.get_output_embeddings()
    head = output_head(model)
    vocabulary = model.config.get_text_config().vocab_size

    def summed_loss(hidden: Tensor, targets: Tensor) -> Tensor:
        elements = LOGITS_PER_CHUNK.get(hidden.device.type, LOGITS_PER_CHUNK["cpu"])
        # Read anew at every step, because FSDP puts whole weights in the place of its parts.
        weights = tuple(module.parameters())
        return head_loss(hidden, targets, head, weights, chunk=max(16, elements // vocabulary))

    def forward(
        input_ids: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> CausalLMOutput:
        if attends_by_text:
            set_texts(inputs["position_ids"])
        hidden = decoder(input_ids=input_ids, use_cache=False, **inputs).last_hidden_state
        following = labels[:, 1:]
        supervised = following != IGNORED
        targets = following[supervised]
        total = module(hidden[:, :-1][supervised], targets)
        count = max(len(targets), 1) if num_items_in_batch is None else num_items_in_batch
        return CausalLMOutput(loss=total / count)

    with (
        by_text(model) if packed else nullcontext(False) as attends_by_text,
        _method(model, forward),
        _method(module, summed_loss),
    ):
        yield


@contextmanager
def _method(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Give an instance another ``forward`` inside the block."""
    original = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if original is None:
            del module.forward
        else:
            module.forward = original


@torch.no_grad()
def check_structure(model: PreTrainedModel, *, packed: bool) -> None:
    """Check once, at load, that decoder and head give the model's own logits, and that packed texts stay apart.

    Raises:
        UserError: if the architecture does something else between its decoder and its logits, or lets a packed
            text see its neighbour.
    """
    was_training = model.training
    model.eval()
    device = model.get_input_embeddings().weight.device
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.arange(24, device=device)[None] * 7919 % (vocabulary - 1)
    decoder = model.get_decoder()
    kind = type(model).__name__
    own = model(input_ids=ids).logits
    if not torch.isfinite(own).all():
        raise UserError(f"the logits of {kind} are not numbers", fix="check the model's weights and precision")
    ours = output_head(model)(decoder(input_ids=ids, use_cache=False).last_hidden_state)
    if not _close(own, ours):
        raise UserError(
            f"{kind} does something to its logits that the trainers do not know",
            fix="open an issue with the model's name",
        )
    if packed:
        parts = (ids[:, :10], ids[:, 10:])
        alone = torch.cat([decoder(input_ids=part, use_cache=False).last_hidden_state for part in parts], dim=1)
        positions = torch.cat([torch.arange(part.shape[1], device=device) for part in parts])[None]
        apart = "position_ids" in inspect.signature(decoder.forward).parameters
        if apart:
            with by_text(model) as attends_by_text:
                if attends_by_text:
                    set_texts(positions)
                together = decoder(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
            apart = _close(alone, together)
        if not apart:
            raise UserError(f"{kind} cannot keep packed texts apart", fix="set batching=padded")
    model.train(was_training)


def _close(first: Tensor, second: Tensor) -> bool:
    # Relative to the largest value: bfloat16 has eight bits, and float32 differs in the order of sums alone.
    tolerance = 1e-4 if first.dtype == torch.float32 else 5e-2
    return bool((first - second).abs().max() <= tolerance * first.abs().max().clamp(min=1.0))
