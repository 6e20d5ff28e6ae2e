from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.probed_model import ProbedModel, _variant_name
from tests.precision import assert_equal_up_to_rounding

IDS = torch.arange(30)[None]
MASK = torch.ones_like(IDS)


def states(model: ProbedModel, variant: str) -> torch.Tensor:
    with model.use(variant), torch.inference_mode():
        device = model.model.device
        return torch.stack(model.hidden_states(IDS.to(device), MASK.to(device))).cpu()


def test_one_load_is_base_and_every_adapter(tiny: Callable[[str], Path], adapter: Callable[..., Path]) -> None:
    folders = [adapter("nothing", strength=0), adapter("weak", strength=0.1), adapter("strong", strength=0.5)]
    model = ProbedModel(str(tiny("llama")), folders)
    assert list(model.variants) == ["base", "nothing", "weak", "strong"]
    plain = AutoModelForCausalLM.from_pretrained(tiny("llama")).eval()
    with torch.inference_mode():
        base = torch.stack(plain(IDS, output_hidden_states=True).hidden_states)
    # In any order: switching one on must not leave another behind.
    for variant in ("strong", "base", "weak", "nothing", "base"):
        found = states(model, variant)
        if variant in ("base", "nothing"):
            assert_equal_up_to_rounding(found, base)
            continue
        path = model.variants[variant]
        merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny("llama")), str(path))
        merged = merged.merge_and_unload().eval()
        with torch.inference_mode():
            expected = torch.stack(merged(IDS, output_hidden_states=True).hidden_states)
        assert_equal_up_to_rounding(found, expected)
        assert (found[-1] - base[-1]).abs().max() > 1e-2


def test_adapters_are_named_as_shortly_as_they_differ(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("a/v1.0", "b/v1.0", "b/run/adapter", "c/run/adapter", "c/adapter")]
    for folder in folders:
        shutil.copytree(adapter("same", strength=0.1), folder)
    model = ProbedModel(str(tiny("llama")), folders)
    assert list(model.variants) == ["base", "v1_0", "b-v1_0", "run", "c-run", "c"]


def test_any_number_of_adapters_named_alike_is_told_apart(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    # More of them than their path has parts: digests, and names that are the same to peft.
    digests = [tmp_path / f"run-{number:012x}" for number in range(len(tmp_path.parts) + 2)]
    spellings = [tmp_path / "v1.0", tmp_path / "v1_0"]
    for folder in digests + spellings:
        shutil.copytree(adapter("same", strength=0.1), folder)
    names = list(ProbedModel(str(tiny("llama")), digests + spellings).variants)
    assert len(set(names)) == 1 + len(digests + spellings)
    assert names[1] == "run" and names[2].endswith("-run-000000000001")


def test_numbers_tell_apart_what_no_folder_does() -> None:
    adapter = Path("/nowhere/a")
    taken: dict[str, Path | None] = dict.fromkeys(("base", "a", "nowhere-a", "-nowhere-a", "a-2"))
    assert _variant_name(adapter, taken) == "a-3"


def test_an_adapter_given_twice_is_an_error(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder, link = adapter("twice", strength=0.1), tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(UserError, match="given twice") as error:
        ProbedModel(str(tiny("llama")), [link, folder])
    assert str(error.value.where) == str(folder)


def test_an_adapter_for_another_model_is_an_error(tiny: Callable[[str], Path], adapter: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="does not fit the model") as error:
        ProbedModel(str(tiny("gpt_neox")), [adapter("foreign", strength=0.1)])
    assert "xling doctor --adapter" in str(error.value.fix)


def test_what_is_no_adapter_and_no_model_is_an_error(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="adapter_config.json is missing"):
        ProbedModel(str(tiny("llama")), [tmp_path])
    with pytest.raises(UserError, match="cannot be loaded"):
        ProbedModel(str(tmp_path))


def test_the_manifest_names_model_and_weights(tiny: Callable[[str], Path], adapter: Callable[..., Path]) -> None:
    weak, strong = adapter("one", strength=0.1), adapter("two", strength=0.2)
    found = ProbedModel(str(tiny("llama")), [weak, strong]).describe()
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["adapters"]["one"]["sha256"] != found["adapters"]["two"]["sha256"]


def test_without_the_accelerator_that_is_asked_for_the_cpu_is_used(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = ProbedModel(str(tiny("llama")), device="cuda")
    assert model.device == "cpu" and states(model, "base").device.type == "cpu"
    assert [record.getMessage() for record in caplog.records if "device cuda" in record.getMessage()] == [
        "device cuda: this torch sees none, so the CPU is used"
    ]
