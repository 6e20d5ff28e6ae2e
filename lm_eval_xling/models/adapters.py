"""Adapter folder ▸ adapter on a model, as the harness loads it: vocabulary and all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.pretrained import load_tokenizer, loading

__all__ = ["adapter_shapes", "adapter_tokenizer", "attach", "embedding_rows", "own_tokenizer", "read_adapter_config"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def read_adapter_config(adapter: Path) -> Mapping[str, Any]:
    """Return an adapter's ``adapter_config.json``.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    path = adapter / "adapter_config.json"
    if not path.is_file():
        raise UserError(
            "no adapter here: adapter_config.json is missing",
            where=adapter,
            fix="give the folder that training wrote (adapter_config.json, adapter_model.safetensors)",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise UserError(f"adapter_config.json is damaged: {error}", where=path, fix="train or copy it again") from error
    return config


def adapter_shapes(adapter: Path) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight of an adapter, without reading the weights.

    Raises:
        UserError: if there are none, they are a pickle, or they are damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        pickled = (adapter / "adapter_model.bin").is_file()
        raise UserError(
            "the adapter's weights are a pickle, which can run code" if pickled else "the adapter has no weights",
            where=adapter,
            fix="save it with peft's save_pretrained, which writes adapter_model.safetensors",
        )
    try:
        with safe_open(path, framework="numpy") as weights:
            return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"the adapter's weights are damaged: {error}", where=path, fix="copy or train it again"
        ) from error


def own_tokenizer(adapter: Path) -> Any | None:
    """Return the tokenizer that an adapter's folder brings, or None.

    Raises:
        UserError: if it is damaged.
    """
    if not any((adapter / name).is_file() for name in _TOKENIZER_FILES):
        return None
    return load_tokenizer(str(adapter), fix="copy the tokenizer's files again, or remove them from the folder")


def adapter_tokenizer(adapter: Path, tokenizer: Any) -> Any:
    """Return the tokenizer to read with: the adapter's own where its vocabulary is another one, or the model's.

    That is what the harness reads with under ``tokenizer=ADAPTER``.

    Args:
        adapter: peft's folder, with or without a tokenizer.
        tokenizer: of the base model.

    Raises:
        UserError: if the folder's tokenizer is damaged.
    """
    own = own_tokenizer(adapter)
    return tokenizer if own is None or own.get_vocab() == tokenizer.get_vocab() else own


def embedding_rows(model: Any, adapter: Path) -> int | None:
    """Return the vocabulary of an adapter's own weights of the embeddings, or None where it brings none.

    Args:
        model: the base model, without adapters.
        adapter: peft's folder.
    """
    embeddings = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    names = {name for name, module in model.named_modules() if id(module) in embeddings}
    rows = []
    for weight, shape in adapter_shapes(adapter).items():
        path, low_rank, part = weight.removeprefix("base_model.model.").partition(".lora_")
        if path.removesuffix(".weight").removesuffix(".base_layer") in names:
            # Of a low-rank change, one factor is as long as the vocabulary.
            rows += [max(shape)] if not low_rank or part.startswith(("embedding_A", "B")) else []
    return max(rows, default=None)


def attach(model: Any, adapter: Path, name: str, *, model_name: str) -> Any:
    """Put one more adapter on a model.

    Args:
        model: a model of transformers, or what this function gave for an earlier adapter.
        adapter: peft's folder.
        name: for peft. One that no module of a model has, as names are parts of the weights' names: an adapter
            called ``norm`` would be loaded without its weights.
        model_name: for the message.

    Returns:
        peft's model, with the adapter loaded and in evaluation mode.

    Raises:
        UserError: if the adapter is damaged or does not fit.
    """
    from peft import PeftModel

    read_adapter_config(adapter)
    adapter_shapes(adapter)
    with loading(
        adapter, what="the adapter does not fit the model", fix=f"xling doctor --adapter {adapter} --model {model_name}"
    ):
        if isinstance(model, PeftModel):
            model.load_adapter(str(adapter), adapter_name=name)
            return model.eval()
        return PeftModel.from_pretrained(model, str(adapter), adapter_name=name).eval()
