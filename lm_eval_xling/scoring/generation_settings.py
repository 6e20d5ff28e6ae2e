"""What settings of transformers' ``generate`` allow: cached prefixes, and continuous batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["depends_on_the_prompt", "has_own_cache", "without_own_cache"]

_OF_EACH_TOKEN = frozenset(
    {
        "attention_mask", "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample",
        "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff", "max_length",
        "use_cache", "cache_implementation", "repetition_penalty", "suppress_tokens", "bad_words_ids",
        "transformers_version", "length_penalty", "early_stopping",
    }
)  # fmt: skip
"""Settings of ``generate`` that say nothing about where the prompt ends, or nothing about greedy generation."""

_OF_THE_PROMPT = frozenset(
    {
        "min_length", "min_new_tokens", "max_new_tokens", "max_time", "stop_strings", "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "begin_suppress_tokens", "forced_bos_token_id",
        "forced_eos_token_id", "exponential_decay_length_penalty", "sequence_bias", "renormalize_logits",
        "remove_invalid_values",
    }
)  # fmt: skip
"""Settings that may make use of where the prompt ends, and of what a pass computes change the logits alone.

All others may read the model in passes of their own, as ``guidance_scale`` does, or need a cache of their own.
"""

_WITHOUT_EFFECT = {
    "num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "diversity_penalty": 0, "guidance_scale": 1,
    "repetition_penalty": 1, "encoder_repetition_penalty": 1, "min_length": 0, "min_new_tokens": 0,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
}  # fmt: skip
"""Values that are as good as none."""


def _set(model: Any, options: Mapping[str, Any]) -> set[str]:
    """Names of the settings that have an effect, among options of ``generate`` and the model's defaults."""
    values = {**model.generation_config.to_diff_dict(), **options}
    return {
        name
        for name, value in values.items()
        if value is not None and value is not False and name[0] != "_" and value != _WITHOUT_EFFECT.get(name)
    }


def depends_on_the_prompt(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether options of ``generate``, given or the model's defaults, may make use of where the prompt ends.

    Then what was generated cannot become the prompt of the next call, as with ``min_new_tokens``. An end of texts and a
    greatest length of a request's own count as such.
    """
    return bool(_set(model, options) - _OF_EACH_TOKEN) or not options.keys().isdisjoint({"eos_token_id", "max_length"})


def has_own_cache(model: Any, options: Mapping[str, Any]) -> bool:
    """Whether options of ``generate``, given or the model's defaults, bring or need a cache of their own, or none."""
    # A kind of cache is a choice of the request's alone; a model's default is set aside by ``without_own_cache``.
    given = "cache_implementation" in options
    none = options.get("use_cache", model.generation_config.use_cache) is False
    return given or none or bool(_set(model, options) - _OF_EACH_TOKEN - _OF_THE_PROMPT)


@contextmanager
def without_own_cache(model: Any) -> Iterator[None]:
    """Set aside the kind of cache that a model's generation settings name, as Gemma's do; all kinds hold the same."""
    settings = model.generation_config
    before, settings.cache_implementation = settings.cache_implementation, None
    try:
        yield
    finally:
        settings.cache_implementation = before
