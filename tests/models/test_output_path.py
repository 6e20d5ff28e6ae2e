from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaForCausalLM, OPTConfig

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.output_path import find_output_path
from tests import tiny
from tests.precision import assert_equal_up_to_rounding

CHECK = torch.arange(20)[None]
# Not the tokens that the check at load has seen.
TEXT = torch.randint(0, 256, (2, 30), generator=torch.Generator().manual_seed(3))

SCALED = {
    "gemma2 with capped logits": Gemma2Config(**tiny._GATED, head_dim=8, final_logit_softcapping=0.5),
    "cohere with scaled logits": CohereConfig(**tiny._GATED, logit_scale=0.25),
    "granite with scaled logits": GraniteConfig(**tiny._GATED, logits_scaling=3.0),
    "opt without a final norm": OPTConfig(
        **tiny._SHAPE, ffn_dim=64, word_embed_proj_dim=32, do_layer_norm_before=False, _remove_final_layer_norm=True
    ),
}


def build(architecture: str) -> Any:
    if architecture in tiny.CONFIGS:
        return tiny.model(architecture)
    torch.manual_seed(0)
    return Auto.from_config(SCALED[architecture], dtype=torch.float32).eval()


@pytest.mark.parametrize("architecture", [*tiny.CONFIGS, *SCALED])
def test_lens_of_the_last_layer_is_the_output(architecture: str) -> None:
    model = build(architecture)
    path = find_output_path(model, CHECK)
    with torch.inference_mode():
        own = model(TEXT).logits
        states = torch.stack(model.base_model(TEXT, output_hidden_states=True).hidden_states, dim=-2)
        lens = path.lens_logits(states)
    assert lens.shape == (2, 30, 4, tiny.VOCABULARY)
    assert_equal_up_to_rounding(lens[..., -1, :].log_softmax(-1), own.log_softmax(-1))
    # Inner layers speak differently in a random model: the lens does not read the last layer everywhere.
    assert (lens[..., 1, :] - lens[..., -1, :]).abs().max() > 1e-3


def test_inner_layers_pass_norm_and_head() -> None:
    model = tiny.model("llama")
    torch.nn.init.normal_(model.model.norm.weight)  # a norm of ones would hide that it is missing
    path = find_output_path(model, CHECK)
    with torch.inference_mode():
        states = model.model(TEXT, output_hidden_states=True).hidden_states
        expected = model.lm_head(model.model.norm(states[1]))
        found = path.lens_logits(torch.stack(states, dim=-2))[..., 1, :]
    assert_equal_up_to_rounding(found, expected)


def test_lens_of_identity_layers_is_constant() -> None:
    model = tiny.model("llama")
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    path = find_output_path(model, CHECK)
    with torch.inference_mode():
        states = torch.stack(model.model(TEXT, output_hidden_states=True).hidden_states, dim=-2)
        lens = path.lens_logits(states)
    assert_equal_up_to_rounding(lens, lens[..., :1, :].expand_as(lens))


class Doubled(LlamaForCausalLM):
    """Does something after its head that no configuration tells of."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 2
        return output


def test_an_unserved_architecture_is_an_error_that_names_it() -> None:
    torch.manual_seed(0)
    model = Doubled(tiny.config("llama")).eval()
    with pytest.raises(UserError, match="Doubled \\(llama\\).*not the model's own output"):
        find_output_path(model, CHECK)


def test_a_model_without_layers_is_an_error() -> None:
    model = tiny.model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(UserError, match="no list of 7 layers"):
        find_output_path(model, CHECK)
