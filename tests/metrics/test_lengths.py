from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.metrics.lengths import Lengths, continuation_lengths, likeliest


def _words(text: str) -> int:
    """Tokens of a toy tokenizer that begins every text with a special token."""
    return 1 + len(text.split())


def test_lengths_are_those_of_what_was_sent() -> None:
    sent = continuation_lengths("Question: Who?\nAnswer:", [" She", " Zoë and he"], _words)
    assert sent == Lengths(bytes=(4, 12), tokens=(1, 3))
    # Under a chat template the harness sends the answer without the space before it.
    assert continuation_lengths("<assistant>\n", ["She", "Zoë and he"], _words).bytes == (3, 11)
    assert continuation_lengths("Answer:", [" 她"]) == Lengths(bytes=(4,), tokens=None)
    assert sent.by_suffix() == {"": (1, 3), "_bytes": (4, 12)}


def test_tokens_are_counted_as_the_harness_splits_a_request() -> None:
    from lm_eval.api.model import TemplateLM

    class Characters(TemplateLM):
        """A tokenizer that makes pairs of characters, so that a space joins what follows it."""

        eot_token_id = prefix_token_id = 0

        def tok_encode(self, string: str, **kwargs: object) -> list[int]:
            return [hash(string[at : at + 2]) for at in range(0, len(string), 2)]

        def _loglikelihood_tokens(self, *args: object, **kwargs: object) -> list[tuple[float, bool]]:
            raise NotImplementedError

        loglikelihood_rolling = generate_until = _loglikelihood_tokens

    model = Characters()
    model.backend = "causal"
    for context in ("abcd", "abcd ", "abc  ", "Antwort:\n"):
        for continuation in (" ef", "efg", "\nh"):
            _, expected = model._encode_pair(context, continuation)
            counted = continuation_lengths(context, [continuation], lambda text: len(model.tok_encode(text)))
            assert counted.tokens == (len(expected),), (context, continuation)


def test_nothing_is_divided_by_zero() -> None:
    with pytest.raises(ValueError, match="has no length"):
        continuation_lengths("Answer:", [" a", ""])
    with pytest.raises(ValueError, match="has no length"):
        continuation_lengths("Answer:", ["a"], lambda text: 3)


@given(st.lists(st.floats(-1e3, 0), min_size=1, max_size=6), st.integers(1, 50))
def test_equal_lengths_change_nothing(scores: list[float], length: int) -> None:
    assert likeliest(scores) == scores.index(max(scores))
    # Two scores that differ by less than a division can tell are equal afterwards.
    divided = [score / length for score in scores]
    assert likeliest(scores, [length] * len(scores)) == divided.index(max(divided))


def test_length_can_decide() -> None:
    assert likeliest([-4.0, -6.0]) == 0
    assert likeliest([-4.0, -6.0], [4, 8]) == 1
    assert likeliest([-2.0, -2.0], [3, 3]) == 0
