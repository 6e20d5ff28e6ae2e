"""Causal-LM loss at the supervised positions only, without the logits of the whole batch.

With a vocabulary of 262k a batch of 4 × 120 tokens has half a gigabyte of float32 logits, three to four times over
with softmax and gradient, and question alignment supervises less than half of its positions. Here the output head
runs on the supervised positions alone, and the gradient is computed with the loss, part by part:

- A frozen head, which all adapters have, meets all positions a block of the vocabulary at a time. The loss's gradient
  by the hidden states is ``softmax(h Wᵀ) W - W[target]``, an attention over the vocabulary, and is summed up as flash
  attention sums (Dao et al. 2022, arXiv 2205.14135, algorithm 1; for the loss alone: Wijmans et al. 2024,
  arXiv 2411.09009). The weights are read once, and a block of logits stays in the processor's cache.
- A head that learns, or is more than a matrix, meets the whole vocabulary a chunk of the positions at a time, because
  the gradient by its weights needs the finished softmax (Hsu et al. 2024, arXiv 2410.10989).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.forward_switch import forward_method
from lm_eval_xling.models.head import OutputHead, unserved
from lm_eval_xling.training.packed_attention import by_text, set_texts

__all__ = ["IGNORED", "LossHead", "check_structure", "head_loss", "keeps_texts_apart", "supervised_forward"]

IGNORED = -100
"""Label of a position without loss, as everywhere in transformers."""

LOGITS_PER_CHUNK = {"cpu": 3 * 2**23, "cuda": 2**26}
"""Elements of the logits that are alive at once where a head learns, by device: on a CPU 96 MiB in float32, 96
positions at Gemma's vocabulary (with 32 the products with its head run a quarter slower); a GPU needs larger matrices
to be busy."""

ROWS_PER_BLOCK = {"cpu": 2**11, "cuda": 2**15}
"""Rows of a frozen head that meet the positions at once, by device: on a CPU 5 MiB at Gemma's width, which with
their logits fit its cache (512 to 4096 rows are equally fast, the whole matrix is not)."""


@dataclass(frozen=True, slots=True)
class LossHead:
    """A model's output head with what the loss's gradient needs of it."""

    output: OutputHead
    """Output layer, scale and cap."""
    project: Callable[[Tensor], Tensor]
    """The output layer's own method, ``(n, d_model)`` to ``(n, vocabulary)``: a call of the module would run hooks at
    every part, and ``supervised_forward`` puts the loss in the method's place."""
    vocabulary: int
    """Number of logits."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> LossHead:
        """Return a model's head.

        Raises:
            UserError: if it has none.
        """
        output = OutputHead.of(model)
        return cls(output, output.module.forward, model.config.get_text_config().vocab_size)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits ``(n, vocabulary)``; they may be overwritten, since the last step keeps no reference."""
        return self.output.after(self.project(hidden))

    def slope(self, logits: Tensor) -> Tensor:
        """Return the derivative of ``output.after`` where it gives these logits."""
        scale, cap = self.output.scale, self.output.cap
        return logits.new_tensor(scale) if cap is None else scale * (1 - (logits / cap) ** 2)

    def frozen_matrix(self) -> nn.Linear | None:
        """Return the output layer if it is a matrix that does not learn, or else None."""
        layer = self.output.module
        if not isinstance(layer, nn.Linear) or not layer.weight.is_floating_point():  # such as a quantised one
            return None
        return None if any(weight.requires_grad for weight in layer.parameters()) else layer


class _FrozenHeadLoss(torch.autograd.Function):
    """Sum of cross-entropies, all positions against a block of the vocabulary at a time."""

    @staticmethod
    def forward(ctx: Any, head: LossHead, layer: nn.Linear, rows: int, targets: Tensor, hidden: Tensor) -> Tensor:
        count = len(targets)
        padding = -count % 16  # with 155 positions the products take a seventh longer than with 160
        columns = functional.pad(hidden, (0, 0, 0, padding)).T.contiguous()
        targets = functional.pad(targets, (0, padding))
        places = torch.arange(len(targets), device=targets.device)
        # Of each position: the target's logit, and of the vocabulary so far the largest logit, the sum of the
        # exponentials, and the sum of the weights times them.
        own = torch.zeros(len(targets), device=hidden.device)
        largest = torch.full_like(own, -torch.inf)
        total = torch.zeros_like(own)
        weighted = own.new_zeros(len(own), len(columns)) if ctx.needs_input_grad[4] else None
        for start in range(0, len(layer.weight), rows):
            block = layer.weight[start : start + rows]
            products = block @ columns
            if layer.bias is not None:
                products += layer.bias[start : start + rows, None]
            logits = head.output.after(products).float()
            row = targets - start
            inside = (row >= 0) & (row < len(block))
            own = torch.where(inside, logits[row.clamp(0, len(block) - 1), places], own)
            before, largest = largest, torch.maximum(largest, logits.amax(0))
            shrink = (before - largest).exp_()
            exponentials = (logits - largest).exp_()
            total = total * shrink + exponentials.sum(0)
            if weighted is not None:
                if head.output.cap is not None:
                    exponentials *= head.slope(logits)
                weighted *= shrink[:, None]
                weighted += exponentials.to(block.dtype).T @ block
        if weighted is not None:
            if head.output.cap is None:
                weighted *= head.output.scale
            gradient = weighted / total[:, None] - head.slope(own)[..., None] * layer.weight[targets]
            ctx.save_for_backward(gradient[:count].to(hidden.dtype))
        return (largest + total.log() - own)[:count].sum()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        # The sum, not the mean, is differentiated above, so that half-precision gradients do not underflow before
        # the loss scale and the number of tokens meet here.
        (gradient,) = ctx.saved_tensors
        return None, None, None, None, gradient * outer[0]


class _LearningHeadLoss(torch.autograd.Function):
    """Sum of cross-entropies, the whole vocabulary against a chunk of the positions at a time."""

    @staticmethod
    def forward(ctx: Any, head: LossHead, chunk: int, targets: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:
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
                logits = head.logits(states)
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
        scale = outer[0]  # of the sum, as in _FrozenHeadLoss
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


def head_loss(hidden: Tensor, targets: Tensor, head: LossHead, *, chunk: int | None = None) -> Tensor:
    """Return the sum of the cross-entropies of targets, in nats, in float32, differentiable once.

    Args:
        hidden: final hidden states at the supervised positions, ``(n, d_model)``.
        targets: token ids, ``(n,)``.
        head: the map to logits; those of its parameters that require gradients get them.
        chunk: rows of a frozen head, or positions of any other, whose logits are alive at once; as measured if None.
    """
    device = hidden.device.type
    layer = head.frozen_matrix()
    if layer is not None:
        rows = chunk or ROWS_PER_BLOCK.get(device, ROWS_PER_BLOCK["cpu"])
        total: Tensor = _FrozenHeadLoss.apply(head, layer, rows, targets, hidden)  # type: ignore[no-untyped-call]
        return total
    positions = chunk or max(16, LOGITS_PER_CHUNK.get(device, LOGITS_PER_CHUNK["cpu"]) // head.vocabulary)
    # Read at every step, because FSDP puts whole weights in the place of its parts.
    weights = tuple(head.output.module.parameters())
    total = _LearningHeadLoss.apply(head, positions, targets, hidden, *weights)  # type: ignore[no-untyped-call]
    return total


@contextmanager
def supervised_forward(model: PreTrainedModel, *, packed: bool, device: torch.device) -> Iterator[None]:
    """Make the model's ``forward`` return the loss at the supervised positions, and no logits, inside the block.

    ``packed`` batches are one row with ``position_ids`` that begin at 0 with every text. ``device`` is where the model
    will be: the Trainer moves it there.

    The instance's method is replaced, and not the model wrapped, because peft, DDP, FSDP and the Trainer's saving
    all reach the model through it. The head's method is replaced too, by one that ends in the loss: FSDP gathers the
    weights of decoder and head by hooks around their calls, and there are no logits that it could see. With
    ``num_items_in_batch`` the loss is the sum divided by it, otherwise the mean over the batch, as transformers
    defines it.
    """
    decoder = decoder_of(model)
    head = LossHead.of(model)
    module = head.output.module

    def summed_loss(hidden: Tensor, targets: Tensor) -> Tensor:
        return head_loss(hidden, targets, head)

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
        by_text(model, device) if packed else nullcontext(False) as attends_by_text,
        forward_method(model, forward),
        forward_method(module, summed_loss),
    ):
        yield


@torch.no_grad()
def check_structure(model: PreTrainedModel) -> None:
    """Check once, at load, that decoder and head give the model's own logits.

    Raises:
        UserError: if the architecture does something else between its decoder and its logits.
    """
    with _evaluating(model):
        ids = _probe_ids(model)
        own = model(input_ids=ids).logits
        if not torch.isfinite(own).all():
            raise UserError(
                f"the logits of {type(model).__name__} are not numbers", fix="check the model's weights and precision"
            )
        hidden = decoder_of(model)(input_ids=ids, use_cache=False).last_hidden_state
        if not _close(own, LossHead.of(model).logits(hidden)):
            raise unserved(model, "it does something to its logits that the trainers do not know")


@torch.no_grad()
def keeps_texts_apart(model: PreTrainedModel, device: torch.device) -> bool:
    """Return whether texts of one row, told apart by their positions, are read as each alone, as ``device`` reads them.

    They are not where positions are counted otherwise (ALiBi, as in BLOOM and Falcon; XGLM) or where attention is
    the model's own (the sinks of gpt-oss).
    """
    decoder = decoder_of(model)
    if "position_ids" not in inspect.signature(decoder.forward).parameters:
        return False
    with _evaluating(model):
        ids = _probe_ids(model)
        parts = (ids[:, :10], ids[:, 10:])
        alone = torch.cat([decoder(input_ids=part, use_cache=False).last_hidden_state for part in parts], dim=1)
        positions = torch.cat([torch.arange(part.shape[1], device=ids.device) for part in parts])[None]
        with by_text(model, device) as attends_by_text:
            if attends_by_text:
                set_texts(positions)
            try:
                together = decoder(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
            except UserError:  # of an attention that cannot be told where texts begin
                return False
        return _close(alone, together)


def decoder_of(model: PreTrainedModel) -> nn.Module:
    """Return the part of a model that gives the head its hidden states.

    Raises:
        UserError: if it cannot be told.
    """
    decoder: nn.Module = model.get_decoder()
    if decoder is not model:
        return decoder
    # Llama 4's text model names its decoder otherwise than transformers looks for it.
    found: list[nn.Module] = [part for part in model.children() if isinstance(part, PreTrainedModel)]
    if len(found) != 1:
        raise unserved(model, f"its decoder cannot be told among {len(found)} models")
    return found[0]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off inside the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _probe_ids(model: PreTrainedModel) -> Tensor:
    vocabulary = model.config.get_text_config().vocab_size
    device = model.get_input_embeddings().weight.device
    ids: Tensor = torch.arange(24, device=device)[None] * 7919 % (vocabulary - 1)
    return ids


def _close(first: Tensor, second: Tensor) -> bool:
    # Relative to the largest value: bfloat16 has eight bits, and float32 differs in the order of sums alone.
    tolerance = 1e-4 if first.dtype == torch.float32 else 5e-2
    return bool((first - second).abs().max() <= tolerance * first.abs().max().clamp(min=1.0))
