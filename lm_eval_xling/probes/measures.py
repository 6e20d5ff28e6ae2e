"""Levels per variant and differences from the base, item by item: one way for every probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.probes import bands
from lm_eval_xling.probes.probe import Measure
from lm_eval_xling.probes.probed_model import BASE
from lm_eval_xling.statistics import benjamini_hochberg

__all__ = ["levels_and_differences", "to_measures"]

Array = NDArray[np.float64]


def to_measures(
    band: bands.Band,
    names: Sequence[str],
    *,
    variant: str,
    minus: str | None,
    language: str,
    other: str | None = None,
    counts: NDArray[np.int64] | int,
    p_values: Array | None = None,
) -> list[Measure]:
    """Return one record a layer and quantity from a band of shape ``(layers + 1, quantities)``.

    Args:
        band: estimate, lower and upper end.
        names: the quantities along the last axis; those that are NaN everywhere are left out.
        variant: ``base`` or an adapter's name.
        minus: the variant that was subtracted.
        language: language code.
        other: second language, or control.
        counts: number of items, for all or ``(layers + 1, quantities)``.
        p_values: adjusted p-values of the same shape, where a test was made.

    A statistic over all layers has shape ``(1, quantities)`` and gets no layer.
    """
    value, low, high = band
    numbers = np.broadcast_to(counts, value.shape)
    return [
        Measure(
            quantity=name,
            variant=variant,
            minus=minus,
            language=language,
            other=other,
            layer=layer if len(value) > 1 else None,
            value=float(value[layer, column]),
            low=float(low[layer, column]),
            high=float(high[layer, column]),
            n=int(numbers[layer, column]),
            p=None if p_values is None else float(p_values[layer, column]),
        )
        for column, name in enumerate(names)
        if not np.isnan(value[:, column]).all()
        for layer in range(len(value))
    ]


def levels_and_differences(
    values: Mapping[str, Array],
    level: Callable[[Array], bands.Statistic],
    *,
    difference: Callable[[Array, Array], bands.Statistic],
    names: Sequence[str],
    language: str,
    other: str | None = None,
    seed: int,
    test: bool = False,
    clusters: NDArray[np.int64] | None = None,
) -> list[Measure]:
    """Return the level of each variant and the paired difference of each adapter from the base, with bands.

    Args:
        values: per variant, items along the first axis, the same items in the same order.
        level: from a variant's items to its statistic.
        difference: from an adapter's and the base's items to the statistic of their difference.
        names: quantities along the last axis of the statistic.
        language: language code.
        other: second language, or control.
        seed: of the bootstrap; the same resamples serve all variants.
        test: whether the items themselves are paired differences whose median is tested against 0.
        clusters: number of each item's cluster, where items are not independent.
    """
    measures = []
    for variant, array in values.items():
        statistics: list[tuple[str | None, bands.Statistic]] = [(None, level(array))]
        if variant != BASE:
            statistics.append((BASE, difference(array, values[BASE])))
        counted = (~np.isnan(array)).sum(0)
        for minus, statistic in statistics:
            items = array if minus is None else array - values[BASE]
            band = bands.bootstrap_band(statistic, len(array), seed=seed, clusters=clusters)
            measures += to_measures(
                band,
                names,
                variant=variant,
                minus=minus,
                language=language,
                other=other,
                counts=counted if counted.shape == band[0].shape else len(array),
                p_values=_adjusted_p(items) if test else None,
            )
    return measures


def _adjusted_p(differences: Array) -> Array:
    """Return p-values of Wilcoxon's signed-rank test over items, adjusted over the layers (Benjamini-Hochberg).

    Args:
        differences: paired differences ``(items, layers + 1, quantities)``.
    """
    from scipy.stats import wilcoxon

    with np.errstate(invalid="ignore", divide="ignore"):
        p_values = wilcoxon(differences, axis=0).pvalue
    # Without any difference there is nothing against the hypothesis, and no ranks to test.
    tested = np.where(np.isnan(p_values), 1.0, p_values)
    return np.apply_along_axis(benjamini_hochberg, 0, tested)
