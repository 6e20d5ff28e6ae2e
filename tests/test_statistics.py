"""Every function against statsmodels, scipy or enumeration; coverage and type-I error by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lm_eval_xling import statistics as st


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (3, 10), (50, 50), (381, 736)])
def test_wilson_is_that_of_statsmodels(successes: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    found = st.wilson(successes, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-12)
    assert found.estimate == successes / n


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 9), (10, 3), (25, 25), (140, 95)])
def test_mcnemar_is_that_of_statsmodels(b: int, c: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    expected = 1.0 if b + c == 0 else mcnemar([[7, b], [c, 11]], exact=True).pvalue
    assert st.mcnemar_exact(b, c) == pytest.approx(expected, abs=1e-12)


def test_sign_flips_of_right_and_wrong_are_mcnemar() -> None:
    differences = np.array([1] * 9 + [-1] * 2 + [0] * 20)
    assert st.sign_flip_test(differences) == st.mcnemar_exact(9, 2)


def test_sign_flips_agree_with_enumeration_and_with_scipy() -> None:
    from scipy.stats import permutation_test

    rng = np.random.default_rng(3)
    few = rng.normal(0.4, 1, 9)
    sums = [abs(sum(s * v for s, v in zip(signs, few, strict=True))) for signs in itertools.product((1, -1), repeat=9)]
    exact = np.mean([value >= abs(few.sum()) - 1e-9 for value in sums])
    assert st.sign_flip_test(few) == pytest.approx(exact)
    many = rng.normal(0.15, 1, 60)
    result = permutation_test((many, np.zeros(60)), lambda x, y: np.mean(x - y), permutation_type="samples", rng=1)
    assert st.sign_flip_test(many) == pytest.approx(result.pvalue, abs=0.015)


def test_sign_flips_of_few_sizes_are_those_of_single_signs() -> None:
    differences = np.array([2.0] * 30 + [1.0] * 60 + [-1.0] * 45 + [-2.0] * 17)
    signs = np.random.default_rng(4).choice([-1.0, 1.0], size=(20_000, len(differences)))
    expected = np.mean(np.abs(signs @ np.abs(differences)) >= differences.sum())
    assert st.sign_flip_test(differences) == pytest.approx(expected, abs=0.012)
    # Every size different: signs are drawn one by one, and the normal approximation holds.
    from scipy.stats import norm

    many = np.random.default_rng(6).normal(0.04, 1, 1500)
    z = many.sum() / np.sqrt((many**2).sum())
    assert st.sign_flip_test(many) == pytest.approx(2 * norm.sf(abs(z)), abs=0.012)


def test_clusters_are_flipped_together() -> None:
    # Three authors with equal answers on all their questions are three observations, not sixty.
    differences = np.repeat([1.0, 1.0, 1.0], 20)
    clusters = np.repeat([0, 1, 2], 20)
    assert st.sign_flip_test(differences, clusters) == 0.25  # both signs of 2³
    assert st.sign_flip_test(differences) < 1e-10


def test_benjamini_hochberg_is_that_of_statsmodels_and_skips_nan() -> None:
    from statsmodels.stats.multitest import multipletests

    values = np.array([0.001, 0.2, np.nan, 0.03, 0.04, 0.9])
    adjusted = st.benjamini_hochberg(values)
    assert math.isnan(adjusted[2])
    made = ~np.isnan(values)
    assert adjusted[made] == pytest.approx(multipletests(values[made], method="fdr_bh")[1])


def test_bootstrap_agrees_with_scipy_and_with_plain_resampling() -> None:
    from scipy.stats import bootstrap, norm, t

    values = np.random.default_rng(0).gamma(2, 1, 40)
    level = 1 - 2 * norm.cdf(-math.sqrt(40 / 39) * t.ppf(0.975, 39))
    expected = bootstrap((values,), np.mean, confidence_level=level, method="percentile", rng=1).confidence_interval
    found = st.bootstrap_mean(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.03)
    # Values of a few kinds take the multinomial way; it must have the same distribution as indices do.
    binary = (np.arange(200) < 130).astype(float)
    rng = np.random.default_rng(5)
    means = binary[rng.integers(200, size=(20_000, 200))].mean(axis=1)
    found = st.bootstrap_mean(binary)
    assert found.low == pytest.approx(np.quantile(means, 0.025), abs=0.006)
    assert found.high == pytest.approx(np.quantile(means, 0.975), abs=0.006)


def test_many_distinct_values_are_resampled_in_pieces() -> None:
    values = np.random.default_rng(2).normal(0, 1, 3000)
    found = st.bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(3000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.004)


def test_clustered_bootstrap_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(7)
    clusters = np.repeat(np.arange(30), rng.integers(2, 9, 30))
    values = (rng.normal(0, 1, 30)[clusters] + rng.normal(0, 0.2, len(clusters)) > 0).astype(float)
    groups = [values[clusters == label] for label in range(30)]
    means = [np.concatenate([groups[i] for i in rng.integers(30, size=30)]).mean() for _ in range(4000)]
    found = st.bootstrap_mean(values, clusters)
    assert found.high - found.low == pytest.approx(np.subtract(*np.quantile(means, [0.975, 0.025])), rel=0.12)
    plain = st.bootstrap_mean(values)
    assert found.high - found.low > 1.5 * (plain.high - plain.low)


def test_one_unit_says_nothing() -> None:
    found = st.bootstrap_mean(np.ones(20), np.zeros(20))
    assert (found.low, found.high) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="no items"):
        st.bootstrap_mean(np.array([]))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "clustered"), [(60, False), (400, False), (300, True)])
def test_coverage_of_the_interval_is_95_percent(n: int, clustered: bool) -> None:
    """Barrier of 8 points with 30 % discordant items, 2000 samples: the standard error of coverage is 0.5 %."""
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(2000):
        if clustered:
            clusters = np.repeat(np.arange(60), 5)
            own = np.repeat(rng.uniform(-0.1, 0.1, 60), 5)
            draws = rng.uniform(size=n)
            differences = (draws < 0.19 + own).astype(float) - (draws > 0.89 + own)
        else:
            clusters = None
            differences = rng.choice([1.0, -1.0, 0.0], p=[0.19, 0.11, 0.7], size=n)
        found = st.bootstrap_mean(differences, clusters, resamples=2000, seed=int(rng.integers(1 << 30)))
        hits += found.low <= 0.08 <= found.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_type_one_errors_under_the_null() -> None:
    """Paired tests reject a true null in at most 5 %, and the clustered one close to it."""
    rng = np.random.default_rng(11)
    mcnemar = clustered = naive = 0
    clusters = np.repeat(np.arange(25), 8)
    for _ in range(1000):
        differences = rng.choice([1.0, -1.0, 0.0], p=[0.15, 0.15, 0.7], size=200)
        mcnemar += st.sign_flip_test(differences) < 0.05
        dependent = np.repeat(rng.normal(0, 1, 25), 8) + rng.normal(0, 0.5, 200)
        clustered += st.sign_flip_test(dependent, clusters, resamples=400, seed=int(rng.integers(1 << 30))) < 0.05
        naive += st.sign_flip_test(dependent, resamples=100) < 0.05
    assert 0.02 < mcnemar / 1000 < 0.06
    assert clustered / 1000 == pytest.approx(0.05, abs=0.02)
    assert naive / 1000 > 0.2  # what clustering is for


def test_detectable_effect_has_the_stated_power() -> None:
    rng = np.random.default_rng(1)
    n, psi = 400, 0.3
    sample = rng.choice([1.0, -1.0, 0.0], p=[psi / 2, psi / 2, 1 - psi], size=n)
    effect = st.minimum_detectable_effect(sample)
    up = (psi + effect) / 2
    draws = rng.multinomial(n, [up, psi - up, 1 - psi], size=1500)
    power = np.mean([st.mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in draws])
    # The exact test is a little conservative, and psi is estimated.
    assert power == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(("n", "discordant"), [(100, 0), (100, 3), (100, 8), (1000, 5)])
def test_detectable_effect_where_few_items_are_discordant(n: int, discordant: int) -> None:
    """An effect larger than the share of discordant items in the sample is one of items that all speak for one side."""
    sample = np.zeros(n)
    sample[:discordant] = 1
    effect = st.minimum_detectable_effect(sample)
    psi = max((discordant + 1) / (n + 2), effect)
    rng = np.random.default_rng(2)
    draws = rng.multinomial(n, [(psi + effect) / 2, (psi - effect) / 2, 1 - psi], size=1500)
    power = np.mean([st.mcnemar_exact(int(b), int(c)) < 0.05 for b, c, _ in draws])
    # Of few discordant items the exact test is conservative: it takes six on one side.
    assert 0.6 < power < 0.86


def test_detectable_effect_grows_with_the_share_of_discordant_items() -> None:
    effects = [st.minimum_detectable_effect(np.repeat([1.0, 0.0], [k, 100 - k])) for k in range(100)]
    assert np.diff(effects).min() > -1e-9


def test_detectable_effect_of_scores_and_edges() -> None:
    values = np.random.default_rng(4).normal(0, 2, 100)
    expected = (1.959964 + 0.841621) * values.std(ddof=1) / 10
    assert st.minimum_detectable_effect(values, binary=False) == pytest.approx(expected, rel=1e-5)
    assert 0 < st.minimum_detectable_effect(np.zeros(1000)) < 0.02
    assert st.minimum_detectable_effect(np.zeros(5)) == math.inf and st.minimum_detectable_effect(np.zeros(6)) < 1
    assert st.minimum_detectable_effect(np.ones(8), np.zeros(8)) == math.inf
    assert st.minimum_detectable_effect(np.zeros(8), binary=False) == math.inf
    clusters = np.repeat(np.arange(10), 10)
    together = np.repeat([1.0, -1.0, 1.0, 0.0, 0.0, 1.0, -1.0, -1.0, 0.0, 0.0], 10)
    assert st.minimum_detectable_effect(together, clusters) > 1.8 * st.minimum_detectable_effect(together)


def test_paired_difference_counts_and_checks_its_input() -> None:
    found = st.paired_difference(np.array([1, 1, 1, 0, 0]), np.array([1, 0, 0, 1, 0]))
    assert (found.n, found.units, found.only_first, found.only_second) == (5, 5, 2, 1)
    assert found.difference.estimate == pytest.approx(0.2)
    assert found.p_value == st.mcnemar_exact(2, 1)
    with pytest.raises(ValueError, match="same shape"):
        st.paired_difference(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("statistic", [st.bootstrap_mean, st.sign_flip_test, st.minimum_detectable_effect])
def test_items_without_a_number_are_refused(statistic: Callable[[np.ndarray], object]) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        statistic(np.array([1.0, math.nan, 0.0]))


def dependent(share: float, *, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A thousand samples of 40 clusters of 5, of 0 and 1, and their clusters; correlation within a cluster: 0.5."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(40), 5)
    for _ in range(1000):
        own = rng.beta(share, 1 - share, 40)
        yield (rng.random(200) < own[clusters]).astype(float), clusters


def test_proportion_of_dependent_items_covers_in_95_percent() -> None:
    plain = clustered = 0
    for right, clusters in dependent(0.8, seed=7):
        low, high = (interval := st.proportion(right, clusters)).low, interval.high
        clustered += low <= 0.8 <= high
        plain += st.wilson(int(right.sum()), 200).low <= 0.8 <= st.wilson(int(right.sum()), 200).high
    assert clustered / 1000 == pytest.approx(0.95, abs=0.03)
    assert plain / 1000 < 0.8  # what clustering is for


def test_proportion_of_independent_items_is_wilsons() -> None:
    right = np.array([1.0, 0, 1, 1])
    assert st.proportion(right) == st.wilson(3, 4)
    assert st.proportion(np.ones(6), np.repeat([0, 1, 2], 2)).low == pytest.approx(
        st.wilson(3 * (found := (1.959964 / 4.302653) ** 2), 3 * found).low, rel=1e-5
    )
    assert st.proportion(np.ones(6), np.zeros(6)).low == -math.inf


def test_a_share_of_dependent_items_is_tested_at_its_level() -> None:
    plain = clustered = 0
    for chosen, clusters in dependent(0.25, seed=8):
        clustered += st.proportion_test(chosen, 0.25, clusters) < 0.05
        plain += st.proportion_test(chosen, 0.25) < 0.05
    assert clustered / 1000 == pytest.approx(0.05, abs=0.03)
    assert plain / 1000 > 0.2


def test_a_share_of_independent_items_has_the_exact_binomial_test() -> None:
    chosen = np.array([1.0] * 6 + [0.0] * 4)
    expected = sum(math.comb(10, k) * 0.25**k * 0.75 ** (10 - k) for k in range(6, 11))  # none below is as rare
    assert st.proportion_test(chosen, 0.25) == pytest.approx(expected)
    assert st.proportion_test(chosen, 0.25, np.zeros(10)) == 1.0


@pytest.mark.parametrize("m", range(1, 9))
def test_too_few_units_say_nothing(m: int) -> None:
    """The smallest p-value that m units can have, and how often their range misses a median, are 2^(1-m)."""
    few = st.sign_flip_test(np.ones(m)) >= 0.05
    assert few == (m < 6) == st.too_few(m) == (not math.isfinite(st.bootstrap_mean(np.arange(m)).low))
    assert few == math.isinf(st.minimum_detectable_effect(np.arange(m) / m, binary=False))
    assert few == math.isinf(st.bootstrap_mean(np.arange(3 * m), np.repeat(np.arange(m), 3)).high)


def test_items_without_a_label_are_clusters_of_their_own() -> None:
    found = st.cluster_numbers(["a", "", "b", "a", ""])
    assert found is not None and found.tolist() == [0, 1, 2, 0, 3]
    assert st.cluster_numbers(["", "", "a"]) is None


def test_agreement_does_not_count_missing_answers() -> None:
    assert st.agreement(np.array([0, 1, -1, 2]), np.array([0, 2, -1, 2])).tolist() == [1, 0, 0, 1]
    assert st.all_agree(np.array([[0, 1, -1], [0, 1, -1], [0, 2, -1]])).tolist() == [1, 0, 0]


def test_rank_consistency_is_the_papers_formula() -> None:
    def direct(first: list[float], second: list[float]) -> float:
        k = len(first)
        best = [sorted(range(k), key=lambda i, s=scores: -s[i]) for scores in (first, second)]
        weights = [math.exp(k - j) for j in range(1, k + 1)]
        overlap = [len(set(best[0][:j]) & set(best[1][:j])) / j for j in range(1, k + 1)]
        return sum(w * p for w, p in zip(weights, overlap, strict=True)) / sum(weights)

    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(50, 5)), rng.normal(size=(50, 5))
    expected = [direct(list(a), list(b)) for a, b in zip(first, second, strict=True)]
    assert st.rank_consistency(first, second) == pytest.approx(expected)
    assert st.rank_consistency(first, first) == pytest.approx(np.ones(50))
    assert st.rank_consistency(second, first) == pytest.approx(expected)
