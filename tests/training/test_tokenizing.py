from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import QuestionPair
from lm_eval_xling.training.batching import PackedCollator, PaddedCollator
from lm_eval_xling.training.supervised_loss import IGNORED
from lm_eval_xling.training.tokenizing import beginning, cut_texts, encode_pairs, pack_texts
from tests import tiny

TOKENIZER = tiny.tokenizer()
BOS, EOS, PAD = 256, 257, 258

HABITS: dict[str, tuple[str, list[int]]] = {
    # What the tokenizer's template puts around a text, and the beginning that follows.
    "none": ("$A", []),
    "bos": ("<bos> $A", [BOS]),
    "eos": ("$A <eos>", []),
    "both": ("<bos> $A <eos>", [BOS]),
    "eos first, as XGLM": ("<eos> $A", [EOS]),
    "two before, as GLM": ("<pad> <bos> $A", [PAD, BOS]),
}


def habit(name: str) -> PreTrainedTokenizerFast:
    tokenizer = tiny.tokenizer()
    special = [("<bos>", BOS), ("<eos>", EOS), ("<pad>", PAD)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=HABITS[name][0], special_tokens=special)
    return tokenizer


def pair(prompt: str, target: str) -> QuestionPair:
    return QuestionPair("1", "zh", "en", prompt, target)


@pytest.mark.parametrize("name", HABITS)
def test_a_pair_begins_as_the_tokenizer_begins_and_nothing_stands_before_its_target(name: str) -> None:
    tokenizer, start = habit(name), HABITS[name][1]
    assert beginning(tokenizer) == start
    a, b, c, d, e = TOKENIZER("abcde")["input_ids"]
    (example,) = encode_pairs([pair("ab", "cde")], tokenizer, 100)
    assert example["input_ids"] == [*start, a, b, c, d, e, EOS]
    assert example["labels"] == [*[IGNORED] * (len(start) + 2), c, d, e, EOS]
    # Cut to the last word of the prompt, it still has its beginning.
    (example,) = encode_pairs([pair("ab", "cde")], tokenizer, len(start) + 5)
    assert example["input_ids"] == [*start, b, c, d, e, EOS]
    with pytest.raises(UserError, match="leaves no room"):
        encode_pairs([pair("ab", "cde")], tokenizer, len(start) + 4)


@pytest.mark.parametrize("cut", [pack_texts, cut_texts])
@pytest.mark.parametrize("name", HABITS)
def test_every_piece_of_a_text_begins_as_the_tokenizer_begins(name: str, cut: type[pack_texts]) -> None:
    tokenizer, start = habit(name), HABITS[name][1]
    blocks = list(cut(["a" * 50, "", "bc", "d" * 21], tokenizer, 16))
    found = pieces(blocks)
    assert all(piece[: len(start)] == start and BOS not in piece[len(start) :] for piece in found)
    text = [token for piece in found for token in piece[len(start) :]]
    letters = TOKENIZER("a" * 50 + "bc" + "d" * 21)["input_ids"]
    assert [token for token in text if token != EOS] == letters
    for block in blocks:
        assert len(block["input_ids"]) <= 16
        for label, token, position in zip(block["labels"], block["input_ids"], block["position_ids"], strict=True):
            assert label == (IGNORED if position < len(start) else token)


def test_a_rows_slow_tokenizer_habit_counts_too() -> None:
    """One that adds its tokens in Python, without a post-processor."""

    class Adding:
        eos_token_id = EOS

        def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
            ids = TOKENIZER(text)["input_ids"]
            return {"input_ids": [BOS, *ids, EOS] if add_special_tokens else ids}

    (example,) = encode_pairs([pair("ab", "c")], Adding(), 100)
    assert TOKENIZER.decode(example["input_ids"]) == "<bos>abc<eos>"


def pieces(blocks: Sequence[dict[str, list[int]]]) -> list[list[int]]:
    """Tokens of each text of each block."""
    found: list[list[int]] = []
    for block in blocks:
        for position, token in zip(block["position_ids"], block["input_ids"], strict=True):
            if position == 0:
                found.append([])
            else:
                assert position == len(found[-1])
            found[-1].append(token)
    return found


@given(
    st.lists(st.text(alphabet="abcdefg", max_size=40), max_size=12),
    st.integers(4, 33),
    st.sampled_from(list(HABITS)),
)
def test_packing_loses_doubles_and_reorders_no_token(texts: list[str], block: int, name: str) -> None:
    tokenizer, start = habit(name), HABITS[name][1]
    for cut in (pack_texts, cut_texts):
        blocks = list(cut(texts, tokenizer, block))
        found = pieces(blocks)
        rest = iter(found)
        for text in filter(None, texts):
            ids = [*TOKENIZER(text)["input_ids"], EOS]
            read: list[int] = []
            # An end that would stand alone in a block of its own is left out.
            while len(ids) - len(read) > 1:
                read += next(rest)[len(start) :]
            assert read in (ids, ids[:-1])
        assert next(rest, None) is None
        assert all(len(piece) > max(1, len(start)) for piece in found), "each predicts something"
        if cut is pack_texts:
            least = len(start) + (1 if start else 2)
            assert all(block - least < len(example["input_ids"]) <= block for example in blocks[:-1])


def test_a_block_that_holds_no_text_is_refused() -> None:
    for cut in (pack_texts, cut_texts):
        with pytest.raises(UserError, match="holds no text"):
            list(cut(["abc"], habit("two before, as GLM"), 2))


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


def test_a_packed_row_learns_no_text_from_the_one_before() -> None:
    tokenizer = habit("bos")
    (example,) = pack_texts(["ab", "cd"], tokenizer, 100)
    batch = PackedCollator()([example, *encode_pairs([pair("pq", "r")], tokenizer, 9)])
    ids = [BOS, *TOKENIZER("ab")["input_ids"], EOS, BOS, *TOKENIZER("cd")["input_ids"], EOS]
    ids += [BOS, *TOKENIZER("pqr")["input_ids"], EOS]
    assert batch["input_ids"].tolist() == [ids]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4]]
    labels = [IGNORED, *ids[1:4], IGNORED, *ids[5:8], IGNORED, IGNORED, IGNORED, *ids[11:]]
    assert batch["labels"].tolist() == [labels]
    # Without a beginning, the first token of a text is not learnt from the text before.
    (example,) = pack_texts(["ab", "cd"], TOKENIZER, 100)
    a, b, c, d = TOKENIZER("abcd")["input_ids"]
    assert PackedCollator()([example])["labels"].tolist() == [[IGNORED, b, EOS, IGNORED, d, EOS]]


def test_padding_is_masked_and_without_loss() -> None:
    batch = PaddedCollator(258)(encode_pairs([pair("ab", "c"), pair("a", "b")], TOKENIZER, 9))
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["input_ids"][1, 3] == 258
    assert batch["labels"][1].tolist() == [IGNORED, *TOKENIZER("b")["input_ids"], EOS, IGNORED]
