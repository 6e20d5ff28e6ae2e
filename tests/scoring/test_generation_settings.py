"""What settings of ``generate`` allow, given or a model's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from lm_eval_xling.scoring.generation_settings import depends_on_the_prompt, has_own_cache
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.scoring.prompts import decided_model
from tests.scoring.test_generating_model import contexts, generation


@pytest.mark.parametrize(
    ("settings", "continuous", "prefixes"),
    [
        ({}, True, True),
        ({"do_sample": False, "temperature": 0.0, "repetition_penalty": 1.3, "top_k": 5}, True, True),
        ({"num_beams": 1, "num_return_sequences": 1, "length_penalty": 1.0, "early_stopping": True}, True, True),
        ({"guidance_scale": 1.0, "min_new_tokens": 0, "no_repeat_ngram_size": 0}, True, True),
        ({"min_new_tokens": 3}, False, True),
        ({"encoder_repetition_penalty": 1.5}, False, True),
        ({"max_length": 50}, False, True),
        ({"num_beams": 2}, False, False),
        ({"guidance_scale": 1.5}, False, False),
        ({"dola_layers": "low"}, False, False),
        ({"prompt_lookup_num_tokens": 2}, False, False),
        ({"cache_implementation": "static"}, False, False),
        ({"use_cache": False}, False, False),
        ({"a setting of a later release": 1}, False, False),
    ],
    ids=str,
)
def test_what_a_setting_allows(settings: dict[str, Any], continuous: bool, prefixes: bool) -> None:
    model = tiny.model("llama")
    given = {"attention_mask": torch.ones(1, 4), **settings}
    assert (not has_own_cache(model, given)) == prefixes
    assert (not (has_own_cache(model, given) or depends_on_the_prompt(model, given))) == continuous
    if settings.keys() & {"max_length", "cache_implementation"}:
        return
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    assert (not has_own_cache(model, {})) == prefixes
    assert (not (has_own_cache(model, {}) or depends_on_the_prompt(model, {}))) == continuous


def test_guidance_reads_the_model_beside_the_batch() -> None:
    """Its passes are not those of the batch, whose cached prefixes they would be given."""
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(4), guidance_scale=1.5)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests) == expected
