"""YAML and ``key=value`` ▸ one checked configuration: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import read_text
from lm_eval_xling.training.batching import Batching

__all__ = [
    "AlignmentConfig",
    "Config",
    "CorpusData",
    "LoraSettings",
    "MixedConfig",
    "PairData",
    "as_mapping",
    "load_config",
]


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), as peft names their options."""

    r: int = 8
    """Rank."""
    alpha: int = 32
    """The update is scaled by ``alpha / r``."""
    dropout: float = 0.05
    """Dropout before the update, in [0, 1)."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Last names of the modules to adapt, or ``all-linear`` for all linear layers except the output head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What both recipes share."""

    model: str
    """Hub name, folder, or the name of an embedded model (``gemma-3-270m``)."""
    revision: str | None = None
    """Revision of a hub model."""
    output: Path
    """Folder of the run: checkpoints, metrics, and in the end ``adapter`` (or ``model``)."""
    lora: LoraSettings | None
    """``null`` trains all weights."""
    quantization: Literal["nf4"] | None = None
    """``nf4`` is QLoRA (Dettmers et al. 2023, arXiv 2305.14314): 4-bit base weights; needs bitsandbytes."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward and backward pass. Weights that are trained stay float32."""
    attention: str | None = None
    """Implementation of attention, as transformers names it; ``null`` lets transformers choose."""
    batching: Batching = "packed"
    """``packed`` concatenates a batch into one row without padding, ``padded`` is the usual layout."""
    validation: float
    """Share of the data that is held out for the validation loss, in [0, 1)."""
    early_stopping: int | None = None
    """Stop after so many evaluations without a lower validation loss."""
    training: Mapping[str, Any]
    """Options of ``transformers.TrainingArguments`` by their own names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusData:
    """Training text of mixed-language fine-tuning."""

    corpus: tuple[Path, ...] = ()
    """Files that ``xling mix`` wrote (JSON lines, one ``records.MixedText`` each)."""
    text: Literal["mixed", "source"] = "mixed"
    """``source`` trains on the same documents before mixing: the English-only ablation."""
    block: int = 1024
    """Tokens of a packed block."""
    limit: int | None = None
    """At most so many documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairData:
    """Training pairs of question alignment: published files, or parallel rows of the catalog."""

    files: tuple[Path, ...] = ()
    """Files in the published format (rows ``input`` and ``answer``)."""
    dataset: str | None = None
    """Dataset of the catalog, instead of files."""
    split: str = "train"
    """Split of the dataset."""
    sources: tuple[str, ...] = ()
    """Source languages; empty takes all that the files have."""
    target: str = "en"
    """Target language."""
    limit: int | None = 10_000
    """At most so many pairs of each source language."""
    cutoff: int = 2048
    """Longest pair in tokens; a longer one loses the beginning of its prompt."""


_COMMON_TRAINING = {
    "seed": 42,
    "logging_steps": 10,
    "save_steps": 100,
    "eval_steps": 100,
    "save_total_limit": 2,
    "report_to": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedConfig(Config):
    """Mixed-language fine-tuning; defaults of Chua et al. 2024, with LoRA in place of full fine-tuning."""

    data: CorpusData = field(default_factory=CorpusData)
    """What to train on."""
    model: str = "gemma-3-270m"
    lora: LoraSettings | None = field(default_factory=LoraSettings)
    validation: float = 0.0
    training: Mapping[str, Any] = field(
        default_factory=lambda: {
            **_COMMON_TRAINING,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 8,
            "num_train_epochs": 1,
            "learning_rate": 2e-5,
            "weight_decay": 0.01,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentConfig(Config):
    """Question alignment; defaults of Zhang et al. 2024."""

    data: PairData = field(default_factory=PairData)
    """What to train on."""
    model: str = "gemma-3-270m"
    lora: LoraSettings | None = field(
        default_factory=lambda: LoraSettings(alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))
    )
    validation: float = 0.05
    training: Mapping[str, Any] = field(
        default_factory=lambda: {
            **_COMMON_TRAINING,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 4,
            "num_train_epochs": 3,
            "learning_rate": 5e-5,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,
        }
    )


_C = TypeVar("_C", bound=Config)

_OURS = {
    "output_dir": "output",
    "bf16": "precision",
    "fp16": "precision",
    "label_names": None,
    "remove_unused_columns": None,
    "resume_from_checkpoint": None,
    "logging_nan_inf_filter": None,
    "use_liger_kernel": None,
    "label_smoothing_factor": None,
    "eval_strategy": "validation",
    "load_best_model_at_end": "validation",
    "save_only_model": None,
}
"""Training arguments that the recipes set, and the key of ours to use instead."""


def load_config(kind: type[_C], path: Path | None, overrides: Sequence[str] = ()) -> _C:
    """Read a configuration: the recipe's defaults, then the file, then the overrides.

    Args:
        kind: configuration of a recipe.
        path: YAML file, or ``None`` for the defaults alone.
        overrides: ``key=value`` with dots between levels, such as ``lora.r=16``; values are YAML.

    Raises:
        UserError: if a key is unknown, a value is of the wrong type, or ``output`` is missing.
    """
    values: dict[str, Any] = {} if path is None else _read(path)
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise UserError(f"{override!r} is not key=value", fix="write for example lora.r=16")
        level = values
        *parents, last = key.split(".")
        for parent in parents:
            inner = level.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise UserError(f"{parent!r} holds a value, not keys", where=override)
            level = inner
        level[last] = _parse(text, override)
    config: _C = _build(kind, values, "", path)
    _check_training(config.training, path)
    if not 0 <= config.validation < 1:
        raise UserError(f"validation is {config.validation}, a share in [0, 1) is expected", where=path)
    if config.early_stopping is not None and config.validation == 0:
        raise UserError("early_stopping needs a validation share", fix="set validation=0.05")
    return config


def as_mapping(config: Config) -> dict[str, Any]:
    """Return a configuration as plain values, for YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Mapping):
            return {name: plain(inner) for name, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value

    mapping: dict[str, Any] = plain(dataclasses.asdict(config))
    return mapping


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats and truth values: 1.1 reads ``5e-5`` as text, and ``save_strategy: no`` as false."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+\Z"), list("-+0123456789")
)


def _parse(text: str, where: object) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"not YAML: {str(error).splitlines()[0]}", where=where) from None


def _read(path: Path) -> dict[str, Any]:
    values = _parse(read_text(path), path)
    if not isinstance(values, dict | None):
        raise UserError("the configuration is not a tree of keys", where=path)
    return values or {}


def _build(kind: type[Any], values: Mapping[str, Any], prefix: str, path: Path | None) -> Any:
    """Build a dataclass from plain values, over its defaults."""
    hints = typing.get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise unknown_name("key", f"{prefix}{name}", [f"{prefix}{known}" for known in hints], where=path)
        arguments[name] = _convert(hints[name], value, f"{prefix}{name}", path, _default(kind, name))
    missing = [f.name for f in dataclasses.fields(kind) if _default(kind, f.name) is None and f.name == "output"]
    for name in missing:
        if name not in arguments:
            raise UserError(f"{prefix}{name} is missing", where=path, fix=f"add {prefix}{name}=runs/NAME")
    return kind(**arguments)


def _default(kind: type[Any], name: str) -> Any:
    known = {f.name: f for f in dataclasses.fields(kind)}[name]
    if known.default_factory is not dataclasses.MISSING:
        return known.default_factory()
    return None if known.default is dataclasses.MISSING else known.default


def _convert(hint: Any, value: Any, key: str, path: Path | None, default: Any) -> Any:
    """Check a value against a field's type, and build what the type says."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for option in (option for option in inner if option is not type(None)):
            try:
                return _convert(option, value, key, path, default)
            except UserError:
                # Inside a section the message about its key says more than one about the section's type.
                if dataclasses.is_dataclass(option):
                    raise
        raise _wrong(key, value, hint, path)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        start = default if dataclasses.is_dataclass(default) and not isinstance(default, type) else None
        built = _build(hint, value, f"{key}.", path)  # type: ignore[arg-type]
        return built if start is None else dataclasses.replace(start, **{name: getattr(built, name) for name in value})
    if origin is Literal:
        if value in inner:
            return value
        raise unknown_name(f"value of {key}", str(value), [str(option) for option in inner], where=path)
    if origin is tuple and isinstance(value, list | tuple | str):
        items = [value] if isinstance(value, str) else value
        return tuple(_convert(inner[0], item, key, path, None) for item in items)
    if isinstance(hint, type) and issubclass(hint, Path) and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if origin is not None and isinstance(value, Mapping):
        return {**(default or {}), **value}
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise _wrong(key, value, hint, path)


def _wrong(key: str, value: Any, hint: Any, path: Path | None) -> UserError:
    expected = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "").replace("NoneType", "null")
    return UserError(f"{key} is {value!r}, expected {expected}", where=path)


def _check_training(training: Mapping[str, Any], path: Path | None) -> None:
    from transformers import TrainingArguments

    known = [f.name for f in dataclasses.fields(TrainingArguments) if f.init]
    for name in training:
        if name in _OURS:
            instead = _OURS[name]
            raise UserError(
                f"training.{name} is set by the recipe", where=path, fix=f"use {instead}" if instead else "remove it"
            )
        if name not in known:
            raise unknown_name("key", f"training.{name}", [f"training.{option}" for option in known], where=path)
