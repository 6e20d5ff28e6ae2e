from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.vocabulary import token_bytes
from tests import tiny

PIECES = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a", "是", "▁ja"]


def sentencepiece_like(*, byte_fallback: bool = True) -> PreTrainedTokenizerFast:
    raw = Tokenizer(
        models.BPE(
            vocab={piece: index for index, piece in enumerate(PIECES)},
            merges=[("▁", "a")],
            unk_token="<unk>",
            byte_fallback=byte_fallback,
        )
    )
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")


def test_byte_level_tokens_are_their_bytes() -> None:
    pieces = token_bytes(tiny.tokenizer(), 300)
    assert sorted(filter(None, pieces)) == [bytes([byte]) for byte in range(256)]
    assert pieces[256:] == [b""] * 44  # special tokens, and logits without a token


def test_sentencepiece_tokens_write_spaces_and_bytes() -> None:
    pieces = token_bytes(sentencepiece_like(), len(PIECES))
    assert pieces[0] == b""
    assert pieces[1 + 0xE6] == b"\xe6"
    assert [pieces[PIECES.index(piece)] for piece in ("▁a", "是", "▁")] == [b" a", "是".encode(), b" "]


def test_tokens_that_are_no_bytes_are_an_error() -> None:
    with pytest.raises(UserError, match="cannot be read as bytes"):
        token_bytes(sentencepiece_like(byte_fallback=False), len(PIECES))


@pytest.mark.real
@pytest.mark.parametrize("name", ["gemma", "smollm2"])
def test_real_vocabularies_write_real_texts(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = token_bytes(tokenizer, 300_000)
    text = 'Hisia: "chanya"\n感情：“积极” ความรู้สึก 😀 Größe\t1.000'
    written = b"".join(pieces[index] for index in tokenizer(text, add_special_tokens=False)["input_ids"])
    assert written.decode() == text
