"""Adapters ▸ a base model that has them in its weights, to train on top of them.

The harness loads one adapter on one model. What is trained on top of adapters therefore gets a base of its own, with
them merged, and its adapter is evaluated with ``pretrained=RUN/base,peft=RUN/adapter``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.adapters import own_tokenizer
from lm_eval_xling.training.configuration import AnyConfig, Config
from lm_eval_xling.training.provenance import MERGED, trained_languages
from lm_eval_xling.training.publishing import DataFile, file_digest
from lm_eval_xling.training.trainable import load_base, load_tokenizer

__all__ = ["describe_adapters", "merge_adapters"]


def describe_adapters(config: Config) -> list[DataFile]:
    """Return name and sha256 of the adapters that a run starts from.

    Raises:
        UserError: if one has no weights that can be read.
    """
    return [
        DataFile(f"adapter {folder.parent.name}/{folder.name}", file_digest(folder / "adapter_model.safetensors"))
        for folder in config.adapters
    ]


def merge_adapters(config: AnyConfig) -> AnyConfig:
    """Merge the adapters of a configuration into its model, in float32, once a run.

    An adapter's own tokenizer, where it has one, becomes that of the model, and resizes its vocabulary as the harness
    does with ``tokenizer=ADAPTER``.

    Returns:
        The configuration that trains the merged model; as it is without adapters.

    Raises:
        UserError: if an adapter does not fit the model, or is of a kind that has no weights to merge.
    """
    if not config.adapters:
        return config
    folder = config.output / "base"
    started = msgspec.structs.replace(config, model=str(folder), revision=None, adapters=())
    if folder.is_dir():
        return started
    # Weights that were rounded after every adapter would lose the small updates.
    exact = msgspec.structs.replace(config, lora=None, quantization=None, attention=None)
    model, tokenizer = load_base(exact), load_tokenizer(exact)
    for adapter in config.adapters:
        model, tokenizer = _merge(model, tokenizer, adapter)
    temporary = folder.with_name(".base")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    learnt = [code for path in (Path(config.model), *config.adapters) for code in trained_languages(path)]
    origin = {"model": config.model, "revision": config.revision, "adapters": [str(path) for path in config.adapters]}
    origin |= {"languages": list(dict.fromkeys(learnt))}
    (temporary / MERGED).write_text(json.dumps(origin, indent=2), encoding="utf-8")
    temporary.rename(folder)
    return started


def _merge(model: Any, tokenizer: Any, adapter: Path) -> tuple[Any, Any]:
    from peft import PeftModel

    if (own := own_tokenizer(adapter)) is not None:
        tokenizer = own
        if len(tokenizer) != model.config.get_text_config().vocab_size:
            model.resize_token_embeddings(len(tokenizer))
    try:
        loaded = PeftModel.from_pretrained(model, str(adapter), torch_dtype=torch.float32)
        merged = loaded.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"the adapter cannot be merged into the model: {str(error).splitlines()[0]}",
            where=adapter,
            fix="ask `xling doctor --adapter ADAPTER --model MODEL` whether it fits; prompt and "
            "prefix tuning have no weights of the model's shape, and cannot be trained on top of",
        ) from None
    return merged, tokenizer
