"""What a trained model was made from, and the fingerprint that tells its base from other models of the same shapes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.errors import UserError

__all__ = [
    "FINGERPRINT_TEXT",
    "MERGED",
    "PROVENANCE",
    "Fingerprint",
    "logits_of",
    "read_provenance",
    "take_fingerprint",
    "trained_languages",
    "vocabulary_hash",
]

FINGERPRINT_TEXT = "The capital of France is Paris. La capitale de la France est Paris. 法国的首都是巴黎。"
"""Text on which logits are compared: three languages, so that no adapter is blind to all of it."""

PROVENANCE = "provenance.json"
"""File beside our adapters that says what they were made from."""

MERGED = "merged.json"
"""File beside a model that has adapters in its weights: which ones, and the languages they were trained in."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a model says on ``FINGERPRINT_TEXT``."""

    token_ids: tuple[int, ...]
    """The text in the model's tokens."""
    logprobs: tuple[float, ...]
    """Log-probability of each token after the first, in nats."""


@torch.no_grad()
def take_fingerprint(model: Any, tokenizer: Any) -> Fingerprint:
    """Return the log-probabilities of the tokens of ``FINGERPRINT_TEXT``."""
    ids = tokenizer(FINGERPRINT_TEXT, return_tensors="pt").input_ids
    logprobs = logits_of(model, ids)[0, :-1].float().log_softmax(-1)
    scores = logprobs.gather(-1, ids[0, 1:, None])[:, 0]
    return Fingerprint(tuple(ids[0].tolist()), tuple(scores.tolist()))


def logits_of(model: Any, ids: Tensor) -> Tensor:
    """Return a model's logits of token ids ``(1, length)``, on the CPU."""
    device = model.get_input_embeddings().weight.device
    logits: Tensor = model(input_ids=ids.to(device)).logits
    return logits.cpu()


def vocabulary_hash(tokenizer: Any) -> str:
    """Return the sha256 of a tokenizer's tokens and ids."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def trained_languages(folder: Path) -> tuple[str, ...]:
    """Return the codes of the languages that a model or adapter of ours was trained in; none for any other.

    Raises:
        UserError: if a file is damaged.
    """
    return tuple(code for name in (PROVENANCE, MERGED) for code in _read(folder / name).get("languages", ()))


def read_provenance(folder: Path) -> Mapping[str, Any]:
    """Return what a published folder was made from; empty for a folder that our trainers did not write.

    Raises:
        UserError: if the file is damaged.
    """
    return _read(folder / PROVENANCE)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        provenance: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path.name} is damaged: {error}", where=path, fix="copy or train it again") from None
    return provenance
