"""Kinds of adapters: whether each can be evaluated is asked of peft, and not of the names of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling._cli import main
from lm_eval_xling.training.adapter_check import check_adapter
from lm_eval_xling.training.provenance import FINGERPRINT_TEXT
from tests import tiny as models

Tiny = Callable[[str], Path]

LINEAR = {"target_modules": ["q_proj", "v_proj"]}
KINDS: Mapping[str, Any] = {
    "lora": lambda: peft.LoraConfig(**LINEAR),
    "lora, all linear": lambda: peft.LoraConfig(target_modules="all-linear"),
    "lora, embedding and norm saved": lambda: peft.LoraConfig(**LINEAR, modules_to_save=["embed_tokens", "norm"]),
    "lora, head saved": lambda: peft.LoraConfig(**LINEAR, modules_to_save=["lm_head"]),
    "lora on the embedding": lambda: peft.LoraConfig(target_modules=["embed_tokens", "q_proj"]),
    "lora, new tokens": lambda: peft.LoraConfig(**LINEAR, trainable_token_indices={"embed_tokens": [97, 98, 32]}),
    "lora, rank pattern": lambda: peft.LoraConfig(**LINEAR, rank_pattern={"q_proj": 2}, use_rslora=True),
    "lora, layers": lambda: peft.LoraConfig(**LINEAR, layers_to_transform=[1]),
    "dora": lambda: peft.LoraConfig(**LINEAR, use_dora=True),
    "lora, bias of lora": lambda: peft.LoraConfig(**LINEAR, bias="lora_only"),
    "lora, all biases": lambda: peft.LoraConfig(**LINEAR, bias="all"),
    "adalora": lambda: peft.AdaLoraConfig(**LINEAR, total_step=10),
    "ia3": lambda: peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "loha": lambda: peft.LoHaConfig(**LINEAR),
    "lokr": lambda: peft.LoKrConfig(**LINEAR),
    "vera": lambda: peft.VeraConfig(target_modules=["q_proj", "o_proj"]),
    "oft": lambda: peft.OFTConfig(**LINEAR, oft_block_size=4),
    "boft": lambda: peft.BOFTConfig(**LINEAR, boft_block_size=4),
    "hra": lambda: peft.HRAConfig(**LINEAR),
    "fourierft": lambda: peft.FourierFTConfig(**LINEAR, n_frequency=20),
    "layer norms": lambda: peft.LNTuningConfig(target_modules=["input_layernorm"]),
    "tokens": lambda: peft.TrainableTokensConfig(
        token_indices=models.tokenizer()("aeF").input_ids, target_modules=["embed_tokens"]
    ),
    "prompt tuning": lambda: peft.PromptTuningConfig(num_virtual_tokens=4),
    "p-tuning": lambda: peft.PromptEncoderConfig(num_virtual_tokens=4, encoder_hidden_size=16),
    "prefix tuning": lambda: peft.PrefixTuningConfig(num_virtual_tokens=4),
}


def make(model: Path, folder: Path, config: peft.PeftConfig, base: Any = None) -> Path:
    """An adapter of a kind whose weights were moved away from where they begin."""
    config.task_type = "CAUSAL_LM"
    base = AutoModelForCausalLM.from_pretrained(model) if base is None else base
    torch.manual_seed(1)
    adapted = peft.get_peft_model(base, config)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn_like(weight)
    adapted.save_pretrained(folder)
    return folder


def harness_difference(model: Path, adapter: Path, tokenizer: Path | None = None) -> float:
    """Greatest difference of the logits of the harness's own model with and without an adapter."""
    own = {} if tokenizer is None else {"tokenizer": str(tokenizer)}
    plain = HFLM(pretrained=str(model), device="cpu", **own)
    adapted = HFLM(pretrained=str(model), peft=str(adapter), device="cpu", **own)
    ids = plain.tokenizer(FINGERPRINT_TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        before, after = (lm.model(input_ids=ids).logits[:, -ids.shape[1] :] for lm in (plain, adapted))
    width = min(before.shape[-1], after.shape[-1])
    return float((after[..., :width] - before[..., :width]).abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_the_harness_evaluates_fits(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    folder = make(tiny("qwen2"), tmp_path / "adapter", KINDS[kind]())
    check = check_adapter(folder, str(tiny("qwen2")))
    assert check.problems == ()
    expected = harness_difference(tiny("qwen2"), folder)
    assert check.difference == pytest.approx(expected, rel=1e-3) and expected > 1e-3
    assert bool(check.modules) == (kind not in ("prompt tuning", "p-tuning", "prefix tuning"))


@pytest.mark.parametrize("kind", ["lora", "lora, embedding and norm saved", "ia3", "prompt tuning"])
def test_an_adapter_of_a_model_of_another_width_does_not_fit(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    folder = make(tiny("qwen2"), tmp_path / "adapter", KINDS[kind]())
    wide = models.config("qwen2")
    wide.hidden_size = 64
    AutoModelForCausalLM.from_config(wide).save_pretrained(tmp_path / "wide")
    models.tokenizer().save_pretrained(tmp_path / "wide")
    check = check_adapter(folder, str(tmp_path / "wide"))
    # Virtual tokens are put before the text at every call, so that theirs is another message.
    message = r"mismatch: \S+ is .* in the adapter, .* in the model|Expected size 32 but got size 64"
    assert len(check.problems) == 1 and re.search(message, check.problems[0])


def test_an_adapter_of_tokens_that_the_text_lacks_does_something(tiny: Tiny, tmp_path: Path) -> None:
    rare = models.tokenizer()("%{").input_ids
    config = peft.TrainableTokensConfig(token_indices=rare, target_modules=["embed_tokens"])
    assert check_adapter(make(tiny("llama"), tmp_path / "adapter", config), str(tiny("llama"))).ok


@pytest.mark.parametrize("name", ["sft-norm", "norm", "q_proj", "a.b"])
def test_a_folder_named_like_a_module_is_an_adapter_like_any(tiny: Tiny, tmp_path: Path, name: str) -> None:
    config = peft.LoraConfig(**LINEAR, modules_to_save=["norm"])
    assert check_adapter(make(tiny("llama"), tmp_path / name, config), str(tiny("llama"))).ok


def resized(model: Path, folder: Path) -> Path:
    """An adapter with four tokens of its own, and their tokenizer beside it."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["<one>", "<two>", "<three>", "<four>"])
    base = AutoModelForCausalLM.from_pretrained(model)
    base.resize_token_embeddings(len(tokenizer))
    make(model, folder, peft.LoraConfig(**LINEAR, modules_to_save=["embed_tokens", "lm_head"]), base)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_adapter_with_its_own_vocabulary_fits_with_its_tokenizer_and_the_flag_is_named(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resized(tiny("llama"), tmp_path / "adapter")
    check = check_adapter(folder, str(tiny("llama")))
    assert check.ok, check.problems
    assert check.arguments.endswith(f"tokenizer={folder}")
    assert check.difference == pytest.approx(harness_difference(tiny("llama"), folder, folder), rel=1e-3)
    monkeypatch.setattr("sys.argv", ["xling", "doctor", "--adapter", str(folder), "--model", str(tiny("llama"))])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert f"tokenizer={folder}" in capsys.readouterr().out


def test_an_adapter_of_which_half_finds_no_place_does_not_fit(tiny: Tiny, tmp_path: Path) -> None:
    """peft passes over weights without a place, and the logits differ by the other half."""
    folder = make(tiny("llama"), tmp_path / "adapter", KINDS["lora"]())
    config = models.config("llama")
    config.num_hidden_layers = 2
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "shallow")
    models.tokenizer().save_pretrained(tmp_path / "shallow")
    check = check_adapter(folder, str(tmp_path / "shallow"))
    assert "target-module mismatch: 4 weights" in check.problems[0]
    deep = models.config("llama")
    deep.num_hidden_layers = 4
    AutoModelForCausalLM.from_config(deep).save_pretrained(tmp_path / "deep")
    models.tokenizer().save_pretrained(tmp_path / "deep")
    assert "missing adapter keys" in check_adapter(folder, str(tmp_path / "deep")).problems[0]
