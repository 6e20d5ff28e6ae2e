"""Reading scores off logits."""

from __future__ import annotations

import pytest
import torch

from lm_eval_xling.scoring import execution
from lm_eval_xling.scoring.execution import Executor
from lm_eval_xling.scoring.tree import ScoredToken


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lines_at_once", [1, 2, 100])
def test_the_first_of_equal_logits_is_the_greedy_token(
    dtype: torch.dtype, lines_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(execution._NORMALISED_AT_ONCE, "cpu", 6 * lines_at_once)
    logits = torch.tensor([[0, 3, 1, 3, 2, 0], [5, 1, 5, 5, 0, 0], [0, 0, 0, 0, 0, 1], [2, 2, 2, 2, 2, 2]], dtype=dtype)
    executor = Executor(torch.nn.Identity(), torch.device("cpu"))
    targets = [(line, ScoredToken(0, number, line, number)) for line in range(len(logits)) for number in range(6)]
    found = executor._read(logits, list(targets))
    greedy = [(target.sequence, target.token) for target, _, is_greedy in found if is_greedy]
    assert greedy == list(enumerate(logits.argmax(dim=-1).tolist())) == [(0, 1), (1, 0), (2, 5), (3, 0)]
    expected = torch.log_softmax(logits, dim=-1)
    assert [value for _, value, _ in found] == expected.flatten().tolist()
