"""The least time in which a machine can score or generate: the products with the weights, and nothing else.

Every token of the radix tree of all requests goes through the weights of every layer once, the output head is applied
once at each place that is scored, and both run as fast as this process multiplies matrices of these very shapes and
type in batches of ``ROWS`` tokens. Generation adds, for each new token, one step of all prompts together. Attention,
norms, activations and all that Python does count as nothing.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lm_eval_xling.models.float32_products import float32_products
from lm_eval_xling.scoring.output_product import gains_from_blocks, product_in_blocks
from lm_eval_xling.scoring.tree import ScoredSequence, build_tree

ROWS = 2048
"""Tokens of a product that is large enough for the full speed of any machine at these shapes."""
HEAD_ROWS = 128
"""The same for the output head, whose logits in batches of ``ROWS`` would take gigabytes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a workload needs of the weights."""

    tokens: int
    """Tokens of the radix tree: what several requests share from their start stands in it once."""
    places: int
    """Positions of the tree after which something is scored, or prompts whose first new token is chosen."""
    steps: int = 0
    """Further tokens generated for each prompt."""

    @classmethod
    def of(cls, sequences: Sequence[ScoredSequence], new_tokens: int = 0) -> Work:
        """Count what sequences need.

        Args:
            sequences: tokens read and tokens scored; for generation the prompts, each with one target.
            new_tokens: generated for each prompt; 0 where nothing is generated.
        """
        root = build_tree(sequences)
        places = {(id(node), target.position) for node in root.preorder() for target in node.scored}
        return cls(root.size, len(sequences) if new_tokens else len(places), max(0, new_tokens - 1))


def limit(model: Any, work: Work) -> Callable[[], dict[str, float]]:
    """Return a function that measures the limit anew, so that rounds of it can alternate with what it is compared with.

    Its result has ``seconds`` by the clock and ``processor`` seconds of the whole work.
    """
    head = model.get_output_embeddings()
    body = _kinds(_weights(model))

    def measure() -> dict[str, float]:
        total = _Sum()
        add = total.add
        for weight, count in body:
            add(weight, ROWS, count * work.tokens)
            if work.steps:
                add(weight, work.places, count * work.places * work.steps)
        add(head.weight, HEAD_ROWS, work.places)
        if work.steps:
            add(head.weight, work.places, work.places * work.steps)
        return dict(total)

    return measure


def training_limit(model: Any, tokens: float, places: float) -> dict[str, float]:
    """Measure the least time in which adapters learn from so many tokens, forward and backward.

    A frozen weight costs two products a token, the states forward and their gradient backward; its own gradient is
    not computed. The output head costs the same at each place with a loss. The adapters themselves, attention, norms,
    activations, the optimiser and all that Python does count as nothing.

    Args:
        model: with its adapters; weights that learn are left out.
        tokens: that are read, without padding.
        places: positions with a loss.

    Returns:
        ``seconds`` by the clock and ``processor`` seconds.
    """
    head = model.get_output_embeddings()
    total = _Sum()
    for weight, count in _kinds(weight for weight in _weights(model) if not weight.requires_grad):
        total.add(weight, ROWS, count * tokens)
        total.add(weight.T, ROWS, count * tokens)
    total.add(head.weight, HEAD_ROWS, places)
    total.add(head.weight.T, HEAD_ROWS, places)
    return dict(total)


class _Sum(dict[str, float]):
    """Seconds of products, by the clock and of the processor."""

    def __init__(self) -> None:
        super().__init__(seconds=0.0, processor=0.0)

    def add(self, weight: Tensor, rows: int, tokens: float) -> None:
        """Add the product of so many tokens, measured in batches of ``rows``."""
        for clock, seconds in _of_a_product(weight, rows).items():
            self[clock] += seconds * tokens / rows


def _kinds(weights: Iterable[Tensor]) -> list[tuple[Tensor, int]]:
    """One weight of each shape and type, and how many there are of it."""
    kinds: dict[Any, list[Tensor]] = {}
    for weight in weights:
        kinds.setdefault((tuple(weight.shape), weight.dtype), []).append(weight)
    return [(alike[0], len(alike)) for alike in kinds.values()]


def _weights(model: Any) -> list[Tensor]:
    """The matrices that a model multiplies with, but for the output head's."""
    head = model.get_output_embeddings()
    modules = (module for module in model.modules() if _is_product(module) and module is not head)
    # An adapter's layer shows the weight of the layer that it wraps as its own.
    return list({id(module.weight): module.weight for module in modules}.values())


def _is_product(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() == 2 and not isinstance(module, torch.nn.Embedding)


@torch.inference_mode()
def _of_a_product(weight: Tensor, rows: int) -> dict[str, float]:
    """Seconds of one product of so many rows, the fastest of three: at once or in blocks, by either library."""
    states = torch.randn(rows, weight.shape[1], dtype=torch.float32).to(weight.device, weight.dtype)
    products = [torch.nn.functional.linear, *([product_in_blocks] if gains_from_blocks(weight) else [])]
    runs = []
    for library, product in itertools.product((nullcontext, partial(float32_products, weight.device)), products):
        with library():
            product(states, weight)
            for _ in range(3):
                _wait(weight.device)
                clock, processor = time.perf_counter(), time.process_time()
                product(states, weight)
                _wait(weight.device)
                runs.append((time.perf_counter() - clock, time.process_time() - processor))
    return {"seconds": min(run[0] for run in runs), "processor": min(run[1] for run in runs)}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
