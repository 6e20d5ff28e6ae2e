"""The way of every answer into the harness's cache (``--use_cache``): only numbers, and known again after a kill."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.model import CacheHook, hash_args
from lm_eval.models.utils import normalize_gen_kwargs

from lm_eval_xling.errors import UserError

__all__ = ["AnswerStore", "is_sampled"]

_LOGGER = logging.getLogger(__name__)


class AnswerStore:
    """Stands between a model and the harness's cache of answers, through which every answer goes as it is computed.

    The harness takes out of a continued run what its cache answers. The rest would be computed in other batches, whose
    scores are rounded differently, so that the continued run would not end as one that was never killed. Answers
    therefore stand under names of ours until the harness stores those of the whole run: the model is asked everything
    again, makes the same batches, and computes those of which an answer is not ``known``.

    A log-likelihood that is not a number, or above all numbers, is an error: whatever is compared with it would be
    decided by the order of the options. Minus infinity stays what it is in ``hf``, a probability of 0: it comes from
    models that exclude tokens by a logit of minus infinity, and a model whose logits are broken gives no such value,
    because normalising them gives no number. The first one is warned of, because sums and perplexities become infinite.

    Args:
        hook: of the cache; also without one, the harness sets a hook that stores nothing.
    """

    def __init__(self, hook: CacheHook) -> None:
        self._hook = hook.unwrapped if isinstance(hook, AnswerStore) else hook
        self._warned = False

    @property
    def unwrapped(self) -> CacheHook:
        """The hook of the cache."""
        return self._hook

    def add_partial(self, kind: str, request: Sequence[Any], answer: Any) -> None:
        """Store an answer.

        Args:
            kind: ``loglikelihood``, ``loglikelihood_rolling`` or ``generate_until``.
            request: its arguments.
            answer: a log-likelihood in nats, a pair of it and whether it is the greatest, or a text.

        Raises:
            UserError: if the log-likelihood is not a number, or plus infinity.
        """
        value = answer[0] if isinstance(answer, tuple | list) else answer
        if isinstance(value, float) and not math.isfinite(value):
            self._judge(value, [str(part) for part in request])
        if not (kind == "generate_until" and is_sampled(request[1])):
            self._hook.add_partial(_name(kind), request, answer)

    def known(self, kind: str, request: Sequence[Any]) -> Any | None:
        """The stored answer to a request; None where there is none."""
        stored = self._hook.dbdict
        if stored is None or (kind == "generate_until" and is_sampled(request[1])):
            return None
        return stored.get(hash_args(_name(kind), request))

    def known_together(self, kind: str, requests: Sequence[Sequence[Any]]) -> list[Any] | None:
        """The stored answers to requests that are computed together; None unless there are all."""
        answers = [self.known(kind, request) for request in requests]
        return None if None in answers else answers

    def completed(self, kind: str, requests: Sequence[Any], compute: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """Answers to all requests, of which ``compute`` is given those that are not known."""
        answers = [self.known(kind, request.args) for request in requests]
        unknown = [request for request, answer in zip(requests, answers, strict=True) if answer is None]
        computed = iter(compute(unknown) if unknown else ())
        return [next(computed) if answer is None else answer for answer in answers]

    def _judge(self, value: float, request: list[str]) -> None:
        where = f"request {' ▸ '.join(repr(part[-60:]) for part in request)}"
        if value == -math.inf:
            if not self._warned:
                _LOGGER.warning("the model gives a continuation the probability 0: %s", where)
            self._warned = True
            return
        raise UserError(
            f"the model's log-likelihood is {value}",
            where=where,
            fix="look at its weights for values that are no numbers; where they are sound, half precision overflows: "
            "--model_args …,dtype=float32, or dtype=bfloat16 instead of float16",
        )


def _name(kind: str) -> str:
    return f"{kind} of an unfinished run"


def is_sampled(options: dict[str, Any]) -> bool:
    """Whether the harness samples with these options of a request, a temperature alone included.

    Such a text is drawn anew each time: the answers to a request that is repeated must differ.
    """
    return bool(normalize_gen_kwargs(options)["do_sample"])
