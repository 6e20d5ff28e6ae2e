"""Does an adapter fit a model, and does it do anything?

An adapter that peft "loaded" but that changes nothing is the most expensive kind of silent error in evaluation:
every score comes out, and all of them are the base model's. The check loads adapter and model as the harness does
and compares logits with the adapter switched on and off.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import EMBEDDED_MODELS, model_folder

__all__ = ["PROBE", "AdapterCheck", "Probe", "check_adapter", "model_path", "probe_model", "vocabulary_hash"]

PROBE = "The capital of France is Paris. La capitale de la France est Paris. 法国的首都是巴黎。"
"""Text on which logits are compared: three languages, so that no adapter is blind to all of it."""

PROVENANCE = "provenance.json"
"""File beside our adapters that says what they were made from."""

_SAME_MODEL = 0.2
"""Mean difference of log-probabilities, in nats, up to which two loads count as the same base model: bfloat16 against
float32 gives a few hundredths, another model several nats."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a model says on ``PROBE``."""

    token_ids: tuple[int, ...]
    """The text in the model's tokens."""
    logprobs: tuple[float, ...]
    """Log-probability of each token after the first, in nats."""


@dataclass(frozen=True, slots=True)
class AdapterCheck:
    """What the check of one adapter against one model found."""

    adapter: str
    """Folder of the adapter."""
    model: str
    """Model it was checked against."""
    kind: str
    """Method, as peft names it: ``LORA``, …"""
    trained_on: str
    """Base model that the adapter names."""
    parameters: int
    """Number of the adapter's own weights."""
    modules: tuple[str, ...]
    """Last names of the modules it changes: ``q_proj``, …"""
    difference: float | None
    """Greatest absolute difference of the logits with and without the adapter; ``None`` if it could not be loaded."""
    problems: tuple[str, ...] = ()
    """Each makes an evaluation with this adapter wrong or impossible."""
    notes: tuple[str, ...] = field(default=())
    """Worth knowing, and harmless."""

    @property
    def ok(self) -> bool:
        """Whether the adapter can be evaluated with this model."""
        return not self.problems


def model_path(model: str) -> str:
    """Return what ``from_pretrained`` takes: the folder of an embedded model, or the name as it is."""
    return str(model_folder(model)) if model in EMBEDDED_MODELS and not Path(model).exists() else model


def check_adapter(adapter: Path, model: str) -> AdapterCheck:
    """Load an adapter onto a model, and compare logits with the adapter switched on and off.

    Args:
        adapter: folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
        model: hub name, folder, or the name of an embedded model.

    Raises:
        UserError: if one of the two cannot be read at all. Everything else is in ``problems``.
    """
    config = _read_config(adapter)
    weights = _read_weights(adapter)
    base, tokenizer = _load_base(model)
    problems = _misfits(weights, base)
    notes, provenance = [], _read_provenance(adapter)
    problems += _strangers(provenance, base, tokenizer)
    trained_on = str(config.get("base_model_name_or_path"))
    if not problems and trained_on not in (model, model_path(model)):
        notes.append(f"the adapter names {trained_on} as its base model, and it was checked against {model}")
    difference = None
    if not problems:
        difference = _difference(adapter, base, tokenizer)
        if not difference > 1e-6:
            problems.append(
                "the adapter holds NaN: it changes logits to nothing"
                if difference != difference
                else "the adapter does nothing: logits with and without it are equal"
            )
    modules = {match[1] for name in weights if (match := re.search(r"\.([^.]+)\.lora_[AB]\.", name))}
    return AdapterCheck(
        adapter=str(adapter),
        model=model,
        kind=str(config.get("peft_type")),
        trained_on=trained_on,
        parameters=sum(tensor.numel() for tensor in weights.values()),
        modules=tuple(sorted(modules)),
        difference=difference,
        problems=tuple(problems),
        notes=tuple(notes),
    )


@torch.no_grad()
def probe_model(model: Any, tokenizer: Any) -> Probe:
    """Return the log-probabilities of the tokens of ``PROBE``."""
    ids = tokenizer(PROBE, return_tensors="pt").input_ids
    logprobs = _logits(model, ids)[0, :-1].float().log_softmax(-1)
    scores = logprobs.gather(-1, ids[0, 1:, None])[:, 0]
    return Probe(tuple(ids[0].tolist()), tuple(scores.tolist()))


def vocabulary_hash(tokenizer: Any) -> str:
    """Return the sha256 of a tokenizer's tokens and ids."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def _read_config(adapter: Path) -> Mapping[str, Any]:
    path = adapter / "adapter_config.json"
    if not path.is_file():
        raise UserError("no adapter here: adapter_config.json is missing", where=adapter, fix="name peft's folder")
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"adapter_config.json is damaged: {error}", where=path, fix="train or copy it again") from None
    return config


def _read_weights(adapter: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        pickled = (adapter / "adapter_model.bin").is_file()
        raise UserError(
            "the adapter's weights are a pickle, which can run code" if pickled else "the adapter has no weights",
            where=adapter,
            fix="save it with peft's save_pretrained, which writes adapter_model.safetensors",
        )
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"the adapter's weights are damaged: {error}", where=path, fix="copy or train it again"
        ) from None


def _load_base(model: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = model_path(model)
    try:
        base = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
        return base, AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the model {model!r} cannot be loaded: {str(error).splitlines()[0]}",
            fix=f"name a folder, a hub model, or one of {', '.join(EMBEDDED_MODELS)}",
        ) from None


def _misfits(weights: Mapping[str, Tensor], base: Any) -> list[str]:
    """Say which of the adapter's weights have no counterpart, or one of another shape, in the model."""
    modules = dict(base.named_modules())
    missing: set[str] = set()
    problems: list[str] = []
    for name, weight in weights.items():
        path, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        path = path if part else path.removesuffix(".weight").removesuffix(".base_layer")
        module = modules.get(path)
        if module is None or not hasattr(module, "weight"):
            missing.add(path)
            continue
        expected = {"A": (1, module.weight.shape[1]), "B": (0, module.weight.shape[0])}.get(part[:1])
        if not part and weight.shape != module.weight.shape:
            what = "vocabulary" if weight.shape[0] != module.weight.shape[0] else "module"
            problems.append(
                f"{what} mismatch: {path} is {tuple(weight.shape)} in the adapter, "
                f"{tuple(module.weight.shape)} in the model"
            )
        # An embedding's lora_A and lora_B are transposed; peft names them lora_embedding_A and _B.
        elif expected is not None and weight.dim() == 2 and weight.shape[expected[0]] != expected[1]:
            problems.append(
                f"base-model mismatch: {path} has width {weight.shape[expected[0]]} in the adapter, "
                f"{expected[1]} in the model"
            )
    if missing:
        some = ", ".join(sorted(missing)[:3])
        problems.append(f"target-module mismatch: {len(missing)} modules are not in the model, such as {some}")
    return problems if len(problems) <= 3 else [*problems[:3], f"and {len(problems) - 3} more mismatches"]


def _read_provenance(adapter: Path) -> Mapping[str, Any]:
    path = adapter / PROVENANCE
    try:
        provenance: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{PROVENANCE} is damaged: {error}", where=path, fix="copy or train it again") from None
    return provenance


def _strangers(provenance: Mapping[str, Any], base: Any, tokenizer: Any) -> list[str]:
    """Compare with what our trainers wrote down: same shapes do not make the same model."""
    if not provenance:
        return []
    if provenance["vocabulary_sha256"] != vocabulary_hash(tokenizer):
        return ["vocabulary mismatch: the adapter was trained with another tokenizer"]
    known, now = provenance["base_probe"], probe_model(base, tokenizer)
    distance = sum(abs(a - b) for a, b in zip(known, now.logprobs, strict=True)) / len(known)
    if distance > _SAME_MODEL:
        return [
            f"base-model mismatch: log-probabilities of the base differ by {distance:.2f} nats on average "
            f"from those of {provenance['model']}, which the adapter was trained on"
        ]
    return []


@torch.no_grad()
def _difference(adapter: Path, base: Any, tokenizer: Any) -> float:
    from peft import PeftModel

    ids = tokenizer(PROBE, return_tensors="pt").input_ids
    before = _logits(base, ids)
    after = _logits(PeftModel.from_pretrained(base, str(adapter)).eval(), ids)
    return float((after.float() - before.float()).abs().max())


def _logits(model: Any, ids: Tensor) -> Tensor:
    device = model.get_input_embeddings().weight.device
    logits: Tensor = model(input_ids=ids.to(device)).logits
    return logits.cpu()
