"""Carry out a plan: one forward pass a batch on top of the cached prefixes, the output head only where it is read."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.scoring.plan import Batch, BatchRow, Plan
from lm_eval_xling.scoring.prefix_attention import attending
from lm_eval_xling.scoring.prefix_cache import CachedPrefix, TreeCache
from lm_eval_xling.scoring.tree import ScoredToken

__all__ = ["Executor", "TokenScore", "free_memory", "head_at", "is_out_of_memory"]

_LOGGER = logging.getLogger(__name__)

TokenScore = tuple[ScoredToken, float, bool]
"""A target, its log-probability in nats, and whether it is the most probable token."""

_NORMALISED_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 24}
"""Logits normalised at a time: a second copy of all of them would double the memory, and on a CPU a copy of more than
some megabytes is memory that the system gives anew each time, which takes longer than the normalisation."""


def _show_nothing(done: int) -> None:
    pass


class Executor:
    """Runs the batches of a plan on a causal language model.

    Args:
        model: in evaluation mode; adapters may be attached.
        device: of the model's inputs.
        softmax_dtype: type of the log-probabilities; the logits' own if None.
        context: makes the context that forward passes run in, such as autocast.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device,
        softmax_dtype: torch.dtype | None = None,
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.model = model
        self.device = device
        self.softmax_dtype = softmax_dtype
        self.context = context
        self.most_tokens: int | None = None
        """Tokens of the largest batch that fits the device, once one did not."""
        self.score_dtype = torch.float32
        """Type of the log-probabilities, known after the first batch."""
        self._show: Callable[[int], None] = _show_nothing
        self._done = 0

    def run(self, plan: Plan, show: Callable[[int], None] = _show_nothing) -> Iterator[list[TokenScore]]:
        """Yield the scores of each batch of the plan as soon as it is computed.

        Args:
            plan: what to compute.
            show: is given the number of tokens computed so far, padding aside, after every layer: a batch of a large
                model may take minutes.
        """
        prefixes: dict[int, CachedPrefix] = {}
        self._show, self._done = show, 0
        for batch in plan.batches:
            yield self._fitting(batch, prefixes)
            for number in batch.released:
                del prefixes[number]

    def _fitting(self, batch: Batch, prefixes: dict[int, CachedPrefix]) -> list[TokenScore]:
        """Run a batch, in halves where the whole does not fit the device's memory."""
        if self.most_tokens is None or batch.tokens <= self.most_tokens or len(batch.rows) == 1:
            try:
                return self._forward(batch, prefixes)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or len(batch.rows) == 1:
                    raise
                self.most_tokens = batch.tokens // 2
                _LOGGER.warning(
                    "out of memory with a batch of %d tokens: going on with at most %d", batch.tokens, self.most_tokens
                )
            # Outside the handler: inside it, the traceback would keep the tensors of the failed pass alive.
            free_memory()
        half = len(batch.rows) // 2
        scores = []
        for rows in (batch.rows[:half], batch.rows[half:]):
            scores.extend(self._fitting(Batch(rows), prefixes))
        return scores

    @torch.inference_mode()
    def _forward(self, batch: Batch, prefixes: dict[int, CachedPrefix]) -> list[TokenScore]:
        rows = batch.rows
        tokens = [token for row in rows for token in row.tokens]
        positions = [position for row in rows for position in row.positions]
        starts = [0, *accumulate(map(len, rows))]
        places = sorted({start + place for start, row in zip(starts, rows, strict=False) for place in row.places})
        # The head, whose vocabulary may be large, counts as one more layer.
        steps = int(self.model.config.get_text_config().num_hidden_layers) + 1
        cache = TreeCache(
            groups=[
                (None if number is None else prefixes[number], start, stop) for number, start, stop in batch.groups()
            ],
            positions=[row.positions for row in rows],
            ends=[row.ends for row in rows],
            keeping=any(row.kept_as is not None for row in rows),
            layer_done=lambda layer: self._show(self._done + batch.tokens * (layer + 1) // steps),
        )
        # All rows in one line, without padding: only attention needs to know which token belongs to which.
        with self.context(), attending(self.model, cache), head_at(self.model, torch.tensor(places, dtype=torch.long)):
            logits = self.model(
                input_ids=torch.tensor([tokens], device=self.device),
                position_ids=torch.tensor([positions], device=self.device),
                past_key_values=cache,
                use_cache=True,
            ).logits.flatten(0, 1)
        cache.check_complete()
        for number, row in enumerate(rows):
            if row.kept_as is not None:
                parent = None if row.prefix is None else prefixes[row.prefix]
                prefixes[row.kept_as] = cache.row(number, parent)
        line = {place: index for index, place in enumerate(places)}
        targets = [
            (line[start + place], target)
            for start, row in zip(starts, rows, strict=False)
            for place, target in zip(row.places, row.scored, strict=True)
        ]
        scores = self._read(logits, targets)
        self._done += batch.tokens
        self._show(self._done)
        return scores

    def prefix(self, tokens: Sequence[int]) -> CachedPrefix:
        """Compute one cached prefix.

        Args:
            tokens: token ids from the start of the sequence.
        """
        length = len(tokens)
        row = BatchRow(None, tuple(tokens), tuple(range(length)), (length,) * length, (), (), kept_as=0)
        prefixes: dict[int, CachedPrefix] = {}
        self._show = _show_nothing
        self._forward(Batch((row,)), prefixes)
        return prefixes[0]

    def _read(self, logits: Tensor, targets: list[tuple[int, ScoredToken]]) -> list[TokenScore]:
        """Read targets off the logits, shape (scored places, vocabulary); each comes with its place."""
        targets.sort(key=lambda pair: pair[0])
        scores: list[TokenScore] = []
        step = max(1, _NORMALISED_AT_ONCE.get(logits.device.type, 1 << 24) // max(1, logits.shape[-1]))
        first = 0
        for start in range(0, len(logits), step):
            last = first
            while last < len(targets) and targets[last][0] < start + step:
                last += 1
            # The same operations as the harness's hf model: in half precision, ties depend on their order.
            normalised = torch.log_softmax(logits[start : start + step], dim=-1, dtype=self.softmax_dtype)
            self.score_dtype = normalised.dtype
            lines = torch.tensor([place - start for place, _ in targets[first:last]], device=logits.device)
            wanted = torch.tensor([target.token for _, target in targets[first:last]], device=logits.device)
            values = normalised[lines, wanted].tolist()
            # `argmax` finds the same place, the first of equal ones, in six times the time in bfloat16 on a CPU.
            greedy = (normalised.max(dim=-1).indices[lines] == wanted).tolist()
            for (_, target), value, is_greedy in zip(targets[first:last], values, greedy, strict=True):
                scores.append((target, value, is_greedy))
            first = last
        return scores


@contextmanager
def head_at(model: Any, places: Tensor) -> Iterator[None]:
    """Apply the model's output head only to some places.

    Scaling and capping of logits stay the model's own, because its forward pass goes on with what the head returns.

    Args:
        model: a causal language model.
        places: indices into the flattened (rows, width) of the hidden states; the logits have shape
            (1, len(places), vocabulary).
    """

    def select(head: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        hidden = inputs[0]
        return (hidden.flatten(0, 1)[places.to(hidden.device)][None], *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


def free_memory() -> None:
    """Give back what the pass that ran out of memory held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the machine has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "out of memory" in str(error).lower() or "can't allocate memory" in str(error)
