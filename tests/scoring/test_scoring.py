from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from lm_eval.api.registry import get_model, model_registry

from lm_eval_xling.scoring import MODEL_NAME, model_name, register
from lm_eval_xling.scoring.model import SharedPrefixLM

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


def test_the_harness_finds_the_backend_beside_its_own_models() -> None:
    register()
    register()
    assert get_model("hf-shared-prefix") is SharedPrefixLM
    assert get_model("hf").__name__ == "HFLM"


def test_only_hf_becomes_the_backend() -> None:
    assert {name: model_name(name) for name in ("hf", "hf-auto", "huggingface")} == {
        "hf": MODEL_NAME,
        "hf-auto": MODEL_NAME,
        "huggingface": MODEL_NAME,
    }
    assert [model_name(name) for name in ("vllm", "dummy", MODEL_NAME)] == ["vllm", "dummy", MODEL_NAME]


def test_the_declared_entry_point_is_the_backend() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())
    ((name, value),) = project["project"]["entry-points"]["lm_eval.models"].items()
    assert (name, EntryPoint(name, value, "lm_eval.models").load()) == (MODEL_NAME, SharedPrefixLM)


def test_a_harness_that_loads_entry_points_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(MODEL_NAME, "lm_eval_xling.scoring.model:SharedPrefixLM", "lm_eval.models")
    monkeypatch.setitem(model_registry._objs, MODEL_NAME, entry)
    register()
    assert model_registry._objs[MODEL_NAME] is entry
    assert get_model(MODEL_NAME) is SharedPrefixLM
