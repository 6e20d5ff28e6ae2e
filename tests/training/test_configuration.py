from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lm_eval_xling.errors import UserError
from lm_eval_xling.training.configuration import (
    AlignmentConfig,
    Config,
    LoraSettings,
    MixedConfig,
    as_mapping,
    load_config,
)

CONFIGS = Path(__file__).parents[2] / "lm_eval_xling" / "trainers" / "configs"


@pytest.mark.parametrize(("kind", "name"), [(AlignmentConfig, "question_alignment"), (MixedConfig, "mixed_language")])
def test_the_shipped_file_says_what_the_defaults_are(kind: type[Config], name: str) -> None:
    shipped = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    # PyYAML reads 5e-5 as text; compare what the loader makes of it.
    assert load_config(kind, CONFIGS / f"{name}.yaml") == load_config(kind, None, [f"output={shipped['output']}"])
    assert set(shipped) == set(as_mapping(load_config(kind, None, ["output=x"]))), "every key is shown"


def test_published_defaults() -> None:
    align = load_config(AlignmentConfig, None, ["output=x"])
    assert align.lora == LoraSettings(r=8, alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))
    assert align.data.cutoff == 2048 and align.validation == 0.05
    expected = {"learning_rate": 5e-5, "lr_scheduler_type": "cosine", "warmup_steps": 0.1, "num_train_epochs": 3}
    assert expected.items() <= align.training.items()
    assert align.training["per_device_train_batch_size"] == align.training["gradient_accumulation_steps"] == 4
    mixed = load_config(MixedConfig, None, ["output=x"])
    assert mixed.lora == LoraSettings(r=8, alpha=32, dropout=0.05, target_modules="all-linear")
    expected = {"learning_rate": 2e-5, "weight_decay": 0.01, "seed": 42, "num_train_epochs": 1}
    assert expected.items() <= mixed.training.items()
    assert mixed.training["per_device_train_batch_size"] == 2 and mixed.training["gradient_accumulation_steps"] == 8


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
        ("model.name=x", "expected str"),
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
