"""Whether the structure of a loaded model lets its computation be divided at a cached prefix; if not, why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedModel

__all__ = ["structural_reason"]


def structural_reason(model: Any) -> str | None:
    """Return a reason against dividing the model's computation that a short self-check would not show, or None.

    Args:
        model: a loaded causal language model.
    """
    adapters = getattr(model, "peft_config", {})
    if any(getattr(adapter, "is_prompt_learning", False) for adapter in getattr(adapters, "values", list)()):
        return "the adapter adds virtual tokens"
    if not callable(getattr(model, "modules", None)):
        return f"{type(model).__name__} is not a PyTorch module"
    submodels = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    for submodel in submodels:
        if getattr(submodel, "_is_stateful", False):
            return f"{type(submodel).__name__} keeps a recurrent state"
        for rope in _rope_types(submodel.config):
            # Their frequencies depend on the length of the whole sequence, which differs at every cached prefix.
            if rope in ("dynamic", "longrope"):
                return f"rotary embeddings of type {rope!r} depend on the length of the whole sequence"
    if not submodels:
        return f"{type(model).__name__} contains no transformers model"
    if not hasattr(model, "get_output_embeddings") or model.get_output_embeddings() is None:
        return f"{type(model).__name__} has no output head"
    return None


def _rope_types(config: Any) -> Iterator[str]:
    for name in ("rope_parameters", "rope_scaling"):
        parameters = getattr(config, name, None)
        if isinstance(parameters, dict):
            # Either one set of parameters, or one for each type of layer.
            for entry in (parameters, *parameters.values()):
                if isinstance(entry, dict):
                    yield str(entry.get("rope_type", entry.get("type", "default")))
