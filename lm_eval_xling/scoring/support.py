"""Whether a loaded model's computation may be divided at a cached prefix; if not, why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from lm_eval_xling.scoring.execution import Executor, head_at
from lm_eval_xling.scoring.plan import Costs, make_plan
from lm_eval_xling.scoring.prefix_cache import UnsupportedModel
from lm_eval_xling.scoring.tree import ScoredSequence

__all__ = ["TOLERANCE", "reason_against"]

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.3}
"""Greatest difference of a log-probability, in nats, that rounding explains, by the type of the logits. Random
tokens have log-probabilities of about -10 to -20; a wrong mask or position changes them by more."""

_LONGEST_WINDOW_CHECKED = 1024
"""Sliding windows up to so many tokens are exceeded by the self-check; longer ones would make it slow."""


def reason_against(model: Any, executor: Executor, max_length: int) -> str | None:
    """Return why the model cannot be scored by shared prefixes, or None where it can.

    Args:
        model: a loaded causal language model.
        executor: would run the model.
        max_length: most tokens that the model reads.
    """
    try:
        return _structural_reason(model) or _difference(model, executor, max_length)
    except UnsupportedModel as error:
        return str(error)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError, NotImplementedError) as error:
        # Architectures fail in their own ways when they meet a cache that they do not expect.
        return f"the self-check failed with {type(error).__name__}: {error}"


def _structural_reason(model: Any) -> str | None:
    """Reasons that a short self-check would not show."""
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


def _difference(model: Any, executor: Executor, max_length: int) -> str | None:
    """Score one prompt both ways, and one that is longer than the sliding window where that is short."""
    lengths = [min(24, max_length - 16)]
    windows = [
        getattr(module.config, "sliding_window", None) for module in model.modules() if hasattr(module, "config")
    ]
    window = max((window for window in windows if isinstance(window, int)), default=0)
    if 0 < window <= min(_LONGEST_WINDOW_CHECKED, max_length - 24):
        lengths.append(window + 8)
    for length in lengths:
        found, tolerance = _greatest_difference(model, executor, length)
        # Written so that a difference that is not a number fails.
        if not found <= tolerance:
            return f"the self-check's log-probabilities differ by {found:.2g} nats after a prefix of {length} tokens"
    return None


def _greatest_difference(model: Any, executor: Executor, length: int) -> tuple[float, float]:
    """Greatest difference in nats over the targets of one document, and what is tolerated for its type."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    shared, first, second = (
        torch.randint(vocabulary, (count,), generator=generator).tolist() for count in (length, 8, 6)
    )
    # Two documents after one prefix; the first with continuations of four, two and one tokens, as a tree.
    sequences = [
        ScoredSequence(shared + first[:-1], first[-4:]),
        ScoredSequence(shared + first[:4] + second[:1], second[:2]),
        ScoredSequence(shared + first[:4], [second[1]]),
        ScoredSequence(shared + second[:-1], second[-1:]),
    ]
    plan = make_plan(sequences, Costs(budget=4 * length, saving=1, row=8, overhang=0.0))
    assert plan.prefixes
    scores = {(target.sequence, target.index): value for batch in executor.run(plan) for target, value, _ in batch}
    # Only as many places as are compared: the logits of a whole long prompt may take gigabytes.
    places = torch.arange(length + 3, length + 7)
    with torch.inference_mode(), executor.context():
        whole = torch.tensor([sequences[0].tokens], device=executor.device)
        with head_at(model, places):
            logits = model(whole).logits
    expected = torch.log_softmax(logits[0], dim=-1, dtype=executor.softmax_dtype)
    wanted = [((0, k), expected[k, token]) for k, token in enumerate(sequences[0].targets)]
    wanted += [((index, 0), expected[0, sequences[index].targets[0]]) for index in (1, 2)]
    # maximum, unlike max, keeps a not-a-number.
    differences = torch.stack([(value.float().cpu() - scores[key]).abs() for key, value in wanted])
    return float(differences.amax()), TOLERANCE.get(logits.dtype, 0.0)
