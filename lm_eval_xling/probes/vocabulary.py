"""What each token of a vocabulary writes, as bytes: the ground on which labels and languages are matched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lm_eval_xling.errors import UserError

__all__ = ["token_bytes"]

_METASPACE = "▁"


def token_bytes(tokenizer: Any, size: int) -> list[bytes]:
    """Return the bytes that each token adds to a text; empty for special tokens and ids without a token.

    Bytes, not characters, because byte-level vocabularies (GPT-2) and byte fallback (SentencePiece) split characters:
    the first token of a Chinese word may be a third of its first character.

    Args:
        tokenizer: a tokenizer of transformers, byte-level BPE or SentencePiece-like.
        size: number of logits of the model, which may be greater than the tokenizer's.

    Raises:
        UserError: if the tokenizer is not a fast one, or the bytes of a text's tokens are not the text's bytes.
    """
    if not tokenizer.is_fast:
        raise UserError(
            f"{type(tokenizer).__name__} is a tokenizer in Python, whose vocabulary cannot be read",
            fix="use a model with a tokenizer.json",
        )
    byte_level = "ByteLevel" in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder"))
    table = _byte_level_table() if byte_level else {}
    special = set(tokenizer.all_special_ids)
    pieces = [b""] * size
    for token, index in tokenizer.get_vocab().items():
        if index >= size or index in special:
            continue
        if byte_level:
            # An added token stands in the vocabulary as plain text, with characters outside the byte alphabet.
            known = all(character in table for character in token)
            pieces[index] = bytes(table[character] for character in token) if known else token.encode()
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            pieces[index] = bytes([int(token[3:5], 16)])
        else:
            pieces[index] = token.replace(_METASPACE, " ").encode()
    _check(tokenizer, pieces)
    return pieces


def _check(tokenizer: Any, pieces: Sequence[bytes]) -> None:
    text = "The answer: “ja”, да, 是, ใช่, हाँ."
    written = b"".join(pieces[index] for index in tokenizer(text, add_special_tokens=False)["input_ids"])
    if written.strip() != text.encode():
        raise UserError(
            f"the tokens of {type(tokenizer).__name__} cannot be read as bytes: {text!r} comes back as "
            f"{written.decode(errors='replace')!r}",
            fix="use a model with a byte-level BPE or SentencePiece tokenizer",
        )


def _byte_level_table() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for (GPT-2's alphabet)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(hidden)}
