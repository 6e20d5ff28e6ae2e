"""Trained model ▸ a folder that the harness loads: weights, provenance and model card, checked by reloading."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import check_folder, file_sha256, write_atomically
from lm_eval_xling.models import load_model, model_path
from lm_eval_xling.models.adapters import attach
from lm_eval_xling.training.card import model_card
from lm_eval_xling.training.configuration import Config, as_mapping
from lm_eval_xling.training.fitting import Fitted
from lm_eval_xling.training.monitoring import plot_losses
from lm_eval_xling.training.provenance import PROVENANCE, take_fingerprint, trained_languages, vocabulary_hash
from lm_eval_xling.training.trainable import load_base

__all__ = ["DataFile", "claim", "describe_files", "file_digest", "finished", "publish"]

_PACKAGES = ("lm-eval-xling", "torch", "transformers", "peft", "accelerate")
_TOLERANCE = 1e-3
"""Greatest difference, in nats, between the trained and the reloaded model, relative to float32."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One source of training data."""

    name: str
    """File name, or dataset, split and language."""
    sha256: str
    """Of the bytes that were read."""


def describe_files(paths: Iterable[Path]) -> list[DataFile]:
    """Return name and sha256 of files.

    Raises:
        UserError: if one cannot be read.
    """
    return [DataFile(path.name, file_digest(path)) for path in paths]


def claim(config: Config, data: Sequence[DataFile]) -> None:
    """Write down which run a folder belongs to, so that another run never continues from its checkpoints.

    Raises:
        UserError: if the folder belongs to a run with another configuration or other data.
    """
    identity: dict[str, Any] = {
        "config": {**as_mapping(config), "output": None},
        "data": [asdict(file) for file in data],
    }
    path = config.output / "run.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known != identity:
            changed = _differences(known["config"], identity["config"])
            raise UserError(
                f"this folder holds another run: {', '.join(changed) if changed else 'its data'} differ"
                f"{'s' if len(changed) == 1 else ''}",
                where=config.output,
                fix="choose another output, or delete the folder",
            )
        return
    check_folder(config.output, "output")
    if (config.output / "config.json").is_file() or (config.output / "adapter_config.json").is_file():
        raise UserError("this folder holds a model", where=config.output, fix="choose another output")
    write_atomically(path, json.dumps(identity, indent=2).encode())


def finished(config: Config) -> Path | None:
    """Return the published folder of a run that is complete."""
    folder = _folder(config)
    return folder if folder.is_dir() else None


def publish(
    fitted: Fitted,
    tokenizer: Any,
    config: Config,
    *,
    recipe: str,
    languages: Sequence[str],
    data: Sequence[DataFile],
) -> Path:
    """Reload what was saved, compare, describe, plot the losses, and rename into place; what is published stays.

    Args:
        fitted: trained and saved weights.
        tokenizer: of the model.
        config: the run's configuration.
        recipe: name of the recipe.
        languages: codes of the languages in the data; what it starts from adds its own.
        data: what was trained on.

    Returns:
        ``output/adapter``, or ``output/model`` after full fine-tuning.

    Raises:
        UserError: if the reloaded model does not say what the trained one says, or says what the base said.
    """
    folder = _folder(config)
    if folder.is_dir():  # by another process of the run
        return folder
    plot_losses(config.output / "metrics.jsonl", config.output / "loss.png")
    temporary = fitted.folder
    if config.lora is not None:
        _sort_modules(temporary / "adapter_config.json")
    else:
        tokenizer.save_pretrained(temporary)
    # The trained model and its Trainer refer to each other: without this a second model would stand beside them.
    gc.collect()
    model = load_base(config).eval()
    if model.device.type != fitted.device.type:  # 4-bit weights are on it, and may not be moved
        model.to(fitted.device)
    revision, dtype = _revision(model, config), model.dtype
    before = take_fingerprint(model, tokenizer)
    if config.lora is not None:
        model = attach(model, temporary, "default", model_name=config.model)
    else:
        del model
        gc.collect()
        model = load_model(str(temporary), dtype=dtype).to(fitted.device)
    reloaded = take_fingerprint(model, tokenizer)
    _compare(before.logprobs, fitted.fingerprint.logprobs, reloaded.logprobs, temporary, exact=dtype == torch.float32)
    provenance = {
        "recipe": recipe,
        "model": config.model,
        "revision": revision,
        "languages": list(dict.fromkeys((*languages, *trained_languages(Path(config.model))))),
        "config": {**as_mapping(config), "output": config.output.name},
        "data": [asdict(file) for file in data],
        "scores": dict(fitted.scores),
        "losses": {name: list(losses) for name, losses in fitted.by_language.items()},
        "versions": {package: version(package) for package in _PACKAGES},
        "vocabulary_sha256": vocabulary_hash(tokenizer),
        "base_probe": list(before.logprobs),
    }
    (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=2, ensure_ascii=False), encoding="utf-8")
    (temporary / "README.md").write_text(model_card(provenance), encoding="utf-8")
    temporary.rename(folder)
    return folder


def _folder(config: Config) -> Path:
    return config.output / ("model" if config.lora is None else "adapter")


def _compare(
    before: Sequence[float], trained: Sequence[float], reloaded: Sequence[float], folder: Path, *, exact: bool
) -> None:
    def distance(first: Sequence[float], second: Sequence[float]) -> float:
        return max(abs(a - b) for a, b in zip(first, second, strict=True))

    tolerance = _TOLERANCE if exact else 0.2
    # `not … <=` so that NaN fails too.
    if not distance(trained, reloaded) <= tolerance:
        raise UserError(
            f"the saved model does not say what the trained one said: log-probabilities differ by "
            f"{distance(trained, reloaded):.4f} nats",
            where=folder,
            fix="report this with the run's configuration; the checkpoints are untouched",
        )
    if distance(before, reloaded) == 0:
        raise UserError(
            "the training changed nothing: log-probabilities equal the base model's",
            where=folder,
            fix="raise training.learning_rate or the number of steps, in a new output folder",
        )


def _sort_modules(path: Path) -> None:
    # peft keeps the names in a set, whose order changes from process to process.
    config = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _revision(model: Any, config: Config) -> str:
    """Return the hub's commit, or the sha256 of a folder's weights."""
    commit = getattr(model.config, "_commit_hash", None)
    folder = Path(model_path(config.model))
    if commit or not folder.is_dir():
        return str(commit or config.revision)
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(file_digest(path).encode())
    return f"sha256:{digest.hexdigest()}"


def file_digest(path: Path) -> str:
    """Return the sha256 of a file that a run reads.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise UserError(f"cannot read the file: {error.strerror}", where=path, fix="check data") from None


def _differences(known: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name in {**known, **new}:
        first, second = known.get(name), new.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            names += _differences(first, second, f"{prefix}{name}.")
        elif first != second:
            names.append(f"{prefix}{name}")
    return names
