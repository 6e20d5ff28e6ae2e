"""Shared-prefix scoring backend for the harness: the numbers of its ``hf`` model, each shared prefix computed once."""

from __future__ import annotations

__all__ = ["MODEL_NAME", "model_name", "register"]

MODEL_NAME = "hf-shared-prefix"
"""Name of the backend among the harness's models."""

_REPLACED = frozenset({"hf", "hf-auto", "huggingface"})


def register() -> None:
    """Make ``--model hf-shared-prefix`` known to the harness; a second call does nothing.

    The entry point in pyproject (group ``lm_eval.models``) does the same in a harness that loads such groups;
    releases up to 0.4.13 do not.
    """
    # Registers the harness's own models, which it does by itself only while its registry is empty.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    if MODEL_NAME not in model_registry:
        model_registry.register(MODEL_NAME, target="lm_eval_xling.scoring.model:SharedPrefixLM")


def model_name(name: str) -> str:
    """Register the backend and return what to ask the harness for where the user asks for a model by a name.

    Args:
        name: as after ``--model``; ``hf`` and its aliases become the backend, all others stay.
    """
    register()
    return MODEL_NAME if name in _REPLACED else name
