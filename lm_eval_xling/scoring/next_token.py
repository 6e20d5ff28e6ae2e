"""Which tokens stand for an answer where the next token alone is scored, as the papers' released scripts have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lm_eval_xling.errors import UserError

__all__ = ["answer_tokens"]

_WORD_START = "▁"
"""How a sentencepiece vocabulary writes the space before a word."""


def answer_tokens(tokenizer: Any, answer: str, rule: str, *, splits_prefixes: bool = False) -> tuple[int, ...]:
    """Return the tokens of which the probabilities add up to that of an answer.

    Args:
        tokenizer: of the model.
        answer: without a space before it.
        rule: ``last``: the last token of the answer alone, as Chua et al. 2024 score letters. ``prefixes``: every entry
            of the vocabulary that is a prefix of the answer, with and without a space, and the byte token that begins
            an answer outside ASCII, as Zhang et al. 2024 score labels.
        splits_prefixes: with ``prefixes``, the first token of every prefix too: their scripts do so for Qwen, whose
            byte-level vocabulary spells words otherwise.

    Returns:
        Ids, ascending, each once.

    Raises:
        UserError: if no token stands for the answer.
    """
    if rule == "last":
        return (tokenizer(answer)["input_ids"][-1],)
    vocabulary = tokenizer.get_vocab()
    found = {vocabulary[name] for name in _names(answer) if name in vocabulary}
    if splits_prefixes:
        found |= {tokenizer(answer[:end])["input_ids"][0] for end in range(1, len(answer) + 1)}
    if not found:
        raise UserError(
            f"no token of the model's vocabulary is a prefix of {answer!r}",
            where="preset: paper",
            fix="score the label as a whole: leave out the preset",
        )
    return tuple(sorted(found))


def _names(answer: str) -> Iterator[str]:
    for end in range(1, len(answer) + 1):
        yield answer[:end]
        yield _WORD_START + answer[:end]
    first = answer.encode()[0]
    if first >= 0x80:
        yield f"<0x{first:02X}>"
