"""Does an adapter fit a model, and does it do anything?

An adapter that peft "loaded" but that changes nothing is the most expensive kind of silent error in evaluation:
every score comes out, and all of them are the base model's. The check loads adapter and model as the harness does,
and believes the logits with and without the adapter; what an adapter is made of is peft's affair.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import EMBEDDED_MODELS, loading, model_folder

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
    """Last names of the modules it changes: ``q_proj``, …; none where it puts virtual tokens before the text."""
    arguments: str
    """``--model_args`` of the harness that evaluate it."""
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
    own = _own_tokenizer(adapter)
    trained_on = str(config.get("base_model_name_or_path"))
    problems = _strangers(_read_provenance(adapter), base, tokenizer, own)
    notes = []
    loaded = _Loaded()
    arguments = f"pretrained={model_path(model)},peft={adapter}"
    if not problems:
        if own is not None and len(own) != len(tokenizer):
            arguments += f",tokenizer={adapter}"
            notes.append(
                f"the adapter has a tokenizer of its own, of {len(own)} tokens where the model's has {len(tokenizer)}: "
                f"evaluate it with tokenizer={adapter}"
            )
            loaded = _load(adapter, weights, base, own)
        else:
            loaded = _load(adapter, weights, base, tokenizer)
        problems = list(loaded.problems)
    if not problems and trained_on not in (model, model_path(model)):
        notes.append(f"the adapter names {trained_on} as its base model, and it was checked against {model}")
    return AdapterCheck(
        adapter=str(adapter),
        model=model,
        kind=str(config.get("peft_type")),
        trained_on=trained_on,
        parameters=sum(tensor.numel() for tensor in weights.values()),
        modules=loaded.modules,
        arguments=arguments,
        difference=loaded.difference,
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
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
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
    with loading(model, what=f"the model {model!r} cannot be loaded"):
        base = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
        return base, AutoTokenizer.from_pretrained(path)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What came of loading an adapter."""

    modules: tuple[str, ...] = ()
    difference: float | None = None
    problems: tuple[str, ...] = ()


def _own_tokenizer(adapter: Path) -> Any:
    """Return the tokenizer that an adapter brings, or None."""
    from transformers import AutoTokenizer

    if not (adapter / "tokenizer_config.json").is_file():
        return None
    try:
        return AutoTokenizer.from_pretrained(adapter)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the adapter's tokenizer cannot be loaded: {str(error).splitlines()[0]}", where=adapter
        ) from None


@torch.no_grad()
def _load(adapter: Path, weights: Mapping[str, Tensor], base: Any, tokenizer: Any) -> _Loaded:
    """Load an adapter as the harness does, the vocabulary resized to the tokenizer's, and compare logits."""
    from peft import PeftModel, get_peft_model_state_dict

    vocabulary = base.config.get_text_config().vocab_size
    if len(tokenizer) != vocabulary:
        base.resize_token_embeddings(len(tokenizer))
    texts = [tokenizer(PROBE, return_tensors="pt").input_ids]
    # An adapter that changes some tokens alone shows on no other text.
    if tokens := [*_tokens_of(adapter), *range(vocabulary, len(tokenizer))][:64]:
        texts.append(torch.tensor([tokens]))
    before = [_logits(base, ids) for ids in texts]
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(base, str(adapter)).eval()
        # After the virtual tokens, where there are any.
        after = [_logits(model, ids)[:, -ids.shape[1] :] for ids in texts]
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, OSError, ImportError) as error:
        return _Loaded(problems=(_reason(error),))
    problems = []
    known = get_peft_model_state_dict(model)
    missing = [str(warning.message) for warning in said if "missing adapter keys" in str(warning.message)]
    ignored = sorted(weights.keys() - known.keys())
    if missing:
        problems.append(f"base-model mismatch: peft says: {missing[0].splitlines()[0][:200]}")
    if ignored:
        problems.append(
            f"target-module mismatch: {len(ignored)} weights of the adapter have no place in the model, such as "
            f"{ignored[0]}"
        )
    changes = [float((new.float() - old.float()).abs().max()) for new, old in zip(after, before, strict=True)]
    difference = next((change for change in changes if not change <= 1e-6), changes[0])
    if difference != difference:
        problems.append("the adapter holds NaN: it changes logits to nothing")
    elif not difference > 1e-6:
        problems.append("the adapter does nothing: logits with and without it are equal")
    return _Loaded(_changed_modules(model), difference, tuple(problems))


def _tokens_of(adapter: Path) -> list[int]:
    """Return the tokens that an adapter says it changes."""
    config = _read_config(adapter)
    found = config.get("trainable_token_indices") or config.get("token_indices") or []
    lists = found.values() if isinstance(found, Mapping) else [found]
    return sorted({int(token) for tokens in lists for token in tokens})


def _changed_modules(model: Any) -> tuple[str, ...]:
    """Return the last names of the modules that peft has wrapped."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    wrapped = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    names = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, wrapped)}
    return tuple(sorted(names))


def _reason(error: Exception) -> str:
    """Say why peft could not load an adapter."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    sizes = [line for line in lines if line.startswith("size mismatch")]
    if sizes:
        known = re.search(
            r"size mismatch for (?P<name>\S+): .*?torch\.Size\((?P<theirs>.+?)\).*?torch\.Size\((?P<ours>.+?)\)",
            sizes[0],
        )
        detail = (
            f"{known['name']} is {known['theirs']} in the adapter, {known['ours']} in the model" if known else sizes[0]
        )
        embeds = known is not None and ("embed" in known["name"] or "lm_head" in known["name"])
        what = "vocabulary" if embeds else "base-model"
        return f"{what} mismatch: {detail}" + (f" ({len(sizes)} such)" if len(sizes) > 1 else "")
    if "not found in the base model" in lines[0]:
        return f"target-module mismatch: {lines[0]}"
    return f"peft cannot load it: {type(error).__name__}: {lines[0]}"


def _read_provenance(adapter: Path) -> Mapping[str, Any]:
    path = adapter / PROVENANCE
    try:
        provenance: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{PROVENANCE} is damaged: {error}", where=path, fix="copy or train it again") from None
    return provenance


def _strangers(provenance: Mapping[str, Any], base: Any, tokenizer: Any, own: Any) -> list[str]:
    """Compare with what our trainers wrote down: same shapes do not make the same model."""
    if not provenance:
        return []
    if provenance["vocabulary_sha256"] not in [vocabulary_hash(known) for known in (tokenizer, own) if known]:
        return ["vocabulary mismatch: the adapter was trained with another tokenizer"]
    known, now = provenance["base_probe"], probe_model(base, tokenizer)
    distance = sum(abs(a - b) for a, b in zip(known, now.logprobs, strict=True)) / len(known)
    if distance > _SAME_MODEL:
        return [
            f"base-model mismatch: log-probabilities of the base differ by {distance:.2f} nats on average "
            f"from those of {provenance['model']}, which the adapter was trained on"
        ]
    return []


def _logits(model: Any, ids: Tensor) -> Tensor:
    device = model.get_input_embeddings().weight.device
    logits: Tensor = model(input_ids=ids.to(device)).logits
    return logits.cpu()
