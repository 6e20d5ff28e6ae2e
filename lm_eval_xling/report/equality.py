"""Two models whose answers are equal to the last bit: a cache that does not know the model, or an idle adapter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from lm_eval_xling.report.blocks import Block
from lm_eval_xling.report.evaluations import Note

__all__ = ["equal_models"]

# A few short generated answers may be equal by chance; log-likelihoods of other weights never are.
_FEWEST_ANSWERS = 10


def equal_models(blocks: Sequence[Block]) -> list[Note]:
    """Return a note for every two models that gave the same answer, bit by bit, to everything both were asked."""
    by_model: dict[str, list[Block]] = {}
    for block in blocks:
        by_model.setdefault(block.model.label, []).append(block)
    notes = []
    for first, second in combinations(sorted(by_model), 2):
        count, scored = _equal_answers(by_model[first], by_model[second])
        if count and (scored or count >= _FEWEST_ANSWERS):
            text = (
                f"all {count:,} answers of these two models are equal to the last bit: either both were read from one "
                "response cache (--use_cache, which does not know the model), or the adapter changes nothing; "
                "evaluate again with a cache of its own before reading their difference"
            )
            notes.append(Note("suspect", text, f"{first} and {second}"))
    return notes


def _equal_answers(first: Sequence[Block], second: Sequence[Block]) -> tuple[int, bool]:
    """Number of answers that both gave, 0 as soon as two differ, and whether there are log-likelihoods among them."""
    count, scored = 0, False
    others = {
        (block.family, block.setting, e.task): (block, row)
        for block in second
        for row, e in enumerate(block.evaluations)
    }
    for block in first:
        for evaluation in block.evaluations:
            match = others.get((block.family, block.setting, evaluation.task))
            if match is None:
                continue
            other, at = match
            one, two = evaluation.samples, other.evaluations[at].samples
            assert one is not None and two is not None
            where = {item: index for index, item in enumerate(two.ids)}
            own = [index for index, item in enumerate(one.ids) if item in where]
            their = [where[one.ids[index]] for index in own]
            if not np.array_equal(one.responses[own], two.responses[their]):
                return 0, False
            count += len(own)
            scored |= one.scores is not None
    return count, scored
