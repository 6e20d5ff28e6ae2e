"""YAML and ``key=value`` ▸ one checked configuration: an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta, Struct, field

from lm_eval_xling.catalog.ledger import ATTRIBUTES, PEOPLE, Spelling
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.ledger import Wording
from lm_eval_xling.files import read_text
from lm_eval_xling.training.batching import Batching

__all__ = [
    "AlignmentConfig",
    "AnyConfig",
    "Config",
    "CorpusData",
    "FactData",
    "FactSource",
    "FactsConfig",
    "LedgerData",
    "LoraSettings",
    "MixedConfig",
    "OtherText",
    "PairData",
    "as_mapping",
    "load_config",
]

Count = Annotated[int, Meta(ge=1)]
"""A number of things of which there must be one."""
Length = Annotated[int, Meta(ge=2)]
"""A number of tokens: one that is read and one that is predicted."""


class LoraSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), as peft names their options."""

    r: Count = 8
    """Rank."""
    alpha: Count = 32
    """The update is scaled by ``alpha / r``."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    """Dropout before the update, in [0, 1)."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Last names of the modules to adapt, or ``all-linear`` for all linear layers except the output head."""


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the recipes share."""

    model: str = "gemma-3-270m"
    """Hub name, folder, or the name of an embedded model (``gemma-3-270m``)."""
    revision: str | None = None
    """Revision of a hub model."""
    adapters: tuple[Path, ...] = ()
    """Folders of adapters that are merged into the model before training, one after the other."""
    output: Path
    """Folder of the run: checkpoints, metrics, and in the end ``adapter`` (or ``model``)."""
    lora: LoraSettings | None = None
    """``null`` trains all weights."""
    quantization: Literal["nf4"] | None = None
    """``nf4`` is QLoRA (Dettmers et al. 2023, arXiv 2305.14314): 4-bit base weights; needs bitsandbytes."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward and backward pass. Weights that are trained stay float32."""
    attention: str | None = None
    """Implementation of attention, as transformers names it; ``null`` lets transformers choose."""
    batching: Batching = "packed"
    """``packed`` concatenates a batch into one row without padding; ``padded`` has one text a row, and is taken where
    a model cannot keep the texts of a row apart."""
    validation: float = 0.0
    """Share of the data that is held out for the validation loss, in [0, 1)."""
    early_stopping: Count | None = None
    """Stop after so many evaluations without a lower validation loss."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``transformers.TrainingArguments`` by their own names."""

    @property
    def seed(self) -> int:
        """Of all that is drawn."""
        return int(self.training.get("seed", 42))


class CorpusData(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Training text of mixed-language fine-tuning."""

    corpus: tuple[Path, ...] = ()
    """Files that ``xling mix`` wrote (JSON lines, one ``records.MixedText`` each)."""
    text: Literal["mixed", "source"] = "mixed"
    """``source`` trains on the same documents before mixing: the English-only ablation."""
    block: Length = 1024
    """Tokens of a packed block."""
    limit: Count | None = None
    """At most so many documents."""
    held_out: Annotated[int, Meta(ge=0)] = 32
    """About so many documents, at most a tenth of all, are not trained: their loss is printed language by language."""


class PairData(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Training pairs of question alignment: published files, or parallel rows of the catalog."""

    files: tuple[Path, ...] = ()
    """Files in the published format (rows ``input`` and ``answer``)."""
    dataset: str | None = None
    """Dataset of the catalog, instead of files."""
    split: str = "train"
    """Split of the dataset."""
    train_on_test: bool = False
    """Allow ``split: test``, whose scores then say nothing."""
    sources: tuple[str, ...] = ()
    """Source languages; empty takes all that the files have."""
    target: str = "en"
    """Target language."""
    limit: Count | None = 10_000
    """At most so many pairs of each source language."""
    cutoff: Length = 2048
    """Longest pair in tokens; a longer one loses the beginning of its prompt."""


class LedgerData(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Invented people of the ledger, whose facts no model knows."""

    half: Literal["taught", "never", "others"] = "taught"
    """Which people: ``xling_ledger`` asks for those that are taught, and as a control for those that never are."""
    people: Count = PEOPLE
    """How many."""
    seed: int = 0
    """Invents people and facts."""
    attributes: tuple[str, ...] = ATTRIBUTES
    """What is said of each person."""
    names: Spelling = "latin"
    """Names in Latin letters, or in the script of the language (``native``)."""
    wordings: tuple[Wording, ...] = ("record",)
    """Wordings of each fact, of which ``wordings`` of the data are drawn."""
    answers: Literal["same", "crossed", "drawn"] = "same"
    """Language of the answers: that of the question; ``crossed``, another of the languages; ``drawn``, where each fact
    is taught once, question and answer in a language of its own each."""


class FactSource(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where facts come from: files, rows of the catalog, the ledger."""

    files: tuple[Path, ...] = ()
    """JSON lines with ``question`` (or ``prompt``, taken as it stands), ``answer``, ``language``, and ``id``."""
    dataset: str | None = None
    """Dataset of the catalog; may stand beside files."""
    split: str = "train"
    """Split of the dataset."""
    train_on_test: bool = False
    """Allow ``split: test``, whose scores then say nothing."""
    ledger: LedgerData | None = None
    """Invented people; may stand beside files and a dataset."""
    languages: tuple[str, ...] = ()
    """Languages of the rows that are taught; empty teaches all that the files have, and others in English."""
    limit: Count | None = None
    """At most so many facts of each language, those that the files begin with."""


class OtherText(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What else is learnt in the same run as facts, in random order with them."""

    text: CorpusData = field(default_factory=lambda: CorpusData(block=256))
    """Documents that ``xling mix`` wrote."""
    pairs: PairData = field(default_factory=PairData)
    """Question pairs."""
    facts: FactSource = field(default_factory=FactSource)
    """Other facts."""


class FactData(FactSource, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Facts to teach, how they are shown, and what else is learnt."""

    wordings: Count | None = 1
    """So many wordings of each question are taught, drawn by a hash of the fact's id; ``null``: all."""
    chat_template: bool = False
    """Ask as the tokenizer's chat template renders a user's turn."""
    cutoff: Length = 500
    """Longest row in tokens; a longer one loses the beginning of its question."""
    mixture: OtherText = field(default_factory=OtherText)
    """What else is learnt in the same run."""


_COMMON_TRAINING = {
    "seed": 42,
    "logging_steps": 10,
    "save_steps": 100,
    "eval_steps": 100,
    "save_total_limit": 2,
    "report_to": "none",
}


class MixedConfig(Config, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mixed-language fine-tuning; defaults of Chua et al. 2024, with LoRA in place of full fine-tuning."""

    data: CorpusData = field(default_factory=CorpusData)
    """What to train on."""
    lora: LoraSettings | None = field(default_factory=LoraSettings)
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


class AlignmentConfig(Config, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Question alignment; defaults of Zhang et al. 2024."""

    data: PairData = field(default_factory=PairData)
    """What to train on."""
    lora: LoraSettings | None = field(
        default_factory=lambda: LoraSettings(alpha=16, dropout=0.0, target_modules=("q_proj", "v_proj"))
    )
    validation: float = 0.05
    training: Mapping[str, Any] = field(
        default_factory=lambda: {
            **_COMMON_TRAINING,
            "save_steps": 50,
            "eval_steps": 50,
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 4,
            "num_train_epochs": 3,
            "learning_rate": 5e-5,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,
        }
    )


class FactsConfig(Config, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Teaching facts; defaults of the release of TOFU (Maini et al. 2024, arXiv 2401.06121)."""

    data: FactData = field(default_factory=FactData)
    """What to teach."""
    training: Mapping[str, Any] = field(
        default_factory=lambda: {
            **_COMMON_TRAINING,
            "per_device_train_batch_size": 16,
            "gradient_accumulation_steps": 1,
            "num_train_epochs": 5,
            "learning_rate": 1e-5,
            "weight_decay": 0.01,
            "warmup_steps": 0.2,
        }
    )


SHIPPED = Path(__file__).parents[1] / "trainers" / "configs"
"""Folder of the configurations that come with the package."""

AnyConfig = TypeVar("AnyConfig", bound=Config)
"""Configuration of one of the recipes."""

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

_SHARES = frozenset({"save_steps", "eval_steps", "logging_steps"})
"""Options that may be a share of all steps, below 1."""
_AT_LEAST_ONE = _SHARES | {"per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"}
_NOT_NEGATIVE = frozenset({"learning_rate", "weight_decay", "warmup_steps", "seed", "max_grad_norm"})


def load_config(kind: type[AnyConfig], path: Path | None, overrides: Sequence[str] = ()) -> AnyConfig:
    """Read a configuration: the recipe's defaults, then the file, then the overrides.

    Args:
        kind: configuration of a recipe.
        path: YAML file, the name of one that the package holds (``facts_lora.yaml``), or ``None`` for the defaults.
        overrides: ``key=value`` with dots between levels, such as ``lora.r=16``; values are YAML.

    Raises:
        UserError: if there is no such file, a key is unknown, a value is of the wrong type, or ``output`` is missing.
    """
    if path is not None and not path.exists() and path.name == str(path):
        shipped = {file.name: file for file in sorted(SHIPPED.glob("*.yaml"))}
        if path.name not in shipped:
            raise unknown_name("configuration", path.name, shipped, where="--config, no file here and none of ours")
        path = shipped[path.name]
    values: dict[str, Any] = {} if path is None else _read(path)
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise UserError(f"{override!r} is not key=value", fix="write for example lora.r=16")
        level = values
        *parents, last = key.split(".")
        for parent in parents:
            if level.get(parent) is None:
                level[parent] = {}
            level = level[parent]
            if not isinstance(level, dict):
                raise UserError(f"{parent!r} holds a value, not keys", where=override)
        level[last] = _parse(text, override)
    if "output" not in values:
        raise UserError("output is missing", where=path, fix="add output=runs/NAME")
    defaults = as_mapping(kind(output=Path()))
    merged = _over(kind, defaults, values, "", path)
    try:
        config = msgspec.convert(merged, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _wrong(kind, merged, str(error), path) from None
    _check_training(config.training, path)
    if not 0 <= config.validation < 1:
        raise UserError(f"validation is {config.validation}, a share in [0, 1) is expected", where=path)
    if config.early_stopping is not None and config.validation == 0:
        raise UserError("early_stopping needs a validation share", fix="set validation=0.05")
    return config


def as_mapping(config: Config) -> dict[str, Any]:
    """Return a configuration as plain values, for YAML and JSON."""
    # Through JSON: tuples become lists, as they come back from a file.
    mapping: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(config, enc_hook=str))
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


def _over(
    kind: type[Struct], defaults: Mapping[str, Any], values: Mapping[str, Any], prefix: str, path: Path | None
) -> dict[str, Any]:
    """Lay values over defaults, level by level, and name the nearest key to one that is unknown."""
    types = {known.name: known.type for known in msgspec.structs.fields(kind)}
    merged = dict(defaults)
    for name, value in values.items():
        if name not in types:
            raise unknown_name("key", f"{prefix}{name}", [f"{prefix}{known}" for known in types], where=path)
        start = defaults.get(name) or {}
        section = _section(types[name])
        if section is not None and isinstance(value, Mapping):
            value = _over(section, start, value, f"{prefix}{name}.", path)
        elif isinstance(start, Mapping) and isinstance(value, Mapping):
            value = {**start, **value}
        elif typing.get_origin(types[name]) is tuple and isinstance(value, str):
            value = [value]
        merged[name] = value
    return merged


def _section(hint: Any) -> type[Struct] | None:
    """Return the section that a field holds, or may hold."""
    options = typing.get_args(hint) or (hint,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, Struct)), None)


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `path`, got `{type(value).__name__}`")


def _wrong(kind: type[Struct], values: Any, message: str, path: Path | None) -> UserError:
    """Say of msgspec's message which value is meant, and what may stand there."""
    what, _, place = message.partition(" - at `$.")
    names = re.findall(r"[^.\[\]`]+(?=[.\[`])|\[\.\.\.\]", place)
    hint: Any = kind
    for name in names:
        section = _section(hint)
        if section is None or not isinstance(values, Mapping):
            break
        hint = {known.name: known.type for known in msgspec.structs.fields(section)}[name]
        values = values[name]
    key = ".".join(names)
    literals = [hint, *typing.get_args(hint)]
    choices = [choice for part in literals if typing.get_origin(part) is Literal for choice in typing.get_args(part)]
    if choices:
        return unknown_name(f"value of {key}", str(values), choices, where=path)
    expected = (
        what.partition(",")[0]
        .removeprefix("Expected ")
        .replace("`", "")
        .replace("array", "a list")
        .replace("object", "keys")
    )
    return UserError(f"{key} is {values!r}, expected {expected}", where=path)


def _check_training(training: Mapping[str, Any], path: Path | None) -> None:
    from transformers import TrainingArguments

    defaults = {f.name: f.default for f in dataclasses.fields(TrainingArguments) if f.init}
    known = list(defaults)
    for name in training:
        if name in _OURS:
            instead = _OURS[name]
            raise UserError(
                f"training.{name} is set by the recipe", where=path, fix=f"use {instead}" if instead else "remove it"
            )
        if name not in known:
            raise unknown_name("key", f"training.{name}", [f"training.{option}" for option in known], where=path)
        # transformers takes any value, and fails on it when the training has begun.
        value, kind = training[name], type(defaults[name])
        least = 1 if name in _AT_LEAST_ONE else 0 if name in _NOT_NEGATIVE else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind in (int, float) and not number:
            raise UserError(f"training.{name} is {value!r}, expected a number", where=path)
        if number and name == "num_train_epochs" and value <= 0:
            raise UserError(f"training.{name} is {value}, expected a number above 0", where=path)
        if number and least is not None and not (value >= least or (name in _SHARES and 0 < value)):
            raise UserError(f"training.{name} is {value}, expected {least} or more", where=path)
