"""Answers that are no numbers are an error, not a score."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

from lm_eval.api.model import CacheHook

from lm_eval_xling.errors import UserError

__all__ = ["NumbersOnly"]

_LOGGER = logging.getLogger(__name__)


class NumbersOnly:
    """Stands between a model and the harness's cache of answers, through which every answer goes as it is computed.

    A log-likelihood that is not a number, or above all numbers, is an error: whatever is compared with it would be
    decided by the order of the options. Minus infinity stays what it is in ``hf``, a probability of 0: it comes from
    models that exclude tokens by a logit of minus infinity, and a model whose logits are broken gives no such value,
    because normalising them gives no number. The first one is warned of, because sums and perplexities become infinite.

    Args:
        hook: of the cache; also without one, the harness sets a hook that stores nothing.
    """

    def __init__(self, hook: CacheHook) -> None:
        self._hook = hook.unwrapped if isinstance(hook, NumbersOnly) else hook
        self._warned = False

    @property
    def unwrapped(self) -> CacheHook:
        """The hook of the cache."""
        return self._hook

    def add_partial(self, kind: str, request: Iterable[Any], answer: Any) -> None:
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
        self._hook.add_partial(kind, request, answer)

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
