"""Tokenised examples ▸ batches: packed into one row without padding, or padded at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

import torch
from torch import Tensor

from lm_eval_xling.training.supervised_loss import IGNORED

__all__ = ["BATCHING", "Batching", "Example", "PackedCollator", "PaddedCollator"]

Batching: TypeAlias = Literal["packed", "padded"]
"""How a batch is laid out; the loss is the same."""

BATCHING: tuple[Batching, ...] = ("packed", "padded")


class Example(TypedDict):
    """One tokenised text."""

    input_ids: list[int]
    """Token ids."""
    labels: list[int]
    """The same ids where the loss is taken, ``IGNORED`` elsewhere."""
    position_ids: list[int]
    """Position of each token in its own text; it starts at 0 again where a block holds several texts."""


class PackedCollator:
    """Concatenate the examples of a batch into one row ``(1, total)``.

    The positions start at 0 with every text; by them attention keeps the texts apart (``packed_attention`` on a CPU,
    transformers' masks elsewhere). A text's first token is never a target: it would be predicted from the text before
    it.
    """

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return ``input_ids``, ``labels`` and ``position_ids``."""
        batch = {
            name: torch.tensor([[item for example in examples for item in example[name]]])
            for name in ("input_ids", "labels", "position_ids")
        }
        batch["labels"][batch["position_ids"] == 0] = IGNORED
        return batch


@dataclass(frozen=True, slots=True)
class PaddedCollator:
    """Pad the examples of a batch at the right to the longest: ``(batch, longest)``."""

    pad: int
    """Token id of the padding; masked, so that any id will do."""

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return ``input_ids``, ``labels`` and ``attention_mask``."""
        longest = max(len(example["input_ids"]) for example in examples)
        shape = (len(examples), longest)
        ids, labels = torch.full(shape, self.pad), torch.full(shape, IGNORED)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, example in enumerate(examples):
            length = len(example["input_ids"])
            ids[row, :length] = torch.tensor(example["input_ids"])
            labels[row, :length] = torch.tensor(example["labels"])
            mask[row, :length] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}
