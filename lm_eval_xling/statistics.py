"""Paired statistics on item scores: intervals, tests and consistency. Arrays in, numbers out, nothing drawn.

Every comparison is between two conditions on the *same* items, so that the spread between items cancels. Where
items are not independent (questions on one author, on one passage), ``clusters`` names the unit that is resampled.
Scores are in [0, 1] for accuracies and in the metric's own unit otherwise; a barrier has the unit of its scores.

References:
    Wilson (1927), *Probable inference, the law of succession, and statistical inference*, JASA 22.
    McNemar (1947), Psychometrika 12. Fisher (1935), *The Design of Experiments*, §21 (paired randomisation).
    Connor (1987), *Sample size for testing differences in proportions for the paired-sample design*, Biometrics 43.
    Korn & Graubard (1998), *Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data*, Survey Methodology 24. Dean & Pagano (2015), *Evaluating confidence interval methods
    for binomial proportions in clustered surveys*, Journal of Survey Statistics and Methodology 3.
    Benjamini & Hochberg (1995), *Controlling the false discovery rate*, JRSS B 57.
    Phipson & Smyth (2010), *Permutation p-values should never be zero*, SAGMB 9.
    Hesterberg (2015), *What teachers should know about the bootstrap*, The American Statistician 69.
    Qi, Fernández & Bisazza (2023), *Cross-lingual consistency of factual knowledge* (arXiv 2310.10378).
    Wang et al. (2023), *SeaEval for multilingual foundation models* (arXiv 2309.04766).
    Miller (2024), *Adding error bars to evals* (arXiv 2411.00640).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lm_eval_xling.records import Interval, PairedDifference

__all__ = [
    "agreement",
    "all_agree",
    "benjamini_hochberg",
    "bootstrap_mean",
    "cluster_numbers",
    "mcnemar_exact",
    "minimum_detectable_effect",
    "paired_difference",
    "proportion",
    "proportion_test",
    "rank_consistency",
    "sign_flip_test",
    "too_few",
    "wilson",
]

Array: TypeAlias = npt.NDArray[Any]
RESAMPLES = 10_000
CONFIDENCE = 0.95
_MOST_KINDS = 1000  # of different values that are counted instead of drawn one by one


def wilson(successes: float, n: float, *, confidence: float = CONFIDENCE) -> Interval:
    """Return a share with its score interval (Wilson 1927), which stays inside [0, 1] and is never empty.

    Args:
        successes: number of successes, 0 to ``n``.
        n: number of items, above 0; an effective number of dependent items need not be whole.
        confidence: nominal coverage, in (0, 1).
    """
    from scipy.stats import norm

    estimate, z = successes / n, float(norm.ppf((1 + confidence) / 2))
    centre = (estimate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * float(np.sqrt(estimate * (1 - estimate) / n + z**2 / (4 * n**2)))
    return Interval(estimate, max(0.0, centre - half), min(1.0, centre + half))


def proportion(successes: Array, clusters: Array | None = None, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of successes with Wilson's interval, of dependent items on their effective number.

    That is n over the design effect, less by the squared ratio of the quantiles of the normal and of Student's t with
    m - 1 degrees of freedom, m the number of clusters (Korn & Graubard 1998; for Wilson's interval Dean & Pagano 2015).

    Args:
        successes: shape (n,), of 0 and 1, n at least 1.
        clusters: shape (n,) or None, see ``bootstrap_mean``.
        confidence: nominal coverage, in (0, 1).

    Returns:
        The share and the bounds; of a single cluster the bounds are infinite, as in ``bootstrap_mean``.
    """
    n = _effective_trials(successes, clusters, confidence)
    if n == 0:
        return Interval(float(np.mean(successes)), -np.inf, np.inf)
    return wilson(float(np.mean(successes)) * n, n, confidence=confidence)


def proportion_test(successes: Array, chance: float, clusters: Array | None = None) -> float:
    """Return the two-sided exact binomial p-value of a share, of dependent items on their effective number.

    The number is that of ``proportion``, rounded down, and the share that of all items (Korn & Graubard 1998).

    Args:
        successes: shape (n,), of 0 and 1, n at least 1.
        chance: probability of a success under the null hypothesis.
        clusters: shape (n,) or None, see ``bootstrap_mean``; of a single cluster p is 1.
    """
    n = int(_effective_trials(successes, clusters, CONFIDENCE))
    return 1.0 if n == 0 else _binomial_test(round(float(np.mean(successes)) * n), n, chance)


def _effective_trials(successes: Array, clusters: Array | None, confidence: float) -> float:
    """Number of independent trials that say as much of a share; 0 for a single cluster."""
    from scipy.stats import norm, t

    if clusters is None:
        return float(len(successes))
    units = len(_units(successes, clusters)[0])
    if units < 2:
        return 0.0
    tail = (1 + confidence) / 2
    return _effective_size(successes, clusters) * float(norm.ppf(tail) / t.ppf(tail, units - 1)) ** 2


def _effective_size(values: Array, clusters: Array | None) -> float:
    """Number of independent items that say as much of the mean: n over the design effect, at most n."""
    values = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return float(len(values))
    sums, counts = _units(values, clusters)
    n, m = len(values), len(sums)
    plain = float(np.var(values, ddof=1)) / n
    clustered = m / (m - 1) * float(((sums - counts * values.mean()) ** 2).sum()) / n**2
    return n / max(1.0, clustered / plain) if plain > 0 else float(m)


def cluster_numbers(labels: Sequence[str]) -> Array | None:
    """Return the number of each item's cluster, shape (n,), from 0; None where no two items depend on each other.

    Args:
        labels: what makes items dependent, such as an author; an item with an empty label depends on no other.
    """
    keys = [label or index for index, label in enumerate(labels)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys]) if len(numbers) < len(keys) else None


def _binomial_test(successes: int, n: int, chance: float) -> float:
    from scipy.stats import binomtest

    return float(binomtest(successes, n, chance).pvalue)


def too_few(units: int, confidence: float = CONFIDENCE) -> bool:
    """Return whether no test or interval that knows nothing but the units can say anything: fewer than 6 at 95 %.

    All m differences point the same way with probability ``2^(1-m)`` by accident, which is the smallest p-value of
    ``sign_flip_test``; and as often the m units, beyond which no resampling reaches, leave their median outside.
    """
    return bool(2.0 ** (1 - units) > 1 - confidence)


def bootstrap_mean(
    values: Array,
    clusters: Array | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Return the mean with its percentile bootstrap interval.

    The percentiles are widened for small samples (Hesterberg 2015, "expanded percentile interval"): with m
    resampled units, the tail is ``Φ(-t · sqrt(m / (m - 1)))``, t the quantile of Student's t with m - 1 degrees of
    freedom, because the plain percentile interval is too narrow by about that factor.

    Args:
        values: shape (n,), n at least 1: one value an item, for a paired comparison its difference.
        clusters: shape (n,), equal labels for items that are resampled together; None resamples items.
        resamples: number of bootstrap samples.
        confidence: nominal coverage, in (0, 1).
        seed: of the generator; the same input gives the same interval.

    Returns:
        The mean of the items and the bounds, which are infinite where units are ``too_few``.

    Raises:
        ValueError: no items, or one whose value is no finite number; so in every function of items here.
    """
    from scipy.stats import norm, t

    sums, counts = _units(values, clusters)
    m = len(sums)
    mean = float(np.mean(values))
    if too_few(m, confidence):
        return Interval(mean, -np.inf, np.inf)
    means = _resampled_means(sums, counts, resamples, np.random.default_rng(seed))
    tail = float(norm.cdf(-np.sqrt(m / (m - 1)) * t.ppf((1 + confidence) / 2, m - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def _units(values: Array, clusters: Array | None) -> tuple[Array, Array]:
    """Sum and size of every resampled unit, each of shape (m,)."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("no items: a statistic of an empty sample is not defined")
    if not np.isfinite(values).all():
        # A sign test, for one, would count them as no difference.
        raise ValueError("a value that is no finite number: leave out the items without one")
    if clusters is None:
        return values, np.ones(len(values))
    _, codes = np.unique(clusters, return_inverse=True)
    return np.bincount(codes, weights=values), np.bincount(codes).astype(np.float64)


def _resampled_means(sums: Array, counts: Array, resamples: int, rng: np.random.Generator) -> Array:
    m = len(sums)
    # Units with the same sum and size are exchangeable, so how often each kind is drawn is multinomial. Differences
    # of correctness have three kinds, which makes 10,000 resamples of 14,042 items a matter of a millisecond.
    kinds, multiplicity = np.unique(sums + 1j * counts, return_counts=True)
    if len(kinds) <= _MOST_KINDS:
        draws = rng.multinomial(m, multiplicity / m, size=resamples)
        return np.asarray((draws @ kinds.real) / (draws @ kinds.imag))
    step = max(1, 4_000_000 // m)
    means = np.empty(resamples)
    for start in range(0, resamples, step):
        chosen = rng.integers(m, size=(min(step, resamples - start), m))
        means[start : start + step] = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    return means


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of the exact McNemar test.

    Args:
        only_first: items right in the first condition only.
        only_second: items right in the second condition only.
    """
    n = only_first + only_second
    return 1.0 if n == 0 else _binomial_test(only_first, n, 0.5)


def sign_flip_test(
    differences: Array, clusters: Array | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Return the two-sided p-value that paired differences are symmetric about 0 (Fisher's paired randomisation).

    The sign of every unit's summed difference is flipped at random. For correctness and single items that is the
    exact McNemar test and is computed so; up to 14 units all signs are enumerated; otherwise they are sampled, and
    the observed assignment counts as one of the samples (Phipson & Smyth 2010), so that p is never 0.

    Args:
        differences: shape (n,).
        clusters: shape (n,), units that are flipped together; None flips every item by itself.
        resamples: number of sampled assignments.
        seed: of the generator.
    """
    sums, _ = _units(differences, clusters)
    # A difference of nearly zero comes from rounding, and its sign carries no information.
    sums = sums[np.abs(sums) > 1e-12]
    m = len(sums)
    if m == 0:
        return 1.0
    if np.ptp(np.abs(sums)) < 1e-12:
        positive = int((sums > 0).sum())
        return mcnemar_exact(positive, m - positive)
    # Ties with the observed sum must count in spite of rounding.
    observed = abs(sums.sum()) * (1 - 1e-9)
    if m <= 14:
        signs = 1.0 - 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
        return float(np.mean(np.abs(signs @ sums) >= observed))
    flipped = _flipped_sums(np.abs(sums), resamples, np.random.default_rng(seed))
    return (int((np.abs(flipped) >= observed).sum()) + 1) / (resamples + 1)


def _flipped_sums(sizes: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Sums of values of the given sizes under random signs, shape (resamples,)."""
    kinds, multiplicity = np.unique(sizes, return_counts=True)
    if len(kinds) <= _MOST_KINDS:
        # Of m values of one size, a binomial number is positive.
        return np.asarray((2 * rng.binomial(multiplicity, 0.5, size=(resamples, len(kinds))) - multiplicity) @ kinds)
    step = max(1, 4_000_000 // len(sizes))
    totals = np.empty(resamples)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(rows, len(sizes)), dtype=np.int8)
        totals[start : start + rows] = signs @ sizes
    return totals


def paired_difference(
    first: Array, second: Array, clusters: Array | None = None, *, power: float = 0.8, seed: int = 0
) -> PairedDifference:
    """Compare two conditions on the same items: mean of ``first - second``, interval, test, detectable effect.

    With ``first`` the reference placement and ``second`` another one this is the barrier. With ``first`` the
    barrier's differences of one model and ``second`` those of another it is the change of the barrier.

    Args:
        first: shape (n,), score of each item in the first condition.
        second: shape (n,), score of the same items in the second.
        clusters: shape (n,) or None, see ``bootstrap_mean``.
        power: of the minimum detectable effect.
        seed: of bootstrap and randomisation.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired scores need the same shape (n,), got {first.shape} and {second.shape}")
    differences = first - second
    sums, counts = _units(differences, clusters)
    binary = bool(np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all())
    return PairedDifference(
        difference=bootstrap_mean(differences, clusters, seed=seed),
        p_value=sign_flip_test(differences, clusters, seed=seed),
        n=len(differences),
        units=len(sums),
        only_first=int((differences > 0).sum()),
        only_second=int((differences < 0).sum()),
        detectable=minimum_detectable_effect(differences, clusters, binary=binary, power=power),
    )


def minimum_detectable_effect(
    differences: Array,
    clusters: Array | None = None,
    *,
    binary: bool = True,
    alpha: float = 1 - CONFIDENCE,
    power: float = 0.8,
) -> float:
    """Return the smallest true mean difference that a two-sided paired test finds with the given power.

    For correctness it solves Connor's sample size (1987), ``n δ² = (z_{1-α/2} sqrt(ψ) + z_power sqrt(ψ - δ²))²``,
    for δ. ψ is the share of discordant items, here with one discordant item of two added, because a sample without
    any does not show that nothing could be found; where the solution is larger than that share, ψ is δ itself.
    Otherwise δ = (z_{1-α/2} + z_power) · standard error (Miller 2024). Clusters lower n by the design effect, the
    ratio of clustered to plain variance of the mean.

    Args:
        differences: shape (n,), of the sample at hand.
        clusters: shape (n,) or None.
        binary: whether the scores are right or wrong.
        alpha: level of the test.
        power: probability of finding the effect.

    Returns:
        The effect in the unit of the scores, at most 1 for correctness; infinite where units are ``too_few``, and,
        which is to say unknown, where those of scores other than correctness all differ by the same.
    """
    from scipy.stats import norm

    differences = np.asarray(differences, dtype=np.float64)
    sums, counts = _units(differences, clusters)
    n, m = len(differences), len(sums)
    if too_few(m, 1 - alpha):
        return float("inf")
    z_alpha, z_power = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    if not binary:
        variance = m / (m - 1) * float(((sums - counts * differences.mean()) ** 2).sum()) / n**2
        # Differences that are all equal show no spread, which is not to say that there is none.
        return (z_alpha + z_power) * float(np.sqrt(variance)) if variance > 1e-24 else float("inf")
    psi = (int((differences != 0).sum()) + 1) / (n + 2)
    return _connor(psi, _effective_size(differences, clusters), z_alpha, z_power)


def _connor(psi: float, n: float, z_alpha: float, z_power: float) -> float:
    from scipy.optimize import brentq

    def excess(delta: float) -> float:
        # Items that speak for one side are discordant: a larger effect than ψ is one of more discordant items.
        discordant = max(psi, delta)
        return float(delta * np.sqrt(n) - z_alpha * np.sqrt(discordant) - z_power * np.sqrt(discordant - delta**2))

    return float(brentq(excess, 0.0, 1.0)) if excess(1.0) > 0 else 1.0


def benjamini_hochberg(p_values: Array) -> Array:
    """Return adjusted p-values that control the false discovery rate over one table (Benjamini & Hochberg 1995).

    Args:
        p_values: shape (k,), in [0, 1]; nan marks a comparison that was not made and stays nan.
    """
    from scipy.stats import false_discovery_control

    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    made = ~np.isnan(p_values)
    if made.any():
        adjusted[made] = false_discovery_control(p_values[made], method="bh")
    return adjusted


def agreement(first: Array, second: Array) -> Array:
    """Return per item whether the same answer was chosen, as 0.0 or 1.0.

    Args:
        first: shape (n,), index of the chosen option, -1 where none was.
        second: shape (n,), the same for the other condition.
    """
    return np.asarray((first == second) & (first >= 0), dtype=np.float64)


def all_agree(chosen: Array) -> Array:
    """Return per item whether all conditions chose the same answer (Wang et al. 2023, consistency with s = all).

    Args:
        chosen: shape (conditions, n), index of the chosen option, -1 where none was.
    """
    return np.asarray((chosen == chosen[0]).all(axis=0) & (chosen[0] >= 0), dtype=np.float64)


def rank_consistency(first: Array, second: Array) -> Array:
    """Return RankC per item (Qi et al. 2023): agreement of two rankings, the top weighing most.

    ``Σ_j w_j P@j``, P@j the share of common options among the j best, ``w_j = e^{k-j} / Σ_i e^{k-i}``.

    Args:
        first: shape (n, k), scores of the options, higher is better.
        second: shape (n, k), scores of the same options in the other condition.

    Returns:
        Shape (n,), in [0, 1]; 1 for equal rankings. Ties are broken by the option's index, in both alike.
    """
    n, k = first.shape
    ranks = []
    for scores in (first, second):
        order = np.argsort(-scores, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(k)[None, :], axis=1)
        ranks.append(rank)
    # Option o is among the j best of both from the larger of its two ranks on.
    later = np.maximum(ranks[0], ranks[1])
    common = (later[:, :, None] <= np.arange(k)[None, None, :]).sum(axis=1)
    weights = np.exp(-np.arange(k, dtype=np.float64))
    return np.asarray((common / np.arange(1, k + 1)) @ (weights / weights.sum()))
