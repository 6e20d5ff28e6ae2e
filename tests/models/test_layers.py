"""Layers are found by what a forward pass went through: a vision tower as deep as the text model is not taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, Gemma3Config, LlamaForCausalLM, LlamaModel, LlavaConfig
from transformers import AutoModelForImageTextToText as AutoVision

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.layers import bypassed, decoder_layers
from lm_eval_xling.models.output_path import find_output_path
from tests import tiny
from tests.precision import assert_equal_up_to_rounding

CHECK = torch.arange(20)[None]
TEXT = torch.randint(0, 256, (1, 30), generator=torch.Generator().manual_seed(3))
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": tiny._SHAPE["num_hidden_layers"],
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}


def vision_model(kind: str) -> Any:
    """A text model of three layers with a vision tower of three, whose list comes first among the modules."""
    torch.manual_seed(0)
    if kind == "gemma3":
        config = Gemma3Config(
            text_config=tiny.config("gemma3").to_dict(),
            vision_config={**_VISION, "model_type": "siglip_vision_model", "vision_use_head": False},
            mm_tokens_per_image=4,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    else:
        config = LlavaConfig(
            text_config=tiny.config("llama").to_dict(),
            vision_config={**_VISION, "model_type": "clip_vision_model", "projection_dim": 32},
        )
        model = AutoVision.from_config(config, dtype=torch.float32)
    # A norm of ones, as at the beginning, would hide that a layer's norm is missing.
    for name, parameter in model.named_parameters():
        if name.endswith(("language_model.norm.weight", "text_model.norm.weight")):
            nn.init.normal_(parameter, mean=1.0, std=0.5)
    return model.eval()


@pytest.mark.parametrize("kind", ["gemma3", "llava"])
def test_a_vision_tower_as_deep_as_the_text_model_is_not_taken_for_it(kind: str) -> None:
    model = vision_model(kind)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == 3]
    layers, states = decoder_layers(model, CHECK)
    assert len(lists) == 2 and layers is not lists[0], "the first list of the right length is the tower's"
    text_model = model.get_decoder()
    assert layers is text_model.layers and len(states) == 4
    path = find_output_path(model, CHECK)
    assert path.tail == (text_model.norm,)
    with torch.inference_mode():
        states = text_model(TEXT, output_hidden_states=True).hidden_states
        expected = model(TEXT).logits.log_softmax(-1)
        middle = model.get_output_embeddings()(text_model.norm(states[1]))
        lens = path.lens_logits(torch.stack(states, dim=-2))
    assert_equal_up_to_rounding(lens[..., -1, :].log_softmax(-1), expected)
    assert_equal_up_to_rounding(lens[..., 1, :], middle)


def test_bypassed_layers_give_what_they_were_given() -> None:
    model = tiny.model("llama")
    with torch.inference_mode():
        states = model.model(TEXT, output_hidden_states=True).hidden_states
        with bypassed(list(model.model.layers)[1:]):
            found = model(TEXT).logits
        expected = model.lm_head(model.model.norm(states[1]))
        after = model(TEXT).logits
        own = model.lm_head(states[-1])
    assert_equal_up_to_rounding(found, expected)
    assert_equal_up_to_rounding(after, own)


class ShiftedModel(LlamaModel):
    """Does something between its last layer and its norm that is no module."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        norm, self.norm = self.norm, nn.Identity()
        try:
            output = super().forward(*args, **kwargs)
        finally:
            self.norm = norm
        output.last_hidden_state = self.norm(output.last_hidden_state + 1)
        if output.hidden_states is not None:
            output.hidden_states = (*output.hidden_states[:-1], output.last_hidden_state)
        return output


class Shifted(LlamaForCausalLM):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = ShiftedModel(config)


def test_a_path_that_serves_the_last_layer_alone_is_an_error() -> None:
    torch.manual_seed(0)
    model = Shifted(tiny.config("llama")).eval()
    with pytest.raises(UserError, match="Shifted.*lens of layer 1 is not what the model's own modules make"):
        find_output_path(model, CHECK)
