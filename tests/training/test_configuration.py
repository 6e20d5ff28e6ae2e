from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import TrainingArguments

from lm_eval_xling.errors import UserError
from lm_eval_xling.training.configuration import (
    AlignmentConfig,
    Config,
    FactsConfig,
    LoraSettings,
    MixedConfig,
    as_mapping,
    load_config,
)

CONFIGS = Path(__file__).parents[2] / "lm_eval_xling" / "trainers" / "configs"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(AlignmentConfig, "question_alignment"), (MixedConfig, "mixed_language"), (FactsConfig, "facts")],
)
def test_the_shipped_file_says_what_the_defaults_are(kind: type[Config], name: str) -> None:
    shipped = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    # PyYAML reads 5e-5 as text; compare what the loader makes of it.
    assert load_config(kind, CONFIGS / f"{name}.yaml") == load_config(kind, None, [f"output={shipped['output']}"])
    assert keys(shipped) == keys(as_mapping(load_config(kind, None, ["output=x"]))), "every key is shown"


def keys(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Every key of a tree."""
    inner = [keys(value, f"{prefix}{name}.") for name, value in values.items() if isinstance(value, dict)]
    return {f"{prefix}{name}" for name in values}.union(*inner)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_command_in_the_header_of_a_shipped_file_runs_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    (command,) = re.findall(r"^#   (?:xling|accelerate launch) .*$", text, re.MULTILINE)
    words = shlex.split(command.removeprefix("#   "))
    assert path.name in words
    if words[0] == "xling":
        kind = {"align": AlignmentConfig, "mixed": MixedConfig, "facts": FactsConfig}[words[2]]
        load_config(kind, path, words[words.index(path.name) + 1 :])


def test_published_defaults() -> None:
    align = load_config(AlignmentConfig, None, ["output=x"])
    assert align.lora == LoraSettings(r=8, alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))
    assert align.data.cutoff == 2048 and align.validation == 0.05
    expected = {"learning_rate": 5e-5, "lr_scheduler_type": "cosine", "warmup_steps": 0.1, "num_train_epochs": 3}
    assert expected.items() <= align.training.items()
    assert align.training["per_device_train_batch_size"] == align.training["gradient_accumulation_steps"] == 4
    assert align.training["save_steps"] == align.training["eval_steps"] == 50
    mixed = load_config(MixedConfig, None, ["output=x"])
    assert mixed.lora == LoraSettings(r=8, alpha=32, dropout=0.05, target_modules="all-linear")
    expected = {"learning_rate": 2e-5, "weight_decay": 0.01, "seed": 42, "num_train_epochs": 1}
    assert expected.items() <= mixed.training.items()
    assert mixed.training["per_device_train_batch_size"] == 2 and mixed.training["gradient_accumulation_steps"] == 8

    facts = load_config(FactsConfig, None, ["output=x"])
    assert facts.lora is None, "full fine-tuning"
    expected = {"learning_rate": 1e-5, "weight_decay": 0.01, "num_train_epochs": 5, "warmup_steps": 0.2}
    assert expected.items() <= facts.training.items()
    assert facts.training["per_device_train_batch_size"] * facts.training["gradient_accumulation_steps"] == 16
    published = load_config(MixedConfig, CONFIGS / "mixed_language_published.yaml")
    assert published.lora is None and published.precision == "bf16" and published.data.block == 500
    # The code that the paper names warms up for one epoch, and the paper trains one.
    for steps in (7, 3000):
        arguments = TrainingArguments("x", **{**published.training, "report_to": "none"}, use_cpu=True)
        assert arguments.get_warmup_steps(steps) == steps


def test_overrides_go_over_the_file_and_keep_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("output: runs/a\nlora: {r: 4}\ntraining: {learning_rate: 2e-4}\n")
    config = load_config(AlignmentConfig, path, ["lora.alpha=8", "data.sources=[zh, sw]", "training.max_steps=3"])
    assert config.lora == LoraSettings(r=4, alpha=8, dropout=0.0, target_modules=("q_proj", "v_proj"))
    assert config.data.sources == ("zh", "sw") and config.output == Path("runs/a")
    assert config.training["learning_rate"] == 2e-4 and config.training["max_steps"] == 3
    assert config.training["num_train_epochs"] == 3
    assert load_config(MixedConfig, None, ["output=x", "training.save_strategy=no"]).training["save_strategy"] == "no"
    assert load_config(MixedConfig, None, ["output=x", "training.tf32=true"]).training["tf32"] is True
    assert load_config(MixedConfig, None, ["output=x", "lora=null"]).lora is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.rank=4", "unknown key 'lora.rank'.*did you mean lora.r"),
        ("lora.dropuot=0.1", "did you mean lora.dropout"),
        ("modle=x", "did you mean model"),
        ("training.learning_rat=1", "did you mean training.learning_rate"),
        ("training.output_dir=x", "set by the recipe.*use output"),
        ("training.bf16=true", "use precision"),
        ("precision=fp8", "unknown value of precision 'fp8'"),
        ("lora.r=eight", "lora.r is 'eight', expected int"),
        ("data.limit=x", "data.limit is 'x', expected int"),
        ("validation=1.5", "a share in"),
        ("early_stopping=2 validation=0", "needs a validation share"),
        ("lora", "not key=value"),
        ("data.files=[a", "not YAML"),
        ("model.name=x", "model is {'name': 'x'}, expected str"),
        ("lora.r=true", "lora.r is True, expected int"),
        ("lora=3", "lora is 3, expected keys"),
        ("quantization=int8", "unknown value of quantization 'int8'.*nf4"),
        ("data.files=[1]", "data.files is .1., expected path"),
        ("data.mixtrue.text=1", "unknown key 'data.mixtrue'"),
    ],
)
def test_bad_keys_and_values(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(AlignmentConfig, None, ["output=x", *override.split(" ")])
    assert re.search(message, str(caught.value), re.S), str(caught.value)


def test_output_must_be_given_and_the_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="output is missing"):
        load_config(MixedConfig, None)
    with pytest.raises(UserError, match="cannot be read"):
        load_config(MixedConfig, tmp_path / "none.yaml", ["output=x"])
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="not a tree of keys"):
        load_config(MixedConfig, tmp_path / "list.yaml", ["output=x"])
