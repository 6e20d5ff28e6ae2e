from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[[str], Path]) -> Callable[..., Path]:
    """Folder of a LoRA adapter for a tiny model: its effect is exactly nothing where B is 0."""

    def make(name: str, *, strength: float, architecture: str = "llama") -> Path:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        folder = tmp_path_factory.mktemp("adapters") / name
        base = AutoModelForCausalLM.from_pretrained(tiny(architecture))
        model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
        torch.manual_seed(1)
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=strength) if strength else torch.nn.init.zeros_(parameter)
        model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def llama(tiny: Callable[[str], Path]) -> ProbedModel:
    return ProbedModel(str(tiny("llama")))


def prompts(language: str, texts: Sequence[str]) -> list[Prompt]:
    return [Prompt(str(number), language, text) for number, text in enumerate(texts)]
