"""``xling eval --peft``: a model and its adapters with one load and one plan, as if run apart."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.tasks import TaskManager
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from lm_eval_xling._cli.eval import evaluate
from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring import one_load as sharing

TASK = "xling_atlas_fr_es"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command changes the process that it runs in; and reading all tasks of the harness takes long."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr(sys, "argv", sys.argv)
    handlers = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers


@pytest.fixture
def model(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("llama"), tmp_path / "MODEL"))


def adapter(model: Path, name: str, **options: Any) -> Path:
    plain = AutoModelForCausalLM.from_pretrained(model)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **options)
    torch.manual_seed(len(name))
    adapted = get_peft_model(plain, config)
    with torch.no_grad():
        for weight_name, weight in adapted.named_parameters():
            if "lora_" in weight_name or "modules_to_save" in weight_name:
                weight.add_(torch.randn_like(weight))
        if name == "rewriting":
            # Saved with the embeddings, which are written over the model's when it is loaded.
            adapted.get_base_model().get_input_embeddings().weight.mul_(3)
    folder = model.parent / name
    adapted.save_pretrained(folder, save_embedding_layers=name == "rewriting")
    return folder


def run(output: Path, *words: str) -> None:
    always = ["--tasks", TASK, "--limit", "4", "--log_samples", "--device", "cpu", "--output_path", str(output)]
    evaluate(SimpleNamespace(args=["--model", "hf", *always, *words]))  # type: ignore[arg-type]


def outcomes(output: Path) -> dict[str, Any]:
    """By the folder that the harness gives to a model: results, arguments of the model, and every answer."""
    found = {}
    for folder in sorted(output.iterdir()):
        (results,), (samples,) = folder.glob("results_*.json"), folder.glob("samples_*.jsonl")
        read = json.loads(results.read_text(encoding="utf-8"))
        lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        found[folder.name] = (
            read["results"],
            read["config"]["model_args"],
            [(line["doc"]["id"], line["arguments"], line["resps"]) for line in lines],
        )
    return found


@pytest.mark.slow
def test_base_and_adapters_give_what_they_give_apart(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the kinds that change a model in different ways: the last would spoil the base for whatever follows.
    folders = [
        adapter(model, "plain"),
        adapter(model, "rewriting"),
        adapter(model, "keeping", modules_to_save=["lm_head"]),
    ]
    apart, together = tmp_path / "apart", tmp_path / "together"
    base = f"pretrained={model},dtype=float32"
    for arguments in (base, *(f"{base},peft={folder}" for folder in folders)):
        run(apart, "--model_args", arguments)

    loads: list[object] = []
    load = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: loads.append(a) or load(*a, **k))
    plans: list[object] = []
    make_plan = sharing.make_plan
    monkeypatch.setattr(sharing, "make_plan", lambda *a: plans.append(a) or make_plan(*a))
    run(together, "--model_args", base, *(word for folder in folders for word in ("--peft", str(folder))))
    assert len(loads) == len(plans) == 1

    found, expected = outcomes(together), outcomes(apart)
    assert found == expected
    answers = [str(answers) for _, _, answers in found.values()]
    assert len(set(answers)) == len(answers) == 4


def test_weights_lie_in_memory_once(model: Path) -> None:
    load = sharing.OneLoad().factory(AutoModelForCausalLM)
    first, second = load.from_pretrained(model), load.from_pretrained(model)
    assert first.model.layers[0] is not second.model.layers[0]
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.data_ptr() == other.data_ptr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "dummy", "--peft", "A"], "not of dummy"),
        (["--model_args", "pretrained=MODEL,peft=B", "--peft", "A"], "both in --model_args and in --peft"),
        (["--model_args", "pretrained=MODEL", "--peft", "./nowhere"], "does not exist"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], message: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    adapter(model, "B")
    with pytest.raises(UserError, match=message):
        evaluate(SimpleNamespace(args=["--model", "hf", "--tasks", TASK, *words]))  # type: ignore[arg-type]
