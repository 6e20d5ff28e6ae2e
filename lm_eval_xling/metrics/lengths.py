"""Lengths of what was scored, for metrics that divide a log-likelihood by a length.

A length is that of the continuation *as it was sent*: with the space before it where the request had one, without it
under a chat template. Whoever counts the answer's text instead scores another string than the model did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Lengths", "TokenCounter", "continuation_lengths", "likeliest"]

TokenCounter = Callable[[str], int]
"""How many tokens the evaluated model's tokenizer makes of a text, special tokens included."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the continuations of one document, in their order."""

    bytes: tuple[int, ...]
    """UTF-8 bytes."""
    tokens: tuple[int, ...] | None
    """Tokens, or None where no tokenizer is known."""

    def by_suffix(self) -> dict[str, tuple[int, ...]]:
        """Return the lengths by the suffix of a metric's name: ``""`` for tokens, ``"_bytes"`` for bytes."""
        return {**({} if self.tokens is None else {"": self.tokens}), "_bytes": self.bytes}


def continuation_lengths(
    context: str, continuations: Sequence[str], count_tokens: TokenCounter | None = None
) -> Lengths:
    """Return the lengths of continuations of a context.

    Args:
        context: text before every continuation, as it was sent (chat template included).
        continuations: texts whose log-likelihoods were asked for, as they were sent.
        count_tokens: counts as the evaluated model does; tokens are then split as the harness splits a request: what
            the whole has more than the context without the spaces that it ends in, which go to the continuation.

    Raises:
        ValueError: if a continuation is empty, or adds no token, so that nothing can be divided by its length.
    """
    sizes = tuple(len(continuation.encode()) for continuation in continuations)
    tokens = None
    if count_tokens is not None:
        before = count_tokens(context.rstrip())
        tokens = tuple(count_tokens(context + continuation) - before for continuation in continuations)
    for length, continuation in zip(sizes if tokens is None else map(min, sizes, tokens), continuations, strict=True):
        if length < 1:
            raise ValueError(f"the continuation {continuation!r} of {context[-40:]!r} has no length")
    return Lengths(sizes, tokens)


def likeliest(log_likelihoods: Sequence[float], lengths: Sequence[int] | None = None) -> int:
    """Return the index of the highest log-likelihood, or, with lengths, of the highest per unit of length.

    The first of several equal ones counts, as in the harness.

    Args:
        log_likelihoods: of each continuation, in nats.
        lengths: of each continuation; bytes are comparable across scripts, characters and tokens are not.
    """
    scores = log_likelihoods if lengths is None else [a / b for a, b in zip(log_likelihoods, lengths, strict=True)]
    return max(range(len(scores)), key=lambda index: (scores[index], -index))
