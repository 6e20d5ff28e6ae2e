"""Configuration ▸ tokenizer and model, ready to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch

from lm_eval_xling import models
from lm_eval_xling.errors import UserError
from lm_eval_xling.training.configuration import AnyConfig, Config
from lm_eval_xling.training.supervised_loss import check_structure, keeps_texts_apart

__all__ = ["base_dtype", "load_base", "load_model", "load_tokenizer"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_tokenizer(config: Config) -> Any:
    """Return the model's tokenizer.

    Raises:
        UserError: if there is none under that name.
    """
    _refuse_adapter(config)
    return models.load_tokenizer(config.model, revision=config.revision)


def base_dtype(config: Config) -> torch.dtype:
    """Return the type of the loaded weights: frozen ones as the arithmetic, those that are trained in float32."""
    return torch.float32 if config.lora is None else _DTYPES[config.precision]


def load_base(config: Config) -> Any:
    """Return the base model as it is before training.

    Raises:
        UserError: if there is no such model, or quantisation is asked for and cannot run.
    """
    _refuse_adapter(config)
    options: dict[str, Any] = {}
    if config.attention is not None:
        options["attn_implementation"] = config.attention
    if config.quantization is not None:
        options["quantization_config"] = _quantization(config)
    model = models.load_model(config.model, revision=config.revision, dtype=base_dtype(config), **options)
    if config.quantization is not None:
        _keep_unpacked(model)
    return model


def load_model(config: AnyConfig, device: torch.device) -> tuple[Any, AnyConfig]:
    """Return the model to train, checked, with fresh adapters if the configuration has any.

    The caller has seeded torch; the adapters' first weights depend on that alone. The model stays where it was loaded;
    ``device`` is where it will be trained, by which its attention is chosen.

    Returns:
        The model, and the configuration with the batching that this model allows.

    Raises:
        UserError: if the architecture cannot be trained as configured, or no module has the adapters' names.
    """
    model = load_base(config)
    check_structure(model)
    if config.batching == "packed" and not keeps_texts_apart(model, device):
        print(f"{type(model).__name__} cannot keep texts of one row apart: one text a row (batching=padded)")
        config = msgspec.structs.replace(config, batching="padded")
    if config.lora is None:
        return model, config
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    lora = config.lora
    if config.quantization is not None:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    names = lora.target_modules
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=names if isinstance(names, str) else list(names),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, settings), config
    except ValueError as error:
        linear = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
        raise UserError(
            f"no adapter fits: {str(error).splitlines()[0]}",
            where="lora.target_modules",
            fix=f"linear modules of {type(model).__name__}: {', '.join(sorted(linear))}",
        ) from None


def _refuse_adapter(config: Config) -> None:
    folder = Path(config.model)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(
            "this folder holds an adapter, not a model",
            where=folder,
            fix=f"name its base as model, and start from it with adapters=[{folder}]",
        )


def _quantization(config: Config) -> Any:
    from importlib.util import find_spec

    if config.lora is None:
        raise UserError("4-bit weights cannot be trained", where="quantization", fix="keep lora, or quantization=null")
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"quantization={config.quantization} needs bitsandbytes",
            fix="pip install 'lm-eval-xling[qlora]', or quantization=null",
        )
    from transformers import BitsAndBytesConfig

    compute = _DTYPES[config.precision]
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=config.quantization, bnb_4bit_compute_dtype=compute
    )


def _keep_unpacked(model: torch.nn.Module) -> None:
    """Keep 4-bit weights in the layout that gradients pass through.

    On processors with AVX512-BF16, bitsandbytes packs a layer anew at its first evaluation, for a product without a
    gradient: training could not go on after it. Layers narrower than a block of 64 cannot be packed at all.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for part in model.modules():
        if isinstance(part, Linear4bit):
            part.support_avx512bf16_for_cpu = False
