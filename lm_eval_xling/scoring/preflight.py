"""What is wrong with a model's folders, said before minutes are spent on loading them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError

__all__ = ["check_model_folders"]

_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "spiece*", "merges.txt", "tekken.json")
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt", "*.pth", "*.h5", "*.msgpack")


def check_model_folders(arguments: Mapping[str, Any]) -> None:
    """Look into the local folders among the model arguments of the harness's ``hf``.

    What is not a folder here is a name on the hub, which only loading can judge.

    Args:
        arguments: ``pretrained``, ``peft``, ``tokenizer`` and others.

    Raises:
        UserError: a folder that is missing, incomplete or damaged.
    """
    pretrained = arguments.get("pretrained")
    if not isinstance(pretrained, str) or not pretrained:
        raise UserError("no model is named", where="--model_args", fix="--model_args pretrained=MODEL")
    subfolder = arguments.get("subfolder")
    model = _folder(pretrained, "pretrained")
    if model is not None and not arguments.get("gguf_file"):
        _check_model(model / subfolder if isinstance(subfolder, str) else model, arguments)
    tokenizer = arguments.get("tokenizer")
    if isinstance(tokenizer, str) and (own := _folder(tokenizer, "tokenizer")) is not None:
        _need(own, _TOKENIZERS, "no tokenizer", "name the folder that holds it: --model_args …,tokenizer=FOLDER")
    adapter = arguments.get("peft")
    if isinstance(adapter, str) and (own := _folder(adapter, "peft")) is not None:
        _check_adapter(own)


def _folder(name: str, argument: str) -> Path | None:
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise UserError(
            f"{argument} names a file, not a folder", where=name, fix=f"--model_args {argument}={path.parent or '.'}"
        )
    if path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2:
        raise UserError(
            f"{argument} names a folder that does not exist",
            where=name,
            fix="check the path, or name a model on the hub",
        )
    return None


def _check_model(folder: Path, arguments: Mapping[str, Any]) -> None:
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise UserError(
                "pretrained names an adapter, not a model", where=folder, fix=f"pretrained=BASE,peft={folder}"
            )
        raise UserError(
            "the folder holds no model: config.json is missing",
            where=folder,
            fix="name the folder that save_pretrained wrote",
        )
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(
            f"config.json cannot be read: {error}", where=folder, fix="save or fetch the model again"
        ) from None
    _check_weights(folder, "the model")
    if not arguments.get("tokenizer"):
        _need(
            folder,
            _TOKENIZERS,
            "the model has no tokenizer",
            f"save its tokenizer there, or name another: --model_args pretrained={folder},tokenizer=FOLDER",
        )


def _check_adapter(folder: Path) -> None:
    if not (folder / "adapter_config.json").is_file():
        inside = sorted(path.parent for path in folder.glob("*/adapter_config.json"))
        raise UserError(
            "the folder holds no adapter: adapter_config.json is missing",
            where=folder,
            fix=f"peft={inside[0]}" if inside else "name the folder that save_pretrained of the adapter wrote",
        )
    if not any((folder / name).is_file() for name in ("adapter_model.safetensors", "adapter_model.bin")):
        raise UserError(
            "the adapter has no weights: adapter_model.safetensors is missing",
            where=folder,
            fix="save or copy the adapter again",
        )
    _check_weights(folder, "the adapter")


def _check_weights(folder: Path, what: str) -> None:
    _need(folder, _WEIGHTS, f"{what} has no weights", "save or copy it again, with model.safetensors")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError("the index of the weights is damaged", where=index, fix="save or fetch it again") from None
        missing = [name for name in names if not (folder / str(name)).is_file()]
        if missing:
            raise UserError(f"{what} lacks {', '.join(missing)}", where=folder, fix="save or fetch it again")
    for file in sorted(folder.glob("*.safetensors")):
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        # Reads the header and compares the file's size with it, not the weights.
        with safe_open(file, "pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"the weights are damaged or cut off: {error}", where=file, fix="save, copy or fetch the file again"
        ) from None


def _need(folder: Path, patterns: tuple[str, ...], what: str, fix: str) -> None:
    if not any(any(folder.glob(pattern)) for pattern in patterns):
        raise UserError(what, where=folder, fix=fix)
