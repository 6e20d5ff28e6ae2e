"""What the benchmark's limit counts."""

from __future__ import annotations

import pytest
import torch

from lm_eval_xling.scoring.tree import ScoredSequence
from tests.benchmarks.limit import Work, limit
from tests.scoring.prompts import decided_model

SHARED = list(range(10, 20))


def test_shared_tokens_and_shared_places_count_once() -> None:
    # Two documents; the first has two continuations, which are predicted after the same token.
    sequences = [
        ScoredSequence([*SHARED, 1, 2], [3]),
        ScoredSequence([*SHARED, 1, 2], [4]),
        ScoredSequence([*SHARED, 5, 6, 7], [8, 9]),
    ]
    assert Work.of(sequences) == Work(tokens=10 + 2 + 3, places=1 + 2)
    # The first new token of a prompt comes from the place after it.
    assert Work.of(sequences[1:], new_tokens=32) == Work(tokens=15, places=2, steps=31)


def test_every_weight_is_multiplied_by_every_token_and_the_head_at_the_places_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counted(weight: torch.Tensor, rows: int) -> dict[str, float]:
        return dict.fromkeys(("seconds", "processor"), float(rows * weight.numel()))

    monkeypatch.setattr("tests.benchmarks.limit._of_a_product", counted)
    model = decided_model("llama")
    head = model.get_output_embeddings().weight.numel()
    layers = sum(module.weight.numel() for module in model.model.modules() if isinstance(module, torch.nn.Linear))
    for work, expected in (
        (Work(tokens=15, places=3), 15 * layers + 3 * head),
        (Work(tokens=15, places=2, steps=31), (15 + 62) * layers + (2 + 62) * head),
    ):
        assert limit(model, work)() == {"seconds": pytest.approx(expected), "processor": pytest.approx(expected)}
