"""Counting tokens with the tokenizer of the evaluated model."""

from __future__ import annotations

import logging
from functools import cache

from lm_eval_xling.metrics.lengths import TokenCounter
from lm_eval_xling.models import load_tokenizer

__all__ = ["token_counter"]

log = logging.getLogger(__name__)


@cache
def token_counter(name: str | None) -> TokenCounter | None:
    """Return the counter of a tokenizer (folder, hub name or embedded model), or ``None`` where no tokenizer is known.

    Raises:
        UserError: if there is no such tokenizer.
    """
    if not isinstance(name, str):
        log.warning("no tokenizer is known, so that probabilities are given per byte only")
        return None
    tokenizer = load_tokenizer(name, fix="""name one with --metadata '{"xling": {"tokenizer": "FOLDER"}}'""")
    return lambda text: len(tokenizer(text)["input_ids"])
