"""The backend as the harness sees it: its ``hf`` model with the scoring replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from lm_eval.api.model import CacheHook
from lm_eval.models.utils import has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from numpy.typing import NDArray
from tqdm import tqdm

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import choose_device
from lm_eval_xling.models.process_group import leave_process_group_at_exit
from lm_eval_xling.scoring.answer_store import AnswerStore
from lm_eval_xling.scoring.execution import Executor
from lm_eval_xling.scoring.generating_model import GeneratingLM
from lm_eval_xling.scoring.next_token import answer_tokens
from lm_eval_xling.scoring.one_load import adapter_weights, current_load
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.self_check import TEXT, SelfCheck
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["SharedPrefixLM"]

_LOGGER = logging.getLogger(__name__)

_AUTO_BUDGET = {"cpu": 2048, "cuda": 32768}
"""Tokens of a batch with ``batch_size=auto``: from there on more do not make it faster."""
_LOGITS = 1 << 28
"""Logits computed at a time, unless a single text has more: 1 GiB in fp32."""
_NEXT_TOKENS_AT_ONCE = 2048
"""Requests for the next token that are planned together, so that a killed evaluation loses little."""
_TEXTS_AT_ONCE = 32
"""Texts scored as a whole whose windows are planned together."""
_LAUNCH = {"cpu": 64, "cuda": 2048}
"""What a forward pass costs apart from its tokens, in tokens of a full batch."""

_Request = tuple[tuple[str, str] | None, list[int], list[int]]
_Answer = tuple[float, bool]


class SharedPrefixLM(GeneratingLM):
    """``hf`` with shared prefixes computed once; takes the same arguments and gives the same numbers.

    A model that cannot be divided at a cached prefix is scored by ``hf``'s own code, with one warning that says why.
    """

    AUTO_MODEL_CLASS: Any = None

    def __init__(self, pretrained: Any, *args: Any, device: str | None = None, **kwargs: Any) -> None:
        self._load = current_load()
        super().__init__(pretrained, *args, device=choose_device(device), **kwargs)
        leave_process_group_at_exit()
        if kwargs.get("tp_plan") is None and hasattr(self, "accelerator"):
            # The harness shares work out only among several accelerators of one machine: on machines with one each,
            # or on CPUs, every process would do all of it, and with several each machine would count from 0.
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.set_cache_hook(self.cache_hook)
        self._computes_numbers = True
        self._encodings: dict[str, NDArray[np.uint32] | list[int]] = {}
        self._executor = Executor(self.model, self.device, self.softmax_dtype, self._autocast)
        if self.backend != "causal":
            reason: str | None = "it is an encoder-decoder model"
        elif kwargs.get("tp_plan") is not None:
            reason = "tensor parallelism needs the same batches in every process"
        else:
            self._check = SelfCheck(self.model, self._executor, self.max_length, self.tok_encode(TEXT))
            reason = self._check.reason_against_scoring()
            self._computes_numbers = self._check.is_a_number
            if not self._computes_numbers:
                reason = "its log-probabilities are no numbers"
        self.fallback_reason = reason
        """Why ``hf``'s own code is used; None where it is not."""
        if reason is not None:
            _LOGGER.warning("shared-prefix scoring is off, hf's own code is used: %s", reason)

    def _create_tokenizer(self, *args: Any, **kwargs: Any) -> None:
        def load() -> Any:
            super(SharedPrefixLM, self)._create_tokenizer(*args, **kwargs)
            return self.tokenizer

        self.tokenizer = self._load.tokenizer(load) if self._load else load()

    def _create_model(self, *args: Any, revision: str | None = "main", peft: str | None = None, **kwargs: Any) -> None:
        """Load as ``hf`` does, the base weights once for all evaluations within ``one_load``."""
        if self._load is None:
            super()._create_model(*args, revision=revision, peft=peft, **kwargs)
            return
        before = self.AUTO_MODEL_CLASS
        self.AUTO_MODEL_CLASS = self._load.factory(before, adapter_weights(peft, revision) if peft else ())
        try:
            super()._create_model(*args, revision=revision, peft=peft, **kwargs)
        finally:
            self.AUTO_MODEL_CLASS = before

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """Store answers through an ``AnswerStore``, whichever code computes them."""
        self._answers = AnswerStore(cache_hook)
        super().set_cache_hook(self._answers)

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
        """Log-likelihood of each continuation and whether it is the most probable one; see ``LM.loglikelihood``.

        A request of three parts, ``(context, answer, rule)``, asks for the next token alone: the log-probability that
        it is one of those that stand for the answer by the rule (``answer_tokens``).
        """
        by_token = [request for request in requests if len(request.args) == 3]
        if by_token:
            whole = iter(self.loglikelihood([request for request in requests if len(request.args) == 2], disable_tqdm))
            tokens = self._next_tokens([request.args for request in by_token], disable_tqdm)
            return [next(tokens if len(request.args) == 3 else whole) for request in requests]
        for context, continuation in (request.args for request in requests):
            if not context and not self.tok_encode(continuation, add_special_tokens=False):
                raise self._without_tokens("continuation", (context, continuation))
        if self.fallback_reason is None:
            pairs = [request.args for request in requests if request.args[0]]
            # The harness encodes the context anew for each of its continuations. Lists are shared between requests
            # and must not be changed; whole texts are read once only, and arrays take a ninth of the memory.
            contexts = {context.rstrip() for context, _ in pairs}
            wholes = {context + continuation for context, continuation in pairs}

            def encode() -> dict[str, NDArray[np.uint32] | list[int]]:
                whole = {text: np.asarray(tokens, np.uint32) for text, tokens in self._encode_all(wholes)}
                return {**whole, **dict(self._encode_all(contexts))}

            self._encodings = self._load.encodings(contexts | wholes, encode) if self._load else encode()
        else:
            compute = partial(super().loglikelihood, disable_tqdm=disable_tqdm)
            return self._answers.completed("loglikelihood", requests, compute)
        try:
            answers: list[_Answer] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
            return answers
        finally:
            self._encodings = {}

    def _next_tokens(self, asked: Sequence[tuple[str, str, str]], disable_tqdm: bool) -> Iterator[_Answer]:
        """Answer requests for the next token; contexts are encoded as the tokenizer does by itself."""
        family = str(getattr(self.model.config, "model_type", ""))
        named = {
            (answer, rule): answer_tokens(self.tokenizer, answer, rule, splits_prefixes=family.startswith("qwen"))
            for _, answer, rule in asked
        }
        bos = self.tokenizer.decode(self.prefix_token_id)
        for start in range(0, len(asked), _NEXT_TOKENS_AT_ONCE):
            part = asked[start : start + _NEXT_TOKENS_AT_ONCE]
            if (known := self._answers.known_together("loglikelihood", part)) is not None:
                yield from known
                continue
            contexts = {
                text: self.tokenizer(text, add_special_tokens=not has_bos_prefix(text, bos))["input_ids"]
                for text in dict.fromkeys(context for context, _, _ in part)
            }
            single: list[_Request] = [
                (None, contexts[context], [token]) for context, answer, rule in part for token in named[answer, rule]
            ]
            scores = iter(self._loglikelihood_tokens(single, disable_tqdm))
            for context, answer, rule in part:
                own = [next(scores) for _ in named[answer, rule]]
                total = float(np.logaddexp.reduce([value for value, _ in own]))
                found = (total, any(greedy for _, greedy in own))
                self._answers.add_partial("loglikelihood", (context, answer, rule), found)
                yield found

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
        for text, context, continuation in requests:
            if not context or not continuation:
                raise self._without_tokens("continuation" if context else "context", text)
            if len(continuation) > self.max_length:
                raise UserError(
                    f"continuation of {len(continuation)} tokens is longer than the model's {self.max_length}",
                    where=None if text is None else f"continuation {text[1][:60]!r}",
                    fix="a model that reads longer texts, or --model_args …,max_length=N where that was set too low",
                )
        if self.fallback_reason is not None:
            answers: list[_Answer] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return answers
        with self._progress("loglikelihood", disable_tqdm) as progress:

            def show(done: int, computed: int) -> None:
                progress.total = computed
                # A batch that does not fit the memory begins again, in halves.
                progress.update(max(0, done - progress.n))

            return self._scored(requests, show, override_bs)

    def _progress(self, kind: str, disabled: bool) -> Any:
        """A bar of tokens: requests would come in jumps, the first after all prefixes that are kept at a time."""
        return tqdm(
            total=0, desc=f"Running {kind} requests", unit="tok", unit_scale=True, disable=disabled or self.rank != 0
        )

    def _scored(
        self, requests: Sequence[_Request], show: Callable[[int, int], None], override_bs: int | None = None
    ) -> list[_Answer]:
        """Score requests; ``show`` is given the tokens computed so far and in all, padding aside, after each layer."""
        sequences = [self._sequence(context, continuation) for _, context, continuation in requests]
        self._warn_of_truncation(requests)
        costs = self._costs(sequences, override_bs)
        plan = self._load.plan(sequences, costs) if self._load else make_plan(sequences, costs)
        texts = [text for text, _, _ in requests]
        known = {
            index: answer
            for index, text in enumerate(texts)
            if text is not None and (answer := self._answers.known("loglikelihood", text)) is not None
        }
        if known:
            plan = plan.remaining(set(range(len(requests))) - known.keys())
        _LOGGER.debug("%s", plan)
        values = [np.zeros(len(sequence.targets), np.float64) for sequence in sequences]
        greedy = np.ones(len(sequences), bool)
        missing = np.array([len(sequence.targets) for sequence in sequences])
        results: list[_Answer] = [known.get(index, (0.0, False)) for index in range(len(sequences))]
        show(0, plan.computed)
        for scores in self._executor.run(plan, lambda done: show(done, plan.computed)):
            for target, value, is_greedy in scores:
                index = target.sequence
                values[index][target.index] = value
                greedy[index] &= is_greedy
                missing[index] -= 1
                if missing[index] == 0 and index not in known:
                    # In the type of the log-probabilities, as hf adds them: in half precision the sum is rounded.
                    total = torch.tensor(values[index], dtype=self._executor.score_dtype).sum()
                    results[index] = (float(total), bool(greedy[index]))
                    if (text := texts[index]) is not None:
                        self._answers.add_partial("loglikelihood", text, results[index])
        assert all(index in known for index in np.flatnonzero(missing))
        return results

    @staticmethod
    def _without_tokens(part: str, text: tuple[str, str] | None) -> UserError:
        return UserError(
            f"{part} without tokens",
            where=None if text is None else f"context ending in {text[0][-60:]!r}, continuation {text[1]!r}",
            fix="begin the continuation with a space or a newline, so that it has a token of its own",
        )

    def _sequence(self, context: list[int], continuation: list[int]) -> ScoredSequence:
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
        places = max(1, _LOGITS // int(self.model.get_input_embeddings().weight.shape[0]))
        return Costs(budget=budget, launch=_LAUNCH.get(kind, 64), places=places, kept=max(budget, 2048))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of each whole text, in windows of ``max_length`` tokens; see ``LM.loglikelihood_rolling``."""
        if self.fallback_reason is not None:
            compute = partial(super().loglikelihood_rolling, disable_tqdm=disable_tqdm)
            return self._answers.completed("loglikelihood_rolling", requests, compute)
        texts = [request.args[0] for request in requests]
        encodings = [np.asarray(self.tok_encode(text), np.uint32) for text in texts]
        results: list[float] = []
        before = 0
        with self._progress("loglikelihood_rolling", disable_tqdm) as progress:
            progress.total = sum(map(len, encodings))
            # Some texts at a time, so that their windows fill batches and a killed evaluation loses little.
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                part = encodings[start : start + _TEXTS_AT_ONCE]
                given = sum(map(len, part))
                own_texts = [(text,) for text in texts[start : start + len(part)]]
                if (known := self._answers.known_together("loglikelihood_rolling", own_texts)) is not None:
                    results.extend(known)
                    before += given
                    progress.update(before - progress.n)
                    continue

                def show(done: int, computed: int, before: int = before, given: int = given) -> None:
                    # What texts share is computed once, and what windows share twice.
                    progress.update(max(0, before + given * done // max(1, computed) - progress.n))

                windows = [self._windows(tokens) for tokens in part]
                scores = iter(self._scored([window for text in windows for window in text], show))
                for text, own in zip(texts[start:], windows, strict=False):
                    results.append(sum(next(scores)[0] for _ in own))
                    self._answers.add_partial("loglikelihood_rolling", (text,), results[-1])
                before += given
        return results

    def _windows(self, tokens: NDArray[np.uint32]) -> list[_Request]:
        windows = get_rolling_token_windows(tokens.tolist(), self.prefix_token_id, self.max_length, 1)
        return [(None, *make_disjoint_window(window)) for window in windows]
