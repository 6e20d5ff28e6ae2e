"""Pairs and texts ▸ tokenised examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import QuestionPair
from lm_eval_xling.training.batching import Example
from lm_eval_xling.training.supervised_loss import IGNORED

__all__ = ["encode_pairs", "pack_texts"]


def encode_pairs(pairs: Sequence[QuestionPair], tokenizer: Any, cutoff: int) -> list[Example]:
    """Tokenise pairs: prompt without loss, target and end-of-sequence with loss.

    Prompt and target are tokenised apart, as they are at inference, where the prompt is all there is.

    Args:
        pairs: question pairs.
        tokenizer: of the model; with a beginning-of-sequence token if the model has one.
        cutoff: longest example in tokens. The prompt is cut at its beginning, so that the instruction stays.

    Raises:
        UserError: if a target alone is longer than the cutoff.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    prompts = tokenizer([pair.prompt for pair in pairs])["input_ids"] if pairs else []
    targets = tokenizer([pair.target for pair in pairs], add_special_tokens=False)["input_ids"] if pairs else []
    examples: list[Example] = []
    for pair, prompt, target in zip(pairs, prompts, targets, strict=True):
        learnt = target + end
        room = cutoff - len(learnt)
        if room < 1:
            raise UserError(
                f"a target of {len(learnt)} tokens leaves no room for its prompt within {cutoff}",
                where=f"question {pair.id} in {pair.source_language}",
                fix="raise data.cutoff, or remove the row",
            )
        kept = prompt[-room:]
        examples.append(_example(kept + learnt, [IGNORED] * len(kept) + learnt))
    return examples


def pack_texts(texts: Iterable[str], tokenizer: Any, block: int) -> Iterator[Example]:
    """Tokenise texts and pack them into blocks, each but the last of exactly ``block`` tokens.

    Every text begins with the beginning-of-sequence token (if there is one) and ends with end-of-sequence. What does
    not fit continues in the next block, as a text of its own. Positions start at 0 with every text, by which the
    attention of a packed row stays within it.
    """
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids: list[int] = []
    positions: list[int] = []
    for text in texts:
        rest = start + tokenizer(text, add_special_tokens=False)["input_ids"] + end
        while rest:
            room = block - len(ids)
            ids += rest[:room]
            positions += range(len(rest[:room]))
            rest = rest[room:]
            if len(ids) == block:
                yield Example(input_ids=ids, labels=ids, position_ids=positions)
                ids, positions = [], []
    if len(ids) > 1:  # a single token predicts nothing
        yield Example(input_ids=ids, labels=ids, position_ids=positions)


def _example(ids: list[int], labels: list[int]) -> Example:
    return Example(input_ids=ids, labels=labels, position_ids=list(range(len(ids))))
