"""MEXA (Kargaran et al. 2025, arXiv 2410.05873): are translations each other's nearest sentences, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.probes import bands, geometry
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.pca import representations
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompts import common_items
from lm_eval_xling.records import Measure, Prompt

__all__ = ["LAYER_QUANTITIES", "MexaResult", "hits", "mexa"]

LAYER_QUANTITIES = ("mexa", "retrieval_to", "retrieval_from")


@dataclass(frozen=True, slots=True)
class MexaResult:
    """Which sentences are aligned with the pivot's."""

    ids: tuple[str, ...]
    """Sentences that all languages have."""
    languages: tuple[str, ...]
    """All but the pivot."""
    values: dict[str, NDArray[np.float64]]
    """Per variant, 0 or 1 as ``(languages, sentences, layers + 1, 3)``, in the order of ``LAYER_QUANTITIES``."""
    measures: list[Measure]
    """Scores per layer and over layers, with bands."""


def mexa(
    model: ProbedModel,
    sentences: Sequence[Prompt],
    *,
    folder: Path,
    pivot: str = "en",
    pooling: str = "weighted",
    batch_tokens: int = 2048,
    seed: int = 0,
) -> MexaResult:
    """Return the alignment of each language with the pivot, per layer and over layers.

    The score depends on the number of sentences, because each competes with all others: by chance it is
    ``1 / (2n - 1)``, and retrieval accuracy@1 is ``1 / n``. Compare scores of equal ``n`` only (the paper has 100).

    Args:
        model: the model with its adapters.
        sentences: the same ids in every language, the pivot among them.
        folder: where the activations stand.
        pivot: language that the others are compared with.
        pooling: ``weighted`` by position as in the paper, ``last`` or ``mean``.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the bands, which take the competing sentences as given.

    Raises:
        UserError: if the pivot is not among the languages, or too few items are common to all.
    """
    languages, groups = common_items(sentences)
    if pivot not in languages:
        raise unknown_name("pivot language", pivot, languages)
    vectors = representations(model, groups, pooling, folder=folder, name="mexa", batch_tokens=batch_tokens)
    of_pivot = languages.index(pivot)
    measures: list[Measure] = []
    aligned: dict[str, list[NDArray[np.float64]]] = {}
    compared = []
    for row, language in enumerate(languages):
        if language == pivot:
            continue
        values = {
            variant: np.stack(
                [hits(array[of_pivot, :, layer], array[row, :, layer]) for layer in range(array.shape[2])], axis=1
            )
            for variant, array in vectors.items()
        }
        measures += levels_and_differences(
            values,
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=LAYER_QUANTITIES,
            language=language,
            other=pivot,
            seed=seed,
        )
        measures += levels_and_differences(
            values,
            _over_layers,
            difference=lambda array, base: bands.minus(_over_layers(array), _over_layers(base)),
            names=("mexa_mean", "mexa_max"),
            language=language,
            other=pivot,
            seed=seed,
        )
        for variant, array in values.items():
            aligned.setdefault(variant, []).append(array)
        compared.append(language)
    return MexaResult(
        ids=tuple(prompt.id for prompt in groups[0]),
        languages=tuple(compared),
        values={variant: np.stack(arrays) for variant, arrays in aligned.items()},
        measures=measures,
    )


def hits(pivot: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return for each sentence pair whether it is aligned and retrieved, ``(pairs, 3)`` of 0 and 1.

    A pair is aligned when its cosine is strictly greater than every other in its row and in its column of the matrix
    of all cosines (equation 1 of the paper); the mean over the pairs is the MEXA score. It is retrieved when it is
    strictly greater than every other in its row, or in its column.

    Args:
        pivot: vectors ``(pairs, width)``.
        other: vectors of the translations, in the same order.
    """
    similarity = geometry.cosine_matrix(pivot.astype(np.float64), other.astype(np.float64))
    own = np.diag(similarity).copy()
    np.fill_diagonal(similarity, -np.inf)
    in_row, in_column = own > similarity.max(1), own > similarity.max(0)
    return np.stack([in_row & in_column, in_row, in_column], axis=1).astype(np.float64)


def _over_layers(values: NDArray[np.float64]) -> bands.Statistic:
    """Return mean and greatest score over the layers, the embedding among them, as ``(1, 2)``."""
    level = bands.mean(values[..., :1])

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = level(weights)
        return np.stack([scores.mean(1), scores.max(1)], axis=-1)

    return statistic
