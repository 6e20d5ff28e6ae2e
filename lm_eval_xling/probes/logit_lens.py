"""The logit lens of Zhang et al. (arXiv 2405.13816, after nostalgebraist 2020): what each layer would say next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.models.output_path import OutputPath
from lm_eval_xling.probes import bands
from lm_eval_xling.probes.activations import Batch, encode, sweep
from lm_eval_xling.probes.labels import ENGLISH, LabelSets, LabelTokens, set_sizes
from lm_eval_xling.probes.language_share import assign
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.quantities import SHARE
from lm_eval_xling.probes.vocabulary import token_bytes
from lm_eval_xling.records import Measure, Prompt

if TYPE_CHECKING:
    import torch

__all__ = ["LABEL_QUANTITIES", "LensResult", "logit_lens", "next_token_values"]

LABEL_QUANTITIES = ("p_correct_en", "p_correct_target", "p_all_en", "p_all_target", "p_shared")
# Logits held at once, of all layers of some positions: 80 MB in float32; two more such arrays hold probabilities and
# entropy terms.
_LOGITS_AT_ONCE = 20_000_000


@dataclass(frozen=True, slots=True)
class LensResult:
    """What the logit lens saw."""

    quantities: tuple[str, ...]
    """Names along the last axis of ``values``."""
    values: Mapping[str, NDArray[np.float32]]
    """Per variant ``(prompts, layers + 1, quantities)``; NaN where a quantity cannot be measured."""
    measures: list[Measure]
    """Means over the prompts of each language, with bands."""
    set_sizes: Mapping[str, Mapping[str, float]]
    """Per language, the mean number of tokens in each label set, and of excluded shared tokens."""


def logit_lens(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    *,
    folder: Path,
    lexicons: Mapping[str, Collection[str]] | None = None,
    positions: int = 1,
    batch_tokens: int = 2048,
    seed: int = 0,
) -> LensResult:
    """Read every layer of every variant at the last token of each prompt.

    Args:
        model: the model with its adapters.
        prompts: with labels, or free text without; ids are unique within a language.
        folder: where the per-prompt values stand, so that a killed run continues.
        lexicons: words of each language, which decide between languages of one script.
        positions: number of evenly spaced positions per prompt, the last of them the last token; their mean counts.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the bands.

    Raises:
        UserError: if labels are incomplete.
    """
    import torch

    pieces = token_bytes(model.tokenizer, model.vocabulary)
    label_tokens = LabelTokens(pieces)
    sets = [label_tokens.sets(prompt) if prompt.labels else None for prompt in prompts]
    languages = tuple(dict.fromkeys([ENGLISH, *(prompt.language for prompt in prompts)]))
    groups, assignment = assign(pieces, languages, lexicons or {})
    membership = torch.nn.functional.one_hot(torch.from_numpy(assignment), len(groups)).float().to(model.device)
    quantities = (*LABEL_QUANTITIES, "entropy", *(f"{SHARE}{group}" for group in groups))
    encoded = [(tokens,) for tokens in encode(model, [prompt.text for prompt in prompts])]

    values = {}
    for variant in model.variants:
        path = model.output_path(variant)

        def compute(states: Sequence[torch.Tensor], batch: Batch, path: OutputPath = path) -> torch.Tensor:
            rows, at = _positions(batch, positions)
            vectors = torch.stack([state[rows, at] for state in states], dim=1)
            found = next_token_values(path, vectors, [sets[batch.items[row]] for row in rows.tolist()], membership)
            return found.reshape(len(batch.items), positions, *found.shape[1:]).mean(1)

        values[variant] = sweep(
            model,
            variant,
            encoded,
            compute,
            (model.states, len(quantities)),
            folder=folder,
            name="logit-lens",
            key={
                "positions": positions,
                "labels": [prompt.labels for prompt in prompts],
                "answers": [prompt.answer for prompt in prompts],
                "assignment": assignment.tobytes().hex() if lexicons else groups,
                "model": model.describe(),
            },
            batch_tokens=batch_tokens,
        )
    known = [(prompt, found) for prompt, found in zip(prompts, sets, strict=True) if found is not None]
    return LensResult(
        quantities=quantities,
        values=values,
        measures=_measures(prompts, quantities, values, seed),
        set_sizes=set_sizes([prompt for prompt, _ in known], [found for _, found in known]),
    )


def next_token_values(
    path: OutputPath, vectors: torch.Tensor, sets: Sequence[LabelSets | None], membership: torch.Tensor
) -> torch.Tensor:
    """Return label probabilities, entropy and language shares of every layer's next-token distribution.

    Args:
        path: the model's way from hidden state to logits.
        vectors: hidden states at one position a prompt, ``(prompts, layers + 1, width)``.
        sets: label tokens of each prompt.
        membership: one column a group of tokens, ``(vocabulary, groups)``, entries 0 or 1.

    Returns:
        ``(prompts, layers + 1, 5 + 1 + groups)``: probabilities of ``LABEL_QUANTITIES``, entropy in bits, shares.
    """
    import torch

    size = max(1, _LOGITS_AT_ONCE // (vectors.shape[1] * membership.shape[0]))
    results = []
    for start in range(0, len(vectors), size):
        probabilities = path.lens_logits(vectors[start : start + size]).softmax(-1)
        entropy = torch.special.entr(probabilities).sum(-1, keepdim=True) / np.log(2)
        labels = torch.stack(
            [_label_values(own, found) for own, found in zip(probabilities, sets[start : start + size], strict=True)]
        )
        results.append(torch.cat([labels, entropy, probabilities @ membership], dim=-1))
    return torch.cat(results)


def _label_values(probabilities: torch.Tensor, sets: LabelSets | None) -> torch.Tensor:
    """Return ``(layers + 1, 5)`` from one prompt's ``(layers + 1, vocabulary)``; NaN for an empty set."""
    import torch

    nothing = torch.full(probabilities.shape[:1], float("nan"), device=probabilities.device)
    columns = []
    for name in ("correct_en", "correct_target", "all_en", "all_target", "shared"):
        ids = () if sets is None else getattr(sets, name)
        columns.append(probabilities[:, list(ids)].sum(-1) if ids else nothing)
    return torch.stack(columns, dim=-1)


def _positions(batch: Batch, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and column of the probed tokens, ``positions`` a text, the last of each its last token."""
    import torch

    lengths = batch.mask.sum(1)
    steps = torch.arange(1, positions + 1, device=lengths.device)
    columns = torch.ceil(lengths[:, None] * steps / positions).long() - 1
    rows = torch.arange(len(lengths), device=lengths.device)[:, None].expand_as(columns)
    return rows.reshape(-1), columns.reshape(-1)


def _measures(
    prompts: Sequence[Prompt], quantities: Sequence[str], values: Mapping[str, NDArray[np.float32]], seed: int
) -> list[Measure]:
    measures = []
    for language in dict.fromkeys(prompt.language for prompt in prompts):
        rows = [index for index, prompt in enumerate(prompts) if prompt.language == language]
        of_language = {variant: np.asarray(array[rows], dtype=np.float64) for variant, array in values.items()}
        measures += levels_and_differences(
            of_language,
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=quantities,
            language=language,
            seed=seed,
        )
    return measures
