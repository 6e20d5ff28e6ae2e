from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lm_eval_xling.errors import UserError
from lm_eval_xling.training.adapter_check import check_adapter
from lm_eval_xling.training.provenance import PROVENANCE, take_fingerprint, vocabulary_hash
from tests import tiny as models

Tiny = Callable[[str], Path]


def make_adapter(model: Path, folder: Path, *, scale: float = 0.1, modules: list[str] | None = None) -> Path:
    """A LoRA adapter with random B; ``scale`` 0 leaves B at its initial zeros, so that it does nothing."""
    base = AutoModelForCausalLM.from_pretrained(model)
    torch.manual_seed(1)
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules=modules or ["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=scale) if scale else weight.zero_()
    adapted.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_a_working_adapter_differs_by_what_its_weights_say(tiny: Tiny, tmp_path: Path, architecture: str) -> None:
    model = tiny(architecture)
    check = check_adapter(make_adapter(model, tmp_path / "adapter"), str(model))
    assert check.ok and check.notes == ()
    assert check.modules == ("q_proj", "v_proj") and check.kind == "LORA"
    # Independently: merge B·A·alpha/r into the base weights by hand and compare logits.
    base = AutoModelForCausalLM.from_pretrained(model)
    ids = models.tokenizer()(
        "The capital of France is Paris. La capitale de la France est Paris. 法国的首都是巴黎。", return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        before = base(ids).logits
        weights = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
        for name, a in weights.items():
            if "lora_A" in name:
                path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                base.get_submodule(path).weight += weights[name.replace("lora_A", "lora_B")] @ a * 8 / 4
        difference = (base(ids).logits - before).abs().max().item()
    assert check.difference == pytest.approx(difference, rel=1e-3)
    assert check.parameters == sum(weight.numel() for weight in weights.values())


def test_an_adapter_that_does_nothing_is_a_problem(tiny: Tiny, tmp_path: Path) -> None:
    check = check_adapter(make_adapter(tiny("llama"), tmp_path / "adapter", scale=0.0), str(tiny("llama")))
    assert check.difference == 0.0
    assert check.problems == ("the adapter does nothing: logits with and without it are equal",)


def test_nan_in_the_weights_is_a_problem(tiny: Tiny, tmp_path: Path) -> None:
    folder = make_adapter(tiny("llama"), tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: weight * float("nan") for name, weight in weights.items()}, folder / "adapter_model.safetensors")
    assert "NaN" in check_adapter(folder, str(tiny("llama"))).problems[0]


def test_mismatches_are_named(tiny: Tiny, tmp_path: Path) -> None:
    # The other architecture calls its attention differently.
    check = check_adapter(make_adapter(tiny("llama"), tmp_path / "a"), str(tiny("gpt_neox")))
    assert "target-module mismatch: Target modules" in check.problems[0] and "q_proj" in check.problems[0]
    # The same architecture with another width.
    wide = models.CONFIGS["llama"].__class__(**{**models.CONFIGS["llama"].to_dict(), "hidden_size": 64})
    AutoModelForCausalLM.from_config(wide).save_pretrained(tmp_path / "wide")
    models.tokenizer().save_pretrained(tmp_path / "wide")
    check = check_adapter(tmp_path / "a", str(tmp_path / "wide"))
    assert (
        "base-model mismatch" in check.problems[0]
        and "[4, 32] in the adapter, [4, 64] in the model" in check.problems[0]
    )
    # The same width with a larger vocabulary, for an adapter that brings its own embeddings.
    whole = make_adapter(tiny("llama"), tmp_path / "embeddings", modules=["q_proj"])
    weights = load_file(whole / "adapter_model.safetensors")
    weights["base_model.model.model.embed_tokens.weight"] = torch.zeros(models.VOCABULARY + 4, 32)
    save_file(weights, whole / "adapter_model.safetensors")
    assert "vocabulary mismatch" in check_adapter(whole, str(tiny("llama"))).problems[0]


def test_same_shapes_but_another_model_is_found_by_provenance(tiny: Tiny, tmp_path: Path) -> None:
    folder = make_adapter(tiny("llama"), tmp_path / "adapter")
    # Random weights say nearly the same of everything; a larger head makes another model of the same shapes.
    loud = models.model("llama", seed=7)
    loud.get_output_embeddings().weight.data.mul_(50)
    other = tmp_path / "other"
    loud.save_pretrained(other)
    models.tokenizer().save_pretrained(other)
    tokenizer = models.tokenizer()
    base = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    assert check_adapter(folder, str(other)).ok, "without provenance the shapes are all there is"
    provenance = {
        "model": "tiny-llama",
        "vocabulary_sha256": vocabulary_hash(tokenizer),
        "base_probe": take_fingerprint(base, tokenizer).logprobs,
    }
    (folder / PROVENANCE).write_text(json.dumps(provenance))
    assert check_adapter(folder, str(tiny("llama"))).ok
    assert "base-model mismatch" in check_adapter(folder, str(other)).problems[0]
    (folder / PROVENANCE).write_text(json.dumps({**provenance, "vocabulary_sha256": "0"}))
    assert "another tokenizer" in check_adapter(folder, str(tiny("llama"))).problems[0]


def test_unreadable_folders(tiny: Tiny, tmp_path: Path) -> None:
    model = str(tiny("llama"))
    with pytest.raises(UserError, match="adapter_config.json is missing"):
        check_adapter(tmp_path, model)
    folder = make_adapter(tiny("llama"), tmp_path / "adapter")
    with pytest.raises(UserError, match="cannot be loaded"):
        check_adapter(folder, str(tmp_path / "nowhere"))
    whole = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        check_adapter(folder, model)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match="pickle"):
        check_adapter(folder, model)
