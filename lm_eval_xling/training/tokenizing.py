"""Pairs and texts ▸ tokenised examples, each of which begins as the tokenizer begins a text.

Some models read a text without its beginning-of-sequence token far worse than any text with it: Gemma-3-270M by 1.3
nats a token. What is cut therefore begins with it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import QuestionPair
from lm_eval_xling.training.batching import Example
from lm_eval_xling.training.supervised_loss import IGNORED

__all__ = ["beginning", "cut_texts", "encode", "encode_pairs", "encode_turn", "pack_texts"]


def beginning(tokenizer: Any) -> list[int]:
    """Return the special tokens that a tokenizer puts before a text: beginning-of-sequence, another, or none.

    What it does counts, and not which tokens it has: GPT-NeoX has a beginning-of-sequence token and never puts it,
    XGLM begins with its end-of-sequence token. A token that it appends is left out.
    """
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole: list[int] = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start]
    raise UserError(
        f"{type(tokenizer).__name__} changes a text's tokens when it adds special ones",
        fix="open an issue with the model's name",
    )


def encode(prompt: str, target: str, tokenizer: Any, cutoff: int, *, where: str = "data") -> Example:
    """Tokenise a prompt without loss, and what is to follow it, with end-of-sequence, with loss.

    Prompt and target are tokenised apart, as they are at inference, where the prompt is all there is. What a tokenizer
    appends to a text does not stand between them.

    Args:
        prompt: text that is given.
        target: text that is learnt.
        tokenizer: of the model.
        cutoff: longest example in tokens. The prompt is cut at its beginning, so that its last words stay.
        where: names the example in a message.

    Raises:
        UserError: if a target alone is longer than the cutoff.
    """
    given = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    learnt = tokenizer(target, add_special_tokens=False)["input_ids"] + _end(tokenizer)
    return _prompted(beginning(tokenizer), given, learnt, cutoff, where)


def encode_turn(prompt: str, answer: str, tokenizer: Any, cutoff: int, *, where: str = "data") -> Example:
    """Tokenise a user's turn and the answer to it as the tokenizer's chat template renders them.

    The loss is on the answer and on what the template puts after it.

    Args:
        prompt: the user's turn.
        answer: the model's turn.
        tokenizer: with a chat template.
        cutoff: longest example in tokens; the prompt is cut as in ``encode``.
        where: names the example in a message.

    Raises:
        UserError: if there is no template, or the answer alone is longer than the cutoff.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        raise UserError("the tokenizer has no chat template", where="data.chat_template", fix="set it to false")
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    if not whole.startswith(asked):
        # Templates that render a finished turn otherwise than an open one, such as those that drop thoughts.
        whole = f"{asked}{answer}{tokenizer.eos_token or ''}"
    given = tokenizer(asked, add_special_tokens=False)["input_ids"]
    learnt = tokenizer(whole.removeprefix(asked), add_special_tokens=False)["input_ids"]
    start = beginning(tokenizer)
    # The template writes the beginning itself, or the model does without.
    start, given = (start, given[len(start) :]) if given[: len(start)] == start else ([], given)
    return _prompted(start, given, learnt, cutoff, where)


def encode_pairs(pairs: Sequence[QuestionPair], tokenizer: Any, cutoff: int) -> list[Example]:
    """Tokenise question pairs with ``encode``.

    Raises:
        UserError: if a target alone is longer than the cutoff.
    """
    return [
        encode(pair.prompt, pair.target, tokenizer, cutoff, where=f"question {pair.id} in {pair.source_language}")
        for pair in pairs
    ]


def pack_texts(texts: Iterable[str], tokenizer: Any, block: int) -> Iterator[Example]:
    """Tokenise texts and pack them into blocks of at most ``block`` tokens.

    Every text begins as the tokenizer begins one and ends with end-of-sequence. What does not fit continues in the
    next block as a text of its own, with such a beginning again. Positions start at 0 with every text, by which the
    attention of a packed row stays within it.

    A block is shorter than ``block`` by what cannot hold a beginning and a token to predict, and the last one.
    """
    packed = Example(input_ids=[], labels=[], position_ids=[])
    start = beginning(tokenizer)
    for text in texts:
        rest = _whole(text, tokenizer)
        while len(rest) >= _least(start, tokenizer):
            room = block - len(packed["input_ids"]) - len(start)
            if room < _least(start):
                if not packed["input_ids"]:
                    raise _too_short(block)
                yield packed
                packed = Example(input_ids=[], labels=[], position_ids=[])
                continue
            piece = _piece(start, rest[:room])
            packed["input_ids"] += piece["input_ids"]
            packed["labels"] += piece["labels"]
            packed["position_ids"] += piece["position_ids"]
            rest = rest[room:]
    if packed["input_ids"]:
        yield packed


def cut_texts(texts: Iterable[str], tokenizer: Any, block: int) -> Iterator[Example]:
    """Tokenise texts and cut them into rows of at most ``block`` tokens, each of one text.

    As ``pack_texts``, for models that cannot keep several texts of a row apart.
    """
    start = beginning(tokenizer)
    room = block - len(start)
    if room < _least(start):
        raise _too_short(block)
    for text in texts:
        rest = _whole(text, tokenizer)
        while len(rest) >= _least(start, tokenizer):
            yield _piece(start, rest[:room])
            rest = rest[room:]


def _prompted(start: list[int], given: list[int], learnt: list[int], cutoff: int, where: str) -> Example:
    room = cutoff - len(learnt) - len(start)
    if room < 1:
        raise UserError(
            f"a target of {len(learnt)} tokens leaves no room for its prompt within {cutoff}",
            where=where,
            fix="raise data.cutoff, or remove the row",
        )
    kept = start + given[-room:]
    return _example(kept + learnt, [IGNORED] * len(kept) + learnt)


def _whole(text: str, tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids + _end(tokenizer) if ids else []


def _end(tokenizer: Any) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _least(start: Sequence[int], tokenizer: Any = None) -> int:
    """Return the least number of tokens, after its beginning, that a piece needs for one to be predicted from another.

    At the end of a text, with the tokenizer given, an end-of-sequence does not count: alone it would be learnt as the
    continuation of nothing.
    """
    return max(1 if start else 2, 1 if tokenizer is None else 1 + len(_end(tokenizer)))


def _too_short(block: int) -> UserError:
    return UserError(f"a block of {block} tokens holds no text", where="data.block", fix="raise it, such as to 1024")


def _piece(start: list[int], ids: list[int]) -> Example:
    return _example(start + ids, [IGNORED] * len(start) + ids)


def _example(ids: list[int], labels: list[int]) -> Example:
    return Example(input_ids=ids, labels=labels, position_ids=list(range(len(ids))))
