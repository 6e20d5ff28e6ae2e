"""MEXA (Kargaran et al. 2025, arXiv 2410.05873): are translations each other's nearest sentences, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.languages import resolve
from lm_eval_xling.probes import bands, geometry
from lm_eval_xling.probes.activations import POOLINGS, representations
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probe import Findings, Measure, Picture, Probe, Prompt, Quantity, one_of, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import common_items

__all__ = ["LAYER_QUANTITIES", "PROBE", "MexaSettings", "hits", "mexa"]

LAYER_QUANTITIES = ("mexa", "retrieval_to", "retrieval_from")
_COSINES_AT_ONCE = 10_000_000
"""Of the matrix of all pairs of sentences: 80 MB."""


@dataclass(frozen=True, slots=True)
class MexaSettings:
    """What the numbers of MEXA depend on."""

    pivot: str = setting("en", read=lambda code: resolve(code).code, help="Language that the others are compared with.")
    pooling: str = setting(
        "weighted",
        help="weighted (by position, as in the paper), last or mean.",
        check=one_of("pooling", POOLINGS),
    )
    seed: int = setting(0, help="Of the bands.")


def mexa(
    model: ProbedModel,
    sentences: Sequence[Prompt],
    *,
    folder: Path,
    pivot: str = "en",
    pooling: str = "weighted",
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
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

    Returns:
        Scores per layer and over layers; and of each sentence of each language but the pivot 0 or 1 for
        ``LAYER_QUANTITIES``.

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
    ids = [prompt.id for prompt in groups[0]]
    return Findings(
        measures,
        columns=LAYER_QUANTITIES,
        values={variant: np.concatenate(arrays) for variant, arrays in aligned.items()},
        ids=ids * len(compared),
        languages=[language for language in compared for _ in ids],
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
    first, second = (geometry.unit(side.astype(np.float64)) for side in (pivot, other))
    own, row_best, column_best = np.empty(len(first)), np.empty(len(first)), np.full(len(first), -np.inf)
    rows = max(1, _COSINES_AT_ONCE // len(first))
    for start in range(0, len(first), rows):
        part = slice(start, start + rows)
        similarity = first[part] @ second.T
        places = np.arange(len(similarity)), np.arange(start, start + len(similarity))
        own[part] = similarity[places]
        similarity[places] = -np.inf
        row_best[part] = similarity.max(1)
        np.maximum(column_best, similarity.max(0), out=column_best)
    in_row, in_column = own > row_best, own > column_best
    return np.stack([in_row & in_column, in_row, in_column], axis=1).astype(np.float64)


def _over_layers(values: NDArray[np.float64]) -> bands.Statistic:
    """Return mean and greatest score over the layers, the embedding among them, as ``(1, 2)``."""
    level = bands.mean(values[..., :1])

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = level(weights)
        return np.stack([scores.mean(1), scores.max(1)], axis=-1)

    return statistic


def _measure(
    model: ProbedModel, sentences: Sequence[Prompt], settings: MexaSettings, folder: Path, batch_tokens: int
) -> Findings:
    return mexa(
        model,
        sentences,
        folder=folder,
        pivot=settings.pivot,
        pooling=settings.pooling,
        batch_tokens=batch_tokens,
        seed=settings.seed,
    )


def _draw(findings: Findings, _: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    from lm_eval_xling.probes.pictures import draw_mexa

    return draw_mexa(findings.measures, folder, probe=PROBE, model=model)


def _prepare(sentences: Sequence[Prompt], settings: MexaSettings) -> MexaSettings:
    languages, _ = common_items(sentences)
    if settings.pivot not in languages:
        raise unknown_name("pivot language", settings.pivot, languages)
    return settings


PROBE = Probe(
    name="mexa",
    title="MEXA alignment",
    summary="Score how well translations are each other's nearest sentences, per layer and language.",
    reads="parallel",
    settings=MexaSettings,
    quantities={
        "mexa": Quantity(
            "MEXA",
            "share of sentences",
            "Share of sentences nearer to their translation than any other sentence of either language is.",
        ),
        "retrieval_to": Quantity(
            "retrieval accuracy@1, pivot to language",
            "share of sentences",
            "Share of pivot sentences whose nearest sentence in the language is the translation.",
        ),
        "retrieval_from": Quantity(
            "retrieval accuracy@1, language to pivot",
            "share of sentences",
            "Share of sentences whose nearest pivot sentence is the translation.",
        ),
        "mexa_mean": Quantity("MEXA, mean over layers", "share of sentences", "Mean of the layers' MEXA scores."),
        "mexa_max": Quantity("MEXA, best layer", "share of sentences", "Greatest of the layers' MEXA scores."),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --parallel flores --out mexa",
        "--model gemma-3-270m --parallel sentences/ --pooling last --peft adapters/a --peft adapters/b --out m",
    ),
)
