import pytest
import torch

from tests import tiny


def test_tokenizer_round_trips_any_text() -> None:
    tokenizer = tiny.tokenizer()
    text = "Hauptstadt: 東京 \n ไทย"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer) == tiny.VOCABULARY


@pytest.mark.parametrize("architecture", tiny.CONFIGS)
def test_models_are_random_but_repeatable(architecture: str) -> None:
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        first, again = (tiny.model(architecture)(ids).logits for _ in range(2))
        other = tiny.model(architecture, seed=1)(ids).logits
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
