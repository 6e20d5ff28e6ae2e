"""Counting tokens with the tokenizer of the evaluated model."""

from __future__ import annotations

import logging
from functools import cache

from lm_eval_xling.errors import UserError
from lm_eval_xling.metrics.lengths import TokenCounter

__all__ = ["token_counter"]

log = logging.getLogger(__name__)


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

    return lambda text: len(tokenizer(text)["input_ids"])
