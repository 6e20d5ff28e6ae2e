"""95 % bands: bootstrap over items for what is a function of moments, grouped jackknife for the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.statistics import too_few

__all__ = [
    "Band",
    "Statistic",
    "bootstrap_band",
    "correlation",
    "jackknife_band",
    "jackknife_groups",
    "jackknife_interval",
    "mean",
    "minus",
]

Array = NDArray[np.float64]
Statistic = Callable[[NDArray[Any]], Array]
"""From weights or indices of items to an estimate."""
Band = tuple[Array, Array, Array]
"""Estimate, lower and upper end, of one shape."""

RESAMPLES = 2000
# Weights of this many resamples times items are held at once: 80 MB.
_BLOCK = 10_000_000
_GROUPS = 20


def bootstrap_band(
    statistic: Statistic, items: int, *, seed: int = 0, clusters: NDArray[np.int64] | None = None
) -> Band:
    """Return a statistic and its 95 % percentile bootstrap interval over items (Efron and Tibshirani 1993, ch. 13).

    For arrays of any statistic of weighted items; a mean alone has ``lm_eval_xling.statistics.bootstrap_mean``, which
    knows clusters and corrects the interval for small samples.

    Args:
        statistic: from weights ``(resamples, items)``, each row summing to 1, to ``(resamples, ...)``.
        items: number of items.
        seed: of the resampling.
        clusters: number of each item's cluster, from 0; whole clusters are drawn. Without them every item is one.

    Returns:
        The estimate and the ends, which are NaN where so few items say nothing (``statistics.too_few``).
    """
    generator = np.random.default_rng(seed)
    drawn = items if clusters is None else int(clusters.max()) + 1
    block = max(1, _BLOCK // items)
    estimate = statistic(np.full((1, items), 1 / items))[0]
    if too_few(drawn):
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    draws = []
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        weights = generator.multinomial(drawn, np.full(drawn, 1 / drawn), size=size).astype(float)
        if clusters is not None:
            weights = weights[:, clusters]
        draws.append(statistic(weights / weights.sum(1, keepdims=True)))
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(np.concatenate(draws), (0.025, 0.975), axis=0)
    return estimate, low, high


def mean(values: Array) -> Statistic:
    """Return the weighted mean over items of ``(items, ...)`` as a statistic; NaN items do not count."""
    valid = ~np.isnan(values)
    filled = np.where(valid, values, 0.0).reshape(len(values), -1)
    counted = valid.astype(float).reshape(len(values), -1)
    shape = values.shape[1:]

    def statistic(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Array = (weights @ filled) / (weights @ counted)
        return result.reshape(len(weights), *shape)

    return statistic


def correlation(x: Array, y: Array) -> Statistic:
    """Return Pearson's correlation over items of two ``(items, ...)`` as a statistic."""
    shape = x.shape[1:]
    # Centred first, because moments of large numbers cancel.
    first = (x - x.mean(0)).reshape(len(x), -1)
    second = (y - y.mean(0)).reshape(len(y), -1)

    def statistic(weights: Array) -> Array:
        mean_x, mean_y = weights @ first, weights @ second
        covariance = weights @ (first * second) - mean_x * mean_y
        variance = (weights @ first**2 - mean_x**2) * (weights @ second**2 - mean_y**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            result: Array = covariance / np.sqrt(variance)
        return result.reshape(len(weights), *shape)

    return statistic


def jackknife_band(statistic: Statistic, items: int, *, seed: int = 0) -> Band:
    """Return a statistic and its 95 % interval from the delete-a-group jackknife with 20 groups (Kott 2001).

    For statistics of Gram matrices, where a bootstrap's repeated items would count as perfectly similar pairs.

    Args:
        statistic: from the indices of the kept items to an array.
        items: number of items.
        seed: of the division into groups.
    """
    group = jackknife_groups(items, seed)
    left_out = [statistic(np.flatnonzero(group != number)) for number in range(group.max() + 1)]
    return jackknife_interval(statistic(np.arange(items)), np.stack(left_out))


def jackknife_groups(items: int, seed: int) -> NDArray[np.intp]:
    """Return the number of each item's group, from 0: at most 20 groups of nearly one size, drawn by the seed."""
    group = np.empty(items, dtype=np.intp)
    group[np.random.default_rng(seed).permutation(items)] = np.arange(items) % min(_GROUPS, items)
    return group


def jackknife_interval(estimate: Array, left_out: Array) -> Band:
    """Return an estimate and its 95 % interval.

    Args:
        estimate: of all items, ``(...)``.
        left_out: without each group, ``(groups, ...)``.
    """
    from scipy.stats import t

    groups = len(left_out)
    spread = np.sqrt((groups - 1) / groups * ((left_out - left_out.mean(0)) ** 2).sum(0))
    reach = t.ppf(0.975, groups - 1) * spread
    return estimate, estimate - reach, estimate + reach


def minus(one: Statistic, other: Statistic) -> Statistic:
    """Return the difference of two statistics over the same items, so that its band is paired."""
    return lambda choice: one(choice) - other(choice)
