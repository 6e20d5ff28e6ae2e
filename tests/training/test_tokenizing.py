from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import QuestionPair
from lm_eval_xling.training.batching import PackedCollator, PaddedCollator
from lm_eval_xling.training.supervised_loss import IGNORED
from lm_eval_xling.training.tokenizing import encode_pairs, pack_texts
from tests import tiny

TOKENIZER = tiny.tokenizer()
BOS, EOS = 256, 257


def pair(prompt: str, target: str) -> QuestionPair:
    return QuestionPair("1", "zh", "en", prompt, target)


def test_loss_is_on_the_target_and_its_end_only() -> None:
    (example,) = encode_pairs([pair("ab", "cde")], TOKENIZER, 100)
    assert TOKENIZER.decode([i for i in example["labels"] if i != IGNORED]) == "cde<eos>"
    assert TOKENIZER.decode(example["input_ids"]) == "abcde<eos>"
    assert example["labels"].count(IGNORED) == 2


def test_the_cutoff_takes_the_beginning_of_the_prompt() -> None:
    (example,) = encode_pairs([pair("0123456789", "xyz")], TOKENIZER, 8)
    assert TOKENIZER.decode(example["input_ids"]) == "6789xyz<eos>"
    with pytest.raises(UserError, match="leaves no room"):
        encode_pairs([pair("0", "x" * 8)], TOKENIZER, 8)


@given(st.lists(st.text(alphabet="abcdefg", max_size=40), max_size=12), st.integers(2, 33))
def test_packing_loses_doubles_and_reorders_no_token(texts: list[str], block: int) -> None:
    blocks = list(pack_texts(texts, TOKENIZER, block))
    joined = [token for example in blocks for token in example["input_ids"]]
    expected = [token for text in texts for token in [BOS, *TOKENIZER(text)["input_ids"], EOS]]
    # A last block of a single token is left out: it predicts nothing.
    assert expected[: len(joined)] == joined and len(expected) - len(joined) in (0, 1)
    assert all(len(example["input_ids"]) == block for example in blocks[:-1])
    for example in blocks:
        starts = [i for i, token in enumerate(example["input_ids"]) if token == BOS]
        assert all(example["position_ids"][i] == 0 for i in starts)
        for i, position in enumerate(example["position_ids"]):
            assert position == 0 or position == example["position_ids"][i - 1] + 1


def test_a_packed_row_learns_no_text_from_the_one_before() -> None:
    (example,) = pack_texts(["ab", "cd"], TOKENIZER, 100)
    batch = PackedCollator()([example, *encode_pairs([pair("pq", "r")], TOKENIZER, 9)])
    ids = [BOS, *TOKENIZER("ab")["input_ids"], EOS, BOS, *TOKENIZER("cd")["input_ids"], EOS]
    ids += TOKENIZER("pqr")["input_ids"] + [EOS]
    assert batch["input_ids"].tolist() == [ids]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]]
    labels = [IGNORED, *ids[1:4], IGNORED, *ids[5:8], IGNORED, IGNORED, *ids[10:]]
    assert batch["labels"].tolist() == [labels]


def test_padding_is_masked_and_without_loss() -> None:
    batch = PaddedCollator(258)(encode_pairs([pair("ab", "c"), pair("a", "b")], TOKENIZER, 9))
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["input_ids"][1, 3] == 258
    assert batch["labels"][1].tolist() == [IGNORED, *TOKENIZER("b")["input_ids"], EOS, IGNORED]
