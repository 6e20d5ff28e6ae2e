"""The backend as the harness sees it: its ``hf`` model with the scoring replaced."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import has_bos_prefix
from numpy.typing import NDArray
from tqdm import tqdm

from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring.execution import Executor
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.support import reason_against
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["SharedPrefixLM"]

_LOGGER = logging.getLogger(__name__)

_AUTO_BUDGET = {"cpu": 2048, "cuda": 32768}
"""Tokens of a batch with ``batch_size=auto``: from there on more do not make it faster."""
_LAUNCH = {"cpu": 64, "cuda": 2048}
"""What a forward pass costs apart from its tokens, in tokens of a full batch."""

_Request = tuple[tuple[str, str] | None, list[int], list[int]]
_Answer = tuple[float, bool]


class SharedPrefixLM(HFLM):  # type: ignore[misc]  # the harness is not typed
    """``hf`` with shared prefixes computed once; takes the same arguments and gives the same numbers.

    A model that cannot be divided at a cached prefix is scored by ``hf``'s own code, with one warning that says why.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._encodings: dict[str, NDArray[np.uint32] | list[int]] = {}
        self._executor = Executor(self.model, self.device, self.softmax_dtype, self._autocast)
        if self.backend != "causal":
            reason: str | None = "it is an encoder-decoder model"
        elif kwargs.get("tp_plan") is not None:
            reason = "tensor parallelism needs the same batches in every process"
        else:
            reason = reason_against(self.model, self._executor, self.max_length)
        self.fallback_reason = reason
        """Why ``hf``'s own code is used; None where it is not."""
        if reason is not None:
            _LOGGER.warning("shared-prefix scoring is off, hf's own code is used: %s", reason)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        dtype = self.mixed_precision_dtype
        with torch.autocast(device_type=self.device.type, dtype=dtype, enabled=dtype is not None):
            yield

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Encode as ``hf`` does, from what ``loglikelihood`` encoded in advance where that has it."""
        if not args and not kwargs and string in self._encodings:
            known = self._encodings[string]
            return known if isinstance(known, list) else known.tolist()
        encoding: list[int] = super().tok_encode(string, *args, **kwargs)
        return encoding

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[_Answer]:
        """Log-likelihood of each continuation and whether it is the most probable one; see ``LM.loglikelihood``."""
        if self.fallback_reason is None:
            pairs = [request.args for request in requests if request.args[0]]
            # The harness encodes the context anew for each of its continuations. Lists are shared between requests
            # and must not be changed; whole texts are read once only, and arrays take a ninth of the memory.
            contexts = self._encode_all({context.rstrip() for context, _ in pairs})
            wholes = self._encode_all({context + continuation for context, continuation in pairs})
            self._encodings = {
                **{text: np.asarray(tokens, np.uint32) for text, tokens in wholes},
                **dict(contexts),
            }
        try:
            answers: list[_Answer] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            return answers
        finally:
            self._encodings = {}

    def _encode_all(self, texts: set[str]) -> Iterator[tuple[str, list[int]]]:
        """Each text with its ``tok_encode``, in calls of many texts, which the tokenizers library runs in parallel."""
        bos = self.tokenizer.decode(self.prefix_token_id)
        for has_bos in (False, True):
            group = sorted(text for text in texts if has_bos_prefix(text, bos) == has_bos)
            options: dict[str, bool] = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
            if has_bos:
                options = {"add_special_tokens": False}
            for start in range(0, len(group), 1024):
                part = group[start : start + 1024]
                yield from zip(part, self.tokenizer(part, **options)["input_ids"], strict=True)

    def _loglikelihood_tokens(
        self, requests: Sequence[_Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[_Answer]:
        if self.fallback_reason is not None:
            answers: list[_Answer] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return answers
        sequences = [self._sequence(*request) for request in requests]
        self._warn_of_truncation(requests)
        plan = make_plan(sequences, self._costs(sequences, override_bs))
        _LOGGER.debug("%s", plan)
        values = [np.zeros(len(sequence.targets), np.float64) for sequence in sequences]
        greedy = np.ones(len(sequences), bool)
        missing = np.array([len(sequence.targets) for sequence in sequences])
        results: list[_Answer] = [(0.0, False)] * len(sequences)
        description = "Running loglikelihood requests"
        with tqdm(total=len(requests), desc=description, disable=disable_tqdm or self.rank != 0) as progress:
            for scores in self._executor.run(plan):
                for target, value, is_greedy in scores:
                    index = target.sequence
                    values[index][target.index] = value
                    greedy[index] &= is_greedy
                    missing[index] -= 1
                    if missing[index] == 0:
                        # In the type of the log-probabilities, as hf adds them: in half precision the sum is rounded.
                        total = torch.tensor(values[index], dtype=self._executor.score_dtype).sum()
                        results[index] = (float(total), bool(greedy[index]))
                        if requests[index][0] is not None:
                            self.cache_hook.add_partial("loglikelihood", requests[index][0], results[index])
                        progress.update(1)
        assert not missing.any()
        return results

    def _sequence(self, text: tuple[str, str] | None, context: list[int], continuation: list[int]) -> ScoredSequence:
        if not context or not continuation:
            raise UserError(
                f"{'context' if not context else 'continuation'} without tokens",
                where=None if text is None else f"context ending in {text[0][-60:]!r}, continuation {text[1]!r}",
                fix="begin the continuation with a space or a newline, so that it has a token of its own",
            )
        if len(continuation) > self.max_length:
            raise UserError(
                f"continuation of {len(continuation)} tokens is longer than the model's {self.max_length}",
                where=None if text is None else f"continuation {text[1][:60]!r}",
            )
        # The last token is only scored, never read; what is too long loses its beginning.
        tokens = np.asarray([*context, *continuation][-(self.max_length + 1) : -1], np.uint32)
        return ScoredSequence(tokens, continuation)

    def _warn_of_truncation(self, requests: Sequence[_Request]) -> None:
        lengths = [len(context) + len(continuation) for _, context, continuation in requests]
        too_long = sum(length > self.max_length + 1 for length in lengths)
        if too_long:
            _LOGGER.warning(
                "%d of %d requests are longer than the model's %d tokens (the longest has %d) and lose their beginning",
                too_long, len(lengths), self.max_length, max(lengths) - 1,
            )  # fmt: skip

    def _costs(self, sequences: Sequence[ScoredSequence], override_bs: int | None = None) -> Costs:
        """The budget is what ``hf`` pads a batch to: its number of rows times the longest of them."""
        longest = max((len(sequence.tokens) for sequence in sequences), default=1)
        size = override_bs if override_bs is not None else self.batch_size
        kind = self.device.type
        if size == "auto":
            budget = max(longest, min(longest * self.max_batch_size, _AUTO_BUDGET.get(kind, 4096)))
        else:
            budget = longest * int(size)
        return Costs(budget=budget, launch=_LAUNCH.get(kind, 64), kept=max(budget, 2048))

    def _detect_batch_size(self, requests: Any = None, pos: int = 0) -> int:
        """Rows of full length for ``batch_size=auto`` in rolling scoring and generation."""
        if self.fallback_reason is not None:
            detected: int = super()._detect_batch_size(requests, pos)
            return detected
        rows = _AUTO_BUDGET.get(self.device.type, 4096) // int(self.max_length)
        return max(1, min(rows, int(self.max_batch_size)))
