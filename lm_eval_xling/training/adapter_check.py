"""Does an adapter fit a model, and does it do anything?

An adapter that peft "loaded" but that changes nothing is the most expensive kind of silent error in evaluation:
every score comes out, and all of them are the base model's. The check loads adapter and model as the harness does,
and believes the logits with and without the adapter; what an adapter is made of is peft's affair.
"""

from __future__ import annotations

import math
import re
import shlex
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lm_eval_xling.models import load_model, load_tokenizer, model_path
from lm_eval_xling.models.adapters import adapter_shapes, own_tokenizer, read_adapter_config
from lm_eval_xling.models.argument_words import argument_words
from lm_eval_xling.training.provenance import (
    FINGERPRINT_TEXT,
    logits_of,
    read_provenance,
    take_fingerprint,
    vocabulary_hash,
)

__all__ = ["AdapterCheck", "check_adapter"]

_SAME_MODEL = 0.2
"""Mean difference of log-probabilities, in nats, up to which two loads count as the same base model: bfloat16 against
float32 gives a few hundredths, another model several nats."""


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


def check_adapter(adapter: Path, model: str) -> AdapterCheck:
    """Load an adapter onto a model, and compare logits with the adapter switched on and off.

    Args:
        adapter: folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
        model: hub name, folder, or the name of an embedded model.

    Raises:
        UserError: if one of the two cannot be read at all. Everything else is in ``problems``.
    """
    config = read_adapter_config(adapter)
    shapes = adapter_shapes(adapter)
    base, tokenizer = load_model(model, dtype="auto"), load_tokenizer(model)
    own = own_tokenizer(adapter)
    trained_on = str(config.get("base_model_name_or_path"))
    problems = _strangers(read_provenance(adapter), base, tokenizer, own)
    notes = []
    loaded = _Loaded()
    arguments = {"pretrained": str(model_path(model)), "peft": str(adapter)}
    if not problems:
        if own is not None and len(own) != len(tokenizer):
            arguments["tokenizer"] = str(adapter)
            notes.append(
                f"the adapter has a tokenizer of its own, of {len(own)} tokens where the model's has {len(tokenizer)}: "
                f"evaluate it with tokenizer={adapter}"
            )
            loaded = _load(adapter, shapes, base, own)
        else:
            loaded = _load(adapter, shapes, base, tokenizer)
        problems = list(loaded.problems)
    if not problems and trained_on not in (model, model_path(model)):
        notes.append(f"the adapter names {trained_on} as its base model, and it was checked against {model}")
    return AdapterCheck(
        adapter=str(adapter),
        model=model,
        kind=str(config.get("peft_type")),
        trained_on=trained_on,
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        modules=loaded.modules,
        arguments=shlex.quote(argument_words(arguments)),
        difference=loaded.difference,
        problems=tuple(problems),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What came of loading an adapter."""

    modules: tuple[str, ...] = ()
    difference: float | None = None
    problems: tuple[str, ...] = ()


@torch.no_grad()
def _load(adapter: Path, shapes: Mapping[str, tuple[int, ...]], base: Any, tokenizer: Any) -> _Loaded:
    """Load an adapter as the harness does, the vocabulary resized to the tokenizer's, and compare logits."""
    from peft import PeftModel, get_peft_model_state_dict

    vocabulary = base.config.get_text_config().vocab_size
    if len(tokenizer) != vocabulary:
        base.resize_token_embeddings(len(tokenizer))
    texts = [tokenizer(FINGERPRINT_TEXT, return_tensors="pt").input_ids]
    # An adapter that changes some tokens alone shows on no other text.
    if tokens := [*_tokens_of(adapter), *range(vocabulary, len(tokenizer))][:64]:
        texts.append(torch.tensor([tokens]))
    before = [logits_of(base, ids) for ids in texts]
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(base, str(adapter)).eval()
        # After the virtual tokens, where there are any.
        after = [logits_of(model, ids)[:, -ids.shape[1] :] for ids in texts]
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, OSError, ImportError) as error:
        return _Loaded(problems=(_reason(error),))
    problems = []
    known = get_peft_model_state_dict(model)
    missing = [str(warning.message) for warning in said if "missing adapter keys" in str(warning.message)]
    ignored = sorted(shapes.keys() - known.keys())
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
    config = read_adapter_config(adapter)
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


def _strangers(provenance: Mapping[str, Any], base: Any, tokenizer: Any, own: Any) -> list[str]:
    """Compare with what our trainers wrote down: same shapes do not make the same model."""
    if not provenance:
        return []
    if provenance["vocabulary_sha256"] not in [vocabulary_hash(known) for known in (tokenizer, own) if known]:
        return ["vocabulary mismatch: the adapter was trained with another tokenizer"]
    known, now = provenance["base_probe"], take_fingerprint(base, tokenizer)
    distance = sum(abs(a - b) for a, b in zip(known, now.logprobs, strict=True)) / len(known)
    if distance > _SAME_MODEL:
        return [
            f"base-model mismatch: log-probabilities of the base differ by {distance:.2f} nats on average "
            f"from those of {provenance['model']}, which the adapter was trained on"
        ]
    return []
