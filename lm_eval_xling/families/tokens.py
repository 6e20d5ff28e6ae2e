"""Counting the tokens that an answer adds to a prompt, with the tokenizer of the evaluated model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

from lm_eval_xling.errors import UserError

__all__ = ["TokenCounter", "token_counter"]

log = logging.getLogger(__name__)

TokenCounter = Callable[[str, str], int]
"""Tokens that a continuation adds to a context."""


@cache
def token_counter(name: str | None) -> TokenCounter | None:
    """Return the counter of a tokenizer (folder or hub name), or ``None`` where no tokenizer is known.

    Raises:
        UserError: if there is no such tokenizer.
    """
    if not isinstance(name, str):
        log.warning("no tokenizer is known, so that probabilities are given per byte only")
        return None
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer {name!r} cannot be loaded: {error}",
            where="scores per token",
            fix="""name one with --metadata '{"xling": {"tokenizer": "FOLDER"}}'""",
        ) from error

    def count(context: str, continuation: str) -> int:
        # As the harness splits a request: what the whole has more than the context alone.
        return len(tokenizer(context + continuation)["input_ids"]) - len(tokenizer(context)["input_ids"])

    return count
