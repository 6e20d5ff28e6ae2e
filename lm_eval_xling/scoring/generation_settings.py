"""What settings of transformers' ``generate`` allow: cached prefixes, and continuous batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["depends_on_the_prompt", "has_own_cache", "without_own_cache"]

_OWN_CACHE = ("assistant_model", "prompt_lookup_num_tokens", "prefill_chunk_size")
"""Options of ``generate`` that bring or need a cache of their own."""

_OF_EACH_TOKEN = frozenset(
    {
        "attention_mask", "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample",
        "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "max_length",
        "use_cache", "cache_implementation", "repetition_penalty", "suppress_tokens", "bad_words_ids",
        "transformers_version",
    }
)  # fmt: skip
"""Settings of ``generate`` that say nothing about where the prompt ends, or nothing about greedy generation."""


def depends_on_the_prompt(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether options of ``generate``, given or the model's defaults, may make use of where the prompt ends.

    Then what was generated cannot become the prompt of the next call, as with ``min_new_tokens``. An end of texts and a
    greatest length of a request's own count as such.
    """
    defaults = model.generation_config.to_diff_dict()
    given = {
        name
        for name, value in {**defaults, **options}.items()
        if value is not None and value is not False and name[0] != "_"
    }
    return bool(given - _OF_EACH_TOKEN) or not options.keys().isdisjoint({"eos_token_id", "max_length"})


def has_own_cache(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether options of ``generate``, given or the model's defaults, bring or need a cache of their own."""

    def value(name: str) -> Any:
        return options.get(name, getattr(getattr(model, "generation_config", None), name, None))

    several = any((value(name) or 1) != 1 for name in ("num_beams", "num_return_sequences"))
    # A kind of cache is a choice of the request's alone; a model's default is set aside by ``without_own_cache``.
    given = "cache_implementation" in options or any(value(name) is not None for name in _OWN_CACHE)
    return several or value("use_cache") is False or given


@contextmanager
def without_own_cache(model: Any) -> Iterator[None]:
    """Set aside the kind of cache that a model's generation settings name, as Gemma's do; all kinds hold the same."""
    settings = model.generation_config
    before, settings.cache_implementation = settings.cache_implementation, None
    try:
        yield
    finally:
        settings.cache_implementation = before
