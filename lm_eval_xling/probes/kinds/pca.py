"""Principal components of prompt representations, per layer and jointly over languages, and how languages agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.probes import bands, geometry
from lm_eval_xling.probes.activations import representations
from lm_eval_xling.probes.kernel_alignment import cka_leaving_out
from lm_eval_xling.probes.measures import levels_and_differences, to_measures
from lm_eval_xling.probes.probe import (
    ALL_LANGUAGES,
    Findings,
    Measure,
    Picture,
    Point,
    Probe,
    Prompt,
    Quantity,
    one_of,
    setting,
)
from lm_eval_xling.probes.probed_model import BASE, ProbedModel
from lm_eval_xling.probes.prompt_sources import common_items

__all__ = ["PROBE", "PcaSettings", "pca"]


@dataclass(frozen=True, slots=True)
class PcaSettings:
    """What the numbers of the components depend on."""

    pooling: str = setting(
        "last", help="last (token) or mean (over tokens).", check=one_of("pooling", ("last", "mean"))
    )
    seed: int = setting(0, help="Of the bands.")


def pca(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    *,
    folder: Path,
    pooling: str = "last",
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
    """Fit components on all languages together, and compare each pair of languages on the same items.

    The joint fit makes scores of two languages comparable: they are on one axis, so that the axis's arbitrary sign
    cannot turn a correlation round. The bands take the axis as given.

    Args:
        model: the model with its adapters; each variant gets its own components.
        prompts: the same ids in at least two languages.
        folder: where the activations stand.
        pooling: ``last`` or ``mean``.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the bands.

    Returns:
        Per pair of languages and layer the correlation of the first component, centred cosine and CKA; and every
        prompt on the first two components of every layer and variant.

    Raises:
        UserError: if there are too few languages or items in common.
    """
    languages, groups = common_items(prompts)
    ids = [prompt.id for prompt in groups[0]]
    vectors = representations(model, groups, pooling, folder=folder, name="pca", batch_tokens=batch_tokens)
    points: list[Point] = []
    measures: list[Measure] = []
    first: dict[str, NDArray[np.float64]] = {}
    for variant, array in vectors.items():
        components, explained = _components(array)
        first[variant] = components[..., 0]
        points += [
            Point(variant, layer, language, id, float(x), float(y))
            for row, language in enumerate(languages)
            for column, id in enumerate(ids)
            for layer, (x, y) in enumerate(components[row, column])
        ]
        share = explained[:, :1]
        measures += to_measures(
            # The share describes these very items: there is nothing to resample, and no interval.
            (share, np.full_like(share, np.nan), np.full_like(share, np.nan)),
            ["explained_variance"],
            variant=variant,
            minus=None,
            language=ALL_LANGUAGES,
            counts=len(ids) * len(languages),
        )
    for one, other in combinations(range(len(languages)), 2):
        scores = {name: array[[one, other]] for name, array in first.items()}
        pair = {name: array[[one, other]] for name, array in vectors.items()}
        codes = languages[one], languages[other]
        measures += _correlations(scores, language=codes[0], other=codes[1], seed=seed)
        measures += _cosines(pair, language=codes[0], other=codes[1], seed=seed)
        measures += _alignments(pair, language=codes[0], other=codes[1], seed=seed)
    return Findings(measures, points=points)


def _components(array: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores ``(languages, items, layers + 1, 2)`` and shares of variance ``(layers + 1, 2)``."""
    languages, items, layers, width = array.shape
    scores = np.empty((languages, items, layers, 2))
    explained = np.empty((layers, 2))
    for layer in range(layers):
        flat = np.asarray(array[:, :, layer], dtype=np.float64).reshape(-1, width)
        found, explained[layer] = geometry.principal_components(flat)
        scores[:, :, layer] = found.reshape(languages, items, 2)
    return scores, explained


def _correlations(first: Mapping[str, NDArray[np.float64]], *, language: str, other: str, seed: int) -> list[Measure]:
    # Items come first for the resampling, then both languages' scores: (items, 2, layers + 1).
    values = {name: scores.transpose(1, 0, 2)[..., None] for name, scores in first.items()}

    def level(array: NDArray[np.float64]) -> bands.Statistic:
        return bands.correlation(array[:, 0], array[:, 1])

    def difference(array: NDArray[np.float64], base: NDArray[np.float64]) -> bands.Statistic:
        return bands.minus(level(array), level(base))

    return levels_and_differences(
        values, level, difference=difference, names=["pc1_correlation"], language=language, other=other, seed=seed
    )


def _cosines(vectors: Mapping[str, NDArray[np.float32]], *, language: str, other: str, seed: int) -> list[Measure]:
    values = {}
    for name, array in vectors.items():
        per_layer = [
            geometry.cosine(*(geometry.centred(np.asarray(side[:, layer], dtype=np.float64)) for side in array))
            for layer in range(array.shape[2])
        ]
        values[name] = np.stack(per_layer, axis=1)[..., None]
    return levels_and_differences(
        values,
        bands.mean,
        difference=lambda array, base: bands.mean(array - base),
        names=["centred_cosine"],
        language=language,
        other=other,
        seed=seed,
    )


def _alignments(vectors: Mapping[str, NDArray[np.float32]], *, language: str, other: str, seed: int) -> list[Measure]:
    """Return both forms of CKA with jackknife bands, and their differences from the base."""
    _, items, layers, _ = next(iter(vectors.values())).shape
    group = bands.jackknife_groups(items, seed)
    found: dict[tuple[str, str | None], list[bands.Band]] = {}
    # One layer at a time, so that little of the files is in memory.
    for layer in range(layers):
        levels = {}
        for variant, array in vectors.items():
            first, second = np.asarray(array[:, :, layer], dtype=float)
            levels[variant] = cka_leaving_out(first, second, group)
        for variant, level in levels.items():
            for minus, shown in [(None, level)] + ([(BASE, level - levels[BASE])] if variant != BASE else []):
                found.setdefault((variant, minus), []).append(bands.jackknife_interval(shown[0], shown[1:]))
    measures = []
    for (variant, minus), of_layers in found.items():
        value, low, high = (np.stack(part) for part in zip(*of_layers, strict=True))
        measures += to_measures(
            (value, low, high),
            ["cka", "cka_debiased"],
            variant=variant,
            minus=minus,
            language=language,
            other=other,
            counts=items,
        )
    return measures


def _measure(
    model: ProbedModel, prompts: Sequence[Prompt], settings: PcaSettings, folder: Path, batch_tokens: int
) -> Findings:
    return pca(model, prompts, folder=folder, pooling=settings.pooling, batch_tokens=batch_tokens, seed=settings.seed)


def _draw(findings: Findings, _: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    from lm_eval_xling.probes.pictures import draw_pca

    return draw_pca(findings.measures, findings.points, folder, probe=PROBE, model=model)


def _prepare(prompts: Sequence[Prompt], settings: PcaSettings) -> PcaSettings:
    common_items(prompts)
    return settings


PROBE = Probe(
    name="pca",
    title="Principal components",
    summary="Show the same items in several languages on joint principal components, and how languages agree.",
    reads="prompts",
    settings=PcaSettings,
    quantities={
        "pc1_correlation": Quantity(
            "correlation of first component",
            "Pearson r",
            "Correlation over the same items of two languages' scores on the joint first principal component.",
        ),
        "explained_variance": Quantity(
            "variance explained by first component",
            "share of variance",
            "Share of the joint variance that the first principal component explains.",
        ),
        "centred_cosine": Quantity(
            "centred cosine",
            "cosine",
            "Cosine of an item's representations in two languages, each language's mean taken away.",
        ),
        "cka": Quantity("linear CKA", "CKA", "Linear centred kernel alignment; biased towards 1 for few items."),
        "cka_debiased": Quantity(
            "linear CKA, debiased",
            "CKA",
            "Linear centred kernel alignment with unbiased HSIC; about 0 for unrelated representations.",
        ),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --task xling_sentiment_en --task xling_sentiment_zh --limit 200 --out pca",
        "--model gemma-3-270m --texts en.txt --texts de.txt --pooling mean --out pca-files",
    ),
)
