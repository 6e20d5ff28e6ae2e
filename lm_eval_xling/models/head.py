"""The map from final hidden states to logits: the output layer, and what the architecture does after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["OutputHead", "unserved"]


@dataclass(frozen=True, slots=True)
class OutputHead:
    """Output layer, scale and cap of a causal model: ``cap * tanh(scale * layer(hidden) / cap)``."""

    module: nn.Module
    """Output layer, ``(..., d_model)`` to ``(..., vocabulary)``."""
    scale: float = 1.0
    """Factor on what the layer gives: ``logit_scale`` (Cohere), ``1 / logits_scaling`` (Granite)."""
    cap: float | None = None
    """Bound of the logits (Gemma 2, ``final_logit_softcapping``)."""

    @classmethod
    def of(cls, model: Any) -> OutputHead:
        """Return a model's head, as its configuration describes it; ``find_output_path`` checks it.

        Raises:
            UserError: if the model has none.
        """
        module = model.get_output_embeddings()
        if module is None:
            raise unserved(model, "it has no output embedding")
        config = model.config.get_text_config()
        scale = getattr(config, "logit_scale", None) or 1.0
        return cls(
            module,
            float(scale) / float(getattr(config, "logits_scaling", None) or 1.0),
            getattr(config, "final_logit_softcapping", None),
        )

    def after(self, products: torch.Tensor) -> torch.Tensor:
        """Return the logits of what the output layer gives, in its type."""
        import torch

        if self.scale != 1.0:
            products = products * self.scale
        return products if self.cap is None else torch.tanh(products / self.cap) * self.cap

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits ``(..., vocabulary)`` in float32 of states ``(..., d_model)`` that have passed the tail."""
        return self.after(self.module(hidden).float())


def unserved(model: Any, why: str) -> UserError:
    """Return the error for an architecture whose structure is not understood."""
    return UserError(
        f"the architecture {type(model).__name__} ({model.config.model_type}) cannot be served: {why}",
        fix="use a causal model whose logits are head(norm(hidden state)), scaled or capped as its config says",
    )
