"""Which function a model of transformers computes its attention with, switched for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["attention_configs", "attention_implementation"]


def attention_configs(model: torch.nn.Module) -> list[Any]:
    """Return the configurations that a model's layers read, each once."""
    from transformers import PreTrainedModel

    configs = (module.config for module in model.modules() if isinstance(module, PreTrainedModel))
    return list({id(config): config for config in configs}.values())


@contextmanager
def attention_implementation(model: torch.nn.Module, name: str) -> Iterator[None]:
    """Let a model attend inside the block by the function that transformers knows as ``name``."""
    configs = attention_configs(model)
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = name
        yield
    finally:
        for config, implementation in zip(configs, before, strict=True):
            config._attn_implementation = implementation
