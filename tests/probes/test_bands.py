from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lm_eval_xling.probes import bands
from lm_eval_xling.probes.measures import levels_and_differences


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(5).normal(2.0, 1.0, size=(200, 3, 2))


def test_bootstrap_of_a_mean_agrees_with_theory(values: np.ndarray) -> None:
    estimate, low, high = bands.bootstrap_band(bands.mean(values), len(values))
    np.testing.assert_allclose(estimate, values.mean(0))
    reach = stats.norm.ppf(0.975) * values.std(0) / np.sqrt(len(values))
    np.testing.assert_allclose(high - estimate, reach, rtol=0.12)
    np.testing.assert_allclose(estimate - low, reach, rtol=0.12)


def test_fewer_than_six_items_or_clusters_have_no_band(values: np.ndarray) -> None:
    for items, clusters in ((5, None), (20, np.repeat(np.arange(5), 4))):
        few = values[:items]
        estimate, low, high = bands.bootstrap_band(bands.mean(few), items, clusters=clusters)
        np.testing.assert_allclose(estimate, few.mean(0))
        assert np.isnan(low).all() and np.isnan(high).all()
    assert np.isfinite(bands.bootstrap_band(bands.mean(values[:6]), 6)[1]).all()


def test_items_without_a_value_do_not_count(values: np.ndarray) -> None:
    values[::2, 0, 0] = np.nan
    values[:, 1, 1] = np.nan
    estimate, low, high = bands.bootstrap_band(bands.mean(values), len(values))
    assert estimate[0, 0] == pytest.approx(values[1::2, 0, 0].mean())
    assert low[0, 0] < estimate[0, 0] < high[0, 0]
    assert np.isnan(estimate[1, 1])


def test_correlation_is_pearsons(values: np.ndarray) -> None:
    # A large common mean, where moments that are not centred would cancel.
    x, y = values[..., 0] + 1e7, 3 * values[..., 0] + values[..., 1]
    estimate, low, high = bands.bootstrap_band(bands.correlation(x, y), len(x))
    expected = [stats.pearsonr(x[:, column], y[:, column]) for column in range(3)]
    np.testing.assert_allclose(estimate, [result.statistic for result in expected])
    np.testing.assert_allclose(low, [result.confidence_interval().low for result in expected], atol=0.01)
    np.testing.assert_allclose(high, [result.confidence_interval().high for result in expected], atol=0.01)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=20)
    estimate, low, high = bands.jackknife_band(lambda kept: values[kept].mean(keepdims=True), 20)
    expected = stats.t.interval(0.95, 19, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([estimate[0], low[0], high[0]], [values.mean(), *expected])


def test_differences_are_paired() -> None:
    generator = np.random.default_rng(2)
    base = generator.normal(size=(50, 2, 1)) * 10
    after = base + 1 + generator.normal(size=base.shape) * 0.01
    measures = levels_and_differences(
        {"base": base, "after": after},
        bands.mean,
        difference=lambda array, first: bands.mean(array - first),
        names=["x"],
        language="en",
        seed=0,
        test=True,
    )
    level, change = (next(m for m in measures if m.variant == "after" and m.minus == minus) for minus in (None, "base"))
    assert level.high - level.low > 4
    assert change.value == pytest.approx(1, abs=0.01) and change.high - change.low < 0.02
    assert change.p is not None and change.p < 1e-6
    # Values around 0 are no difference from 0.
    assert next(m for m in measures if m.variant == "base").p > 0.05  # type: ignore[operator]
