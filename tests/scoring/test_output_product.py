"""The output head in blocks gives what it gives at once."""

from __future__ import annotations

import pytest
import torch

from lm_eval_xling.scoring.output_product import _BLOCK, head_in_blocks
from tests import tiny


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (0,)])
def test_logits_in_blocks(bias: bool, shape: tuple[int, ...]) -> None:
    """A vocabulary that no block divides, of enough weights for more than eight."""
    model = tiny.model("llama")
    width = 256
    head = torch.nn.Linear(width, 9 * _BLOCK // width + 7, bias=bias)
    model.set_output_embeddings(head)
    states = torch.randn(*shape, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = head(states)
        with head_in_blocks(model):
            assert "forward" in vars(head)
            found = head(states)
        assert "forward" not in vars(head)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["small", "half precision", "another layer"])
def test_other_heads_stay_as_they_are(kind: str) -> None:
    class Another(torch.nn.Linear):
        pass

    model = tiny.model("llama")
    if kind != "small":
        made = (Another if kind == "another layer" else torch.nn.Linear)(256, 9 * _BLOCK // 256)
        model.set_output_embeddings(made.bfloat16() if kind == "half precision" else made)
    with head_in_blocks(model):
        assert "forward" not in vars(model.get_output_embeddings())
