"""Adapters with a vocabulary of their own, and adapters with any name, as the harness loads them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes import ProbedModel
from lm_eval_xling.probes.activations import encode
from tests.precision import assert_equal_up_to_rounding

TEXT = "Die Katze schläft."


def extended(tiny: Callable[[str], Path], folder: Path, *, saved: str, added: int = 4, padded: int = 0) -> Path:
    """An adapter that was trained with added tokens; ``saved`` says how its embeddings are kept."""
    base = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    tokenizer.add_tokens([f"<tool {number}>" for number in range(added)])
    base.resize_token_embeddings(len(tokenizer) + padded)
    # Other modules may be kept apart, and the embeddings not.
    modules = {"to_save": ["embed_tokens", "lm_head"], "over, norm apart": ["norm"]}.get(saved)
    model = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], modules_to_save=modules, task_type="CAUSAL_LM")
    )
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name or (saved != "to_save" and "embed_tokens" in name):
                parameter += 0.3 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def seen(model: ProbedModel, variant: str, text: str = TEXT) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states, and the lens of every layer at the last token."""
    (tokens,) = encode(model, [text])
    ids = torch.tensor([tokens.ids], device=model.model.device)
    with model.use(variant), torch.inference_mode():
        states = torch.stack(model.hidden_states(ids, torch.ones_like(ids)), dim=-2)
        return states.cpu(), model.output_path(variant).lens_logits(states[:, -1]).log_softmax(-1).cpu()


def harness_says(model: Path, adapter: Path) -> torch.Tensor:
    """Log-probabilities after ``TEXT`` of the model that the harness makes with ``tokenizer=ADAPTER``."""
    loaded: Any = HFLM(pretrained=str(model), tokenizer=str(adapter), peft=str(adapter), device="cpu")
    ids = torch.tensor([loaded.tokenizer(TEXT)["input_ids"]])
    with torch.inference_mode():
        return loaded.model(ids).logits[0, -1].float().log_softmax(-1)


@pytest.mark.parametrize("saved", ["to_save", "over", "over, norm apart"])
def test_a_resized_vocabulary_is_read_as_the_harness_reads_it(
    saved: str, tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder, small = extended(tiny, tmp_path / "grown", saved=saved), adapter("small", strength=0.5)
    model = ProbedModel(str(tiny("llama")), [folder, small])
    assert len(model.tokenizer) == 264 and (model.readable, model.vocabulary) == (260, 264)
    _, lens = seen(model, "grown")
    assert_equal_up_to_rounding(lens[0, -1], harness_says(tiny("llama"), folder))
    assert lens[0, -1, 260:].exp().sum() > 0
    # Base and the other adapter say what they say without it, in any order of switching.
    alone = ProbedModel(str(tiny("llama")), [small])
    for variant in ("small", "base", "grown", "base", "small"):
        if variant != "grown":
            states, lens = seen(model, variant)
            expected_states, expected = seen(alone, variant)
            assert_equal_up_to_rounding(states, expected_states)
            assert_equal_up_to_rounding(lens[..., :260], expected)
            assert lens[..., 260:].exp().sum() == 0
        else:
            assert_equal_up_to_rounding(seen(model, variant)[1][0, -1], harness_says(tiny("llama"), folder))


def test_a_vocabulary_padded_to_a_multiple_is_loaded(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = ProbedModel(str(tiny("llama")), [extended(tiny, tmp_path / "padded", saved="to_save", padded=8)])
    assert (len(model.tokenizer), model.vocabulary) == (264, 272)


def test_a_text_that_only_the_adapter_can_read_is_an_error(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = ProbedModel(str(tiny("llama")), [extended(tiny, tmp_path / "grown", saved="to_save")])
    with pytest.raises(UserError, match="the token '<tool 2>', which only an adapter's"):
        encode(model, ["a <tool 2> b"])


def test_vocabularies_that_do_not_go_together_are_errors(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    first = extended(tiny, tmp_path / "first", saved="to_save")
    second = extended(tiny, tmp_path / "second", saved="to_save", added=6)
    with pytest.raises(UserError, match="different vocabularies"):
        ProbedModel(str(tiny("llama")), [first, second])
    # Tokens of other numbers: another model's tokenizer.
    tokenizer = AutoTokenizer.from_pretrained(first)
    shifted = tokenizer.backend_tokenizer.to_str().replace('"a":64', '"a":65').replace('"b":65', '"b":64')
    (first / "tokenizer.json").write_text(shifted)
    with pytest.raises(UserError, match="not the model's with added tokens: .* such as"):
        ProbedModel(str(tiny("llama")), [first])


@pytest.mark.parametrize("name", ["sft-norm", "train", "base", "model", "lora_A", "a b.c"])
def test_an_adapter_may_have_any_name(name: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """peft would take ``sft-norm`` for a norm to be kept apart, and ``train`` is a method of its module dictionary."""
    base = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    torch.manual_seed(5)
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["norm"], task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name or "modules_to_save" in parameter_name:
                parameter += torch.randn_like(parameter)
    plain, named = tmp_path / "plain", tmp_path / "runs" / name
    adapted.save_pretrained(plain)
    shutil.copytree(plain, named)
    model = ProbedModel(str(tiny("llama")), [plain, named])
    first, second = set(model.variants) - {"base"}
    assert_equal_up_to_rounding(seen(model, first)[0], seen(model, second)[0])
    assert (seen(model, first)[0] - seen(model, "base")[0]).abs().max() > 1e-2
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    with torch.inference_mode():
        expected = adapted.eval()(ids).logits[0, -1].log_softmax(-1)
    assert_equal_up_to_rounding(seen(model, second)[1][0, -1], expected)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no weights", "the adapter has no weights"),
        ("pickle", "the adapter's weights are a pickle"),
        ("truncated", "the adapter's weights are damaged"),
        ("broken configuration", "adapter_config.json is damaged"),
        ("list", "adapter_config.json is damaged"),
        ("unknown method", "the adapter cannot be loaded"),
    ],
)
def test_a_damaged_adapter_is_one_message(
    how: str, message: str, tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter("whole", strength=0.5), tmp_path / "damaged"))
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:200])
    elif how in ("no weights", "pickle"):
        weights.rename(folder / "adapter_model.bin") if how == "pickle" else weights.unlink()
    else:
        config.write_text({"list": "[]", "unknown method": '{"peft_type": "NOSUCH"}'}.get(how, "{"))
    with pytest.raises(UserError, match=message):
        ProbedModel(str(tiny("llama")), [folder])
