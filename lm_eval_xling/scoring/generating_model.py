"""Generation as the harness sees it: its ``hf`` model with cached prefixes and continuous batches."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs
from torch import Tensor
from tqdm import tqdm

from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring.answer_store import AnswerStore, is_sampled
from lm_eval_xling.scoring.decoding import Ending, generate_continuously
from lm_eval_xling.scoring.execution import Executor, free_memory, is_out_of_memory
from lm_eval_xling.scoring.generation_settings import depends_on_the_prompt, has_own_cache, without_own_cache
from lm_eval_xling.scoring.prefix_attention import attending
from lm_eval_xling.scoring.prefix_cache import GrowingCache
from lm_eval_xling.scoring.prompt_prefixes import PromptPlan, PromptPrefixes, plan_prompts
from lm_eval_xling.scoring.self_check import SelfCheck

__all__ = ["GeneratingLM"]

_LOGGER = logging.getLogger(__name__)

_AUTO_GENERATION = {"cpu": 8192, "cuda": 131072}
"""Tokens of a batch with ``batch_size=auto``: passes read one token a row, and the cache alone grows with the rows."""
_WAITING = 4
"""Prompts given to a continuous batch, for each of its rows: the more, the fuller it stays; the fewer, the less is lost
by a kill, after which those of a batch are generated from anew."""


class GeneratingLM(HFLM):  # type: ignore[misc]  # the harness is not typed
    """``hf`` with its generation replaced; a subclass decides whether it may be, and replaces the scoring."""

    fallback_reason: str | None
    _answers: AnswerStore
    _check: SelfCheck
    _computes_numbers: bool
    _encode_all: Callable[[set[str]], Iterator[tuple[str, list[int]]]]
    _executor: Executor
    _prompt_prefixes: PromptPrefixes | None = None
    _generation_checked = False
    _generation_off = False
    _rows_at_once: int | None = None
    """Of a continuous batch; None where batches are ``hf``'s."""

    _ended: Callable[[], None]
    """Is called after each text of a continuous batch."""

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Generate from each context; see ``LM.generate_until``.

        The contexts of a prefix are generated from together. Because its keys and values are in memory once, more
        rows than ``batch_size`` take no more memory than that many rows of ``hf``.
        """
        # Each once: a task's requests have the same, and looking at the model's defaults takes a while.
        options = list({repr(request.args[1]): request.args[1] for request in requests}.values())
        if requests and not self._computes_numbers:
            raise UserError(
                "the model's log-probabilities are no numbers",
                where=f"prompt ending in {requests[0].args[0][-60:]!r}",
                fix="look at its weights for values that are no numbers",
            )
        for given in options:
            self._check_options(given)
        if requests and not any(self.tok_encode(request.args[0]) for request in requests):
            raise UserError(
                "all prompts are empty, and the tokenizer begins them with no token",
                where=f"task {requests[0].task_name or '(unnamed)'}",
                fix="give the task a doc_to_text; --model_args …,add_bos_token=True helps where the tokenizer has one",
            )
        sampled = any(map(is_sampled, options))
        if (
            self.fallback_reason is not None
            or self._generation_off
            or not requests
            # Checked before batches are formed, which are larger than hf's.
            or (not sampled and any(map(self._is_continuous, options)) and not self._can_continue_prefixes())
        ):
            compute = partial(super().generate_until, disable_tqdm=disable_tqdm)
            return self._answers.completed("generate_until", requests, compute)
        encodings = dict(self._encode_all({request.args[0] for request in requests}))
        lengths = [len(encodings[request.args[0]]) for request in requests]
        plan = plan_prompts([encodings[request.args[0]] or [self.prefix_token_id] for request in requests])
        longest = max(lengths) + max(map(self._most_generated, options))
        with self._rows(self._generation_rows(longest)) as rows:
            self._prompt_prefixes = PromptPrefixes(self._executor, plan.prefixes, rows * longest)
            try:
                if sampled:
                    # The same batches as hf, so that the same random numbers meet the same rows.
                    texts: list[str] = super().generate_until(requests, disable_tqdm)
                    return texts
                return self._generate_by_prefix(requests, plan, lengths, rows * longest, disable_tqdm)
            finally:
                self._prompt_prefixes = self._rows_at_once = None

    def _generate_by_prefix(
        self, requests: list[Any], plan: PromptPlan, lengths: list[int], budget: int, disable_tqdm: bool
    ) -> list[str]:
        members: dict[int | None, list[int]] = {}
        # As hf forms batches, within each prefix.
        for index in sorted(range(len(requests)), key=lambda index: (-lengths[index], requests[index].args[0])):
            members.setdefault(plan.prefix_of[index], []).append(index)
        # Prefixes of less than a batch of prompts are generated from together, as far as they fit.
        small = [prefix for prefix, indices in members.items() if len(indices) < self.batch_size]
        # One after the other, as a continuous batch takes them, so that each is computed once, however few stay cached.
        small.sort(key=lambda prefix: -1 if prefix is None else prefix)
        joined = [index for prefix in small for index in members.pop(prefix)]
        results = [""] * len(requests)
        finished = 0
        with tqdm(
            total=len(requests), desc="Running generate_until requests", disable=disable_tqdm or self.rank != 0
        ) as progress:

            def ended() -> None:
                # A batch that does not fit the memory begins again.
                progress.update(int(progress.n < finished + len(batch)))

            self._ended = ended
            for prefix, indices in [*members.items(), *([(None, joined)] if joined else [])]:
                cached = 0 if prefix is None else len(plan.prefixes[prefix])
                own = max(lengths[i] - cached + self._most_generated(requests[i].args[1]) for i in indices)
                rows = max(int(self.batch_size), (budget - cached) // own)
                for alike in self._alike(requests, indices):
                    self._rows_at_once = rows if self._is_continuous(requests[alike[0]].args[1]) else None
                    size = rows if self._rows_at_once is None else _WAITING * rows
                    with self._rows(size):
                        for start in range(0, len(alike), size):
                            batch = alike[start : start + size]
                            for index, text in zip(batch, self._generated([requests[i] for i in batch]), strict=True):
                                results[index] = text
                            finished += len(batch)
                            progress.update(finished - progress.n)
        return results

    def _check_options(self, options: dict[str, Any]) -> None:
        """Raise a UserError for options of a request with which ``hf`` ends in an error of its own."""
        where = f"generation_kwargs {options!r}"
        until = options.get("until", [])
        if not all(isinstance(stop, str) for stop in (until if isinstance(until, list) else [until])):
            raise UserError("until is neither a text nor a list of texts", where=where, fix='until: ["\\n"]')
        most = self._most_generated(options)
        if most < 1 or (self.backend == "causal" and most >= self.max_length):
            raise UserError(
                f"texts of up to {most} tokens cannot be generated by a model that reads {self.max_length}",
                where=where,
                fix="max_gen_toks of at least 1, and less than the model reads: --gen_kwargs max_gen_toks=N",
            )

    def _alike(self, requests: list[Any], indices: list[int]) -> Iterable[list[int]]:
        """Requests with the same options, in their order.

        Prompts that bring the token that begins texts are apart, because ``hf`` asks only the first of a batch.
        """
        bos = self.tokenizer.bos_token
        options: dict[tuple[str, bool], list[int]] = {}
        for index in indices:
            prompt, given = requests[index].args
            key = json.dumps(given, sort_keys=True), has_bos_prefix(prompt, bos)
            options.setdefault(key, []).append(index)
        return options.values()

    def tok_batch_encode(self, strings: list[str], *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Encode prompts as ``hf`` does; without a token in any of them as it does beside others, as padding."""
        ids, mask = super().tok_batch_encode(strings, *args, **kwargs)
        if ids.shape[1] == 0:
            ids = ids.new_full((len(strings), 1), self.tokenizer.pad_token_id, dtype=torch.long)
            mask = torch.zeros_like(ids)
        return ids, mask

    def _is_continuous(self, options: dict[str, Any]) -> bool:
        """Whether requests with these options may share a continuous batch."""
        settings = normalize_gen_kwargs(options, self.max_gen_toks)
        # The harness makes arguments of its own of these.
        settings = {name: settings[name] for name in settings.keys() - {"until", "max_gen_toks"}}
        return not (has_own_cache(self.model, settings) or depends_on_the_prompt(self.model, settings))

    def _generated(self, batch: list[Any]) -> list[str]:
        """Generate from the contexts of a batch, unless all of its answers are known."""
        known = self._answers.known_together("generate_until", [request.args for request in batch])
        texts: list[str] = super().generate_until(batch, disable_tqdm=True) if known is None else known
        return texts

    def _most_generated(self, options: dict[str, Any]) -> int:
        return int(normalize_gen_kwargs(options, self.max_gen_toks)["max_gen_toks"])

    def _generation_rows(self, longest: int) -> int:
        if self.batch_size != "auto":
            return int(self.batch_size)
        budget = _AUTO_GENERATION.get(self.device.type, 16384)
        return max(1, min(int(self.max_batch_size), budget // longest))

    @contextmanager
    def _rows(self, rows: int) -> Iterator[int]:
        """Let the harness's code form batches of so many rows."""
        before = self.batch_size
        self.batch_size_per_gpu: int | str = rows
        try:
            yield rows
        finally:
            self.batch_size_per_gpu = before

    def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        """Generate for one batch as ``hf`` does, from cached prefixes where there are any."""
        generate = super()._model_generate
        prefixes = self._usable_prefixes(context, options)
        try:
            if prefixes is None:
                made: Tensor = generate(context, max_length, stop, **options)
            elif self._rows_at_once is not None:
                made = self._generate_continuously(
                    prefixes, generate, context, max_length, stop, self._rows_at_once, options
                )
            else:
                cache = prefixes.cache(context, options["attention_mask"])
                with attending(self.model, cache), without_own_cache(self.model):
                    made = generate(context, max_length, stop, past_key_values=cache, **options)
            return made
        except (RuntimeError, MemoryError) as error:
            at_once = min(self._rows_at_once or len(context), len(context))
            if not is_out_of_memory(error) or at_once == 1:
                raise
            _LOGGER.warning("out of memory generating %d texts at a time: going on with halves", at_once)
        free_memory()
        if self._rows_at_once is not None:
            self._rows_at_once = at_once // 2
            return self._model_generate(context, max_length, stop, **options)
        mask = options.pop("attention_mask")
        half = len(context) // 2
        parts = [
            self._model_generate(context[rows], max_length, stop, attention_mask=mask[rows], **options)
            for rows in (slice(None, half), slice(half, None))
        ]
        width = max(part.shape[1] for part in parts)
        pad = self.tokenizer.pad_token_id
        return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1]), value=pad) for part in parts])

    def _filler(self) -> int:
        """Id of a token that is no part of a text: the harness decodes what stands behind the end of a text, too."""
        tokenizer = self.tokenizer
        named = (tokenizer.pad_token_id, tokenizer.eos_token_id, *tokenizer.all_special_ids)
        unread = (token for token in named if token is not None and token != self.think_end_token)
        none = (token for token in unread if not tokenizer.decode([token], skip_special_tokens=True))
        return int(next(none, tokenizer.pad_token_id))

    def _usable_prefixes(self, context: Tensor, options: dict[str, Any]) -> PromptPrefixes | None:
        """The prefixes from which a batch can be generated; None: it is left to ``hf``."""
        prefixes, mask = self._prompt_prefixes, options.get("attention_mask")
        if prefixes is None or mask is None:
            return None
        if self._rows_at_once is None and (
            has_own_cache(self.model, options)
            or not prefixes.continued(context, mask)
            or not self._can_continue_prefixes()
        ):
            return None
        return prefixes

    def _can_continue_prefixes(self) -> bool:
        """Whether generation from cached prefixes is the model's own, which is checked once."""
        if not self._generation_checked:
            reason = self._check.reason_against_generation(self.tokenizer.pad_token_id)
            self._generation_checked = True
            if reason is not None:
                _LOGGER.warning("generation uses hf's own code: %s", reason)
                self._generation_off = True
        return not self._generation_off

    def _generate_continuously(
        self,
        prefixes: PromptPrefixes,
        generate: Callable[..., Tensor],
        context: Tensor,
        max_length: int,
        stop: list[str],
        rows: int,
        options: dict[str, Any],
    ) -> Tensor:
        def further(ids: Tensor, mask: Tensor, cache: GrowingCache, count: int) -> Tensor:
            own = {**options, "attention_mask": mask, "past_key_values": cache}
            with attending(self.model, cache), without_own_cache(self.model):
                # Without stops: it would look for them in what was generated by this call alone.
                return generate(ids, ids.shape[1] + count, [], **own)

        end = self.model.generation_config.eos_token_id
        return generate_continuously(
            context,
            options["attention_mask"],
            order=prefixes.in_order(context, options["attention_mask"]),
            most=max_length - context.shape[1],
            rows=rows,
            ending=Ending(self.tokenizer, stop, end if isinstance(end, list) else [] if end is None else [end]),
            filler=self._filler(),
            cache_of=prefixes.cache,
            generate=further,
            done=self._ended,
        )
