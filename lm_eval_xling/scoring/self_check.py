"""A model scored both ways on a short text: whether what differs is an error, and not rounding.

Both ways compute in float32, whatever the model's type: an error of a mask, a position or a layer is one in any
arithmetic, while half precision hides it in rounding of the same size. Where more than the usual rounding remains, the
model's is measured, by the same pass with its embeddings changed by a millionth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lm_eval_xling.models.attention_switch import attention_configs
from lm_eval_xling.scoring.exact import can_be_exact, in_float32
from lm_eval_xling.scoring.execution import Executor, head_at, is_out_of_memory
from lm_eval_xling.scoring.generation_settings import without_own_cache
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.prefix_attention import attending
from lm_eval_xling.scoring.prefix_cache import UnsupportedModel
from lm_eval_xling.scoring.prompt_prefixes import PromptPrefixes
from lm_eval_xling.scoring.support import structural_reason
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["SelfCheck"]

TEXT = (
    "The old bridge over the river was built in 1897, and it has carried trains ever since. Which two towns does it "
    "join? Die Brücke verbindet zwei Städte, die früher zu verschiedenen Ländern gehörten. Le pont a été fermé pendant "
    "trois ans, puis rouvert au public. El río nace en las montañas y llega al mar después de 640 kilómetros. "
    "这座桥每天有两百多列火车通过。 Answer: both towns lie on the left bank. Question: how long is the river?\n"
)
"""What the check reads: real text, because a model's arithmetic on random tokens is not that of its use."""

_TOLERANCE = 1e-3
"""Difference of log-probabilities, in nats, that is rounding in any model in float32."""
_MOST_TOLERATED = 0.3
"""From here on a difference is no rounding, or the model too unsteady to tell."""
_MULTIPLE_OF_NOISE = 10.0
"""A difference of so many times the effect of the change is rounding, too: it happens in every layer."""
_CHANGE = 2.0**-20
"""Relative size of the change of the embeddings, a few steps of float32."""
_LONGEST_WINDOW = 1024
"""Windows and chunks up to so many tokens are exceeded by the check; longer ones would make it slow."""
_ARCHITECTURE_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    AssertionError,
)
"""Architectures fail in their own ways when they meet a cache that they do not expect."""


class SelfCheck:
    """Compares a model with itself, with and without cached prefixes.

    Args:
        model: a loaded causal language model.
        executor: would run the model.
        max_length: most tokens that the model reads.
        text: token ids of ``TEXT``, as the model's tokenizer begins a text.
    """

    def __init__(self, model: Any, executor: Executor, max_length: int, text: Sequence[int]) -> None:
        self._model = model
        self._executor = executor
        self._max_length = max_length
        self._text = list(text)
        self.is_a_number = True
        """Whether the model's own log-probabilities are numbers."""

    def reason_against_scoring(self) -> str | None:
        """Return why the model cannot be scored by shared prefixes, or None where it can."""
        try:
            return structural_reason(self._model) or self._first_difference(self._scoring_difference, "")
        except UnsupportedModel as error:
            return str(error)
        except _ARCHITECTURE_ERRORS as error:
            return f"the self-check failed with {type(error).__name__}: {error}"

    def reason_against_generation(self, pad: int) -> str | None:
        """Return why the model cannot generate from cached prefixes, or None where it can.

        Args:
            pad: token id of padding.
        """
        try:
            return self._first_difference(lambda length: self._generation_difference(length, pad), " when generating")
        except UnsupportedModel as error:
            return str(error)
        except _ARCHITECTURE_ERRORS as error:
            if is_out_of_memory(error):
                raise
            return f"generation from a cached prefix fails with {type(error).__name__}: {error}"

    def _first_difference(self, difference: Callable[[int], float], what: str) -> str | None:
        with torch.inference_mode(), self._arithmetic():
            for length in self._lengths():
                found = difference(length)
                if found <= _TOLERANCE:
                    continue
                noise = self._noise(length)
                # Written so that a difference that is not a number fails.
                if not found <= min(max(_TOLERANCE, _MULTIPLE_OF_NOISE * noise), _MOST_TOLERATED):
                    return (
                        f"the self-check's log-probabilities differ by {found:.2g} nats{what} after a prefix of "
                        f"{length} tokens (rounding: {noise:.2g})"
                    )
        return None

    def _lengths(self) -> Iterator[int]:
        """Of the prefix: a short one, and one that is longer than the sliding window where that is short."""
        yield max(1, min(24, self._max_length - 16))
        spans = [
            getattr(config, name, None)
            for config in attention_configs(self._model)
            for name in ("sliding_window", "attention_chunk_size")
        ]
        for span in sorted({span for span in spans if isinstance(span, int)}):
            if 16 <= span <= min(_LONGEST_WINDOW, self._max_length - 24):
                yield span + 8

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Float32 where the weights are at hand, and else what the model computes in."""
        if not can_be_exact(self._model):
            with self._executor.context():
                yield
            return
        before = self._executor.context, self._executor.softmax_dtype
        self._executor.context, self._executor.softmax_dtype = torch.no_grad, None
        try:
            with in_float32(self._model):
                yield
        finally:
            self._executor.context, self._executor.softmax_dtype = before

    def _tokens(self, length: int) -> tuple[list[int], list[int], list[int]]:
        """A prefix of so many tokens and two different continuations, of eight and of fourteen."""
        vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        text = self._text
        if len(set(text)) < 16 or max(text) >= vocabulary:
            # A tokenizer that does not know the text, or is not the model's.
            text = torch.randint(vocabulary, (64,), generator=torch.Generator().manual_seed(0)).tolist()
        while len(text) < length + 24:
            text = text + text[1:]
        shared, first = text[:length], text[length : length + 8]
        taken = {first[0], first[4]}
        start = next(index for index in range(len(text) - 14) if text[index] not in taken)
        return shared, first, text[start : start + 14]

    def _sequences(self, length: int) -> list[ScoredSequence]:
        """Two documents after one prefix; the first with continuations of four, two and one tokens, as a tree.

        The second is longer, so that the row of the first, which is compared, stands behind it and is padded.
        """
        shared, first, second = self._tokens(length)
        return [
            ScoredSequence(shared + first[:-1], first[-4:]),
            ScoredSequence(shared + first[:4] + second[:1], second[:2]),
            ScoredSequence(shared + first[:4], [second[1]]),
            ScoredSequence(shared + second[:-1], second[-1:]),
        ]

    def _wanted(self, sequences: list[ScoredSequence]) -> list[tuple[tuple[int, int], int, int]]:
        """What is compared: sequence and index of each target of the first document, its place and its token."""
        wanted = [((0, k), k, token) for k, token in enumerate(sequences[0].targets)]
        return wanted + [((index, 0), 0, sequences[index].targets[0]) for index in (1, 2)]

    def _expected(self, sequence: ScoredSequence, rows: int = 1) -> Tensor:
        """Log-probabilities by the model's own code at a sequence's four targets, shape (rows, 4, vocabulary)."""
        width = len(sequence.tokens)
        # Only as many places as are compared: the logits of a whole long prompt may take gigabytes.
        places = torch.cat([torch.arange(width - 4, width) + row * width for row in range(rows)])
        tokens = torch.tensor([list(sequence.tokens)] * rows, device=self._executor.device)
        with head_at(self._model, places):
            logits = self._model(tokens).logits[0]
        return torch.log_softmax(logits.float(), dim=-1).view(rows, 4, -1)

    def _scoring_difference(self, length: int) -> float:
        """Greatest difference over the targets of one document, in nats."""
        sequences = self._sequences(length)
        plan = make_plan(sequences, Costs(budget=4 * length, saving=1, row=8, overhang=0.0))
        assert plan.prefixes
        scores = {
            (target.sequence, target.index): value for batch in self._executor.run(plan) for target, value, _ in batch
        }
        (expected,) = self._expected(sequences[0])
        self.is_a_number = bool(expected.isfinite().any())
        differences = [abs(float(expected[k, token]) - scores[key]) for key, k, token in self._wanted(sequences)]
        # amax, unlike max, keeps a not-a-number.
        return float(torch.tensor(differences).amax())

    def _noise(self, length: int) -> float:
        """Greatest effect of the change on the same targets, in nats."""
        sequences = self._sequences(length)
        with self._second_row_changed():
            expected, changed = self._expected(sequences[0], rows=2)
        return max(float((expected[k, token] - changed[k, token]).abs()) for _, k, token in self._wanted(sequences))

    @contextmanager
    def _second_row_changed(self) -> Iterator[None]:
        def change(module: torch.nn.Module, inputs: Any, output: Tensor) -> Tensor:
            step = max(_CHANGE, torch.finfo(output.dtype).eps)
            noise = torch.randn(output.shape[1:], generator=torch.Generator().manual_seed(0)).to(output)
            changed = output.clone()
            changed[1] *= 1 + step * noise
            return changed

        # After the hook that makes float32 of the embeddings.
        handle = self._model.get_input_embeddings().register_forward_hook(change)
        try:
            yield
        finally:
            handle.remove()

    def _generation_difference(self, length: int, pad: int) -> float:
        """Greatest difference of the log-probabilities of two generated tokens, in nats."""
        shared, first, second = self._tokens(length)
        prompts = [shared + first, shared + second[:3]]
        width = max(map(len, prompts))
        device = self._executor.device
        context = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        options: dict[str, Any] = {
            "attention_mask": mask,
            "max_new_tokens": 2,
            "do_sample": False,
            "output_logits": True,
            "return_dict_in_generate": True,
            "pad_token_id": pad,
        }
        cache = PromptPrefixes(self._executor, [np.asarray(shared, np.uint32)], 2 * length).cache(context, mask)
        with attending(self._model, cache), without_own_cache(self._model):
            found = self._model.generate(input_ids=context, past_key_values=cache, **options)
        expected = self._model.generate(input_ids=context, **options)
        # Later steps are comparable only in rows that chose the same token before.
        agreeing = torch.ones(len(context), dtype=torch.bool, device=device)
        greatest = 0.0
        for step, (ours, theirs) in enumerate(zip(found.logits, expected.logits, strict=False)):
            chosen = theirs.argmax(dim=-1, keepdim=True)
            logs = [torch.log_softmax(logits.float(), dim=-1).gather(-1, chosen)[:, 0] for logits in (ours, theirs)]
            differences = (logs[0] - logs[1]).abs()[agreeing]
            if len(differences):
                greatest = float(torch.cat([differences, differences.new_tensor([greatest])]).amax())
            agreeing &= found.sequences[:, width + step] == expected.sequences[:, width + step]
        return greatest
