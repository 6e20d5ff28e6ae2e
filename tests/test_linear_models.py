"""Least squares against statsmodels; coverage of a slope by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lm_eval_xling.linear_models import linear_regression, two_way


def test_two_way_is_the_least_squares_fit() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    matrix = np.random.default_rng(9).uniform(0.3, 0.9, (4, 3))
    found = two_way(matrix)
    rebuilt = found.mean + found.rows[:, None] + found.columns[None, :] + found.residuals
    assert rebuilt == pytest.approx(matrix)
    cells = [{"q": q, "a": a, "score": matrix[q, a]} for q in range(4) for a in range(3)]
    table = anova_lm(ols("score ~ C(q) + C(a)", pd.DataFrame(cells)).fit())
    assert found.shares == pytest.approx(tuple(table["sum_sq"] / table["sum_sq"].sum()))
    assert math.isnan(found.diagonal)
    flat = two_way(np.full((2, 2), 0.5))
    assert all(math.isnan(share) for share in (*flat.shares, flat.diagonal))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_diagonal_explains_what_its_indicator_adds_to_rows_and_columns(size: int) -> None:
    import pandas as pd
    from statsmodels.formula.api import ols

    matrix = np.random.default_rng(size).uniform(0.3, 0.9, (size, size))
    pairs = [(q, a) for q in range(size) for a in range(size)]
    cells = pd.DataFrame([{"q": q, "a": a, "same": float(q == a), "score": matrix[q, a]} for q, a in pairs])
    left = [ols(formula, cells).fit().ssr for formula in ("score ~ C(q) + C(a)", "score ~ C(q) + C(a) + same")]
    assert two_way(matrix).diagonal == pytest.approx((left[0] - left[1]) / ((matrix - matrix.mean()) ** 2).sum())


@pytest.mark.parametrize("seed", range(3))
def test_linear_regression_is_that_of_statsmodels(seed: int) -> None:
    from statsmodels.api import OLS

    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(19), rng.integers(0, 2, (19, 2)), rng.integers(0, 6, 19)]).astype(float)
    outcome = design @ [0.1, 0.05, 0.0, 0.02] + rng.normal(0, 0.05, 19) * (1 + design[:, 3])
    expected = OLS(outcome, design).fit(cov_type="HC3", use_t=True)
    found = linear_regression(design, outcome)
    bounds = [(interval.low, interval.high) for interval in found.coefficients]
    assert [interval.estimate for interval in found.coefficients] == pytest.approx(expected.params, rel=1e-9)
    assert np.array(bounds) == pytest.approx(expected.conf_int(), rel=1e-9)
    assert found.p_values == pytest.approx(expected.pvalues, rel=1e-6)
    assert found.explained == pytest.approx(expected.rsquared)


def test_linear_regression_refuses_what_it_cannot_fit() -> None:
    for design in (np.ones((5, 2)), np.eye(3)):
        with pytest.raises(ValueError, match="full rank"):
            linear_regression(design, np.arange(len(design), dtype=float))


def test_a_row_that_alone_decides_a_coefficient_leaves_its_interval_open() -> None:
    design = np.column_stack([np.ones(6), [0, 0, 0, 0, 0, 1]])
    slope = linear_regression(design, np.array([1.0, 2, 3, 4, 5, 9])).coefficients[1]
    assert slope.estimate == pytest.approx(6.0)
    assert math.isnan(slope.low) and math.isnan(slope.high)
    # The others keep theirs.
    other = np.column_stack([design, [0, 1, 0, 1, 0, 0]])
    found = linear_regression(other, np.array([1.0, 2, 3, 4, 5, 9]))
    assert [math.isnan(interval.low) for interval in found.coefficients] == [False, True, False]


def test_a_constant_outcome_has_no_share_explained() -> None:
    design = np.column_stack([np.ones(11), np.arange(11.0)])
    assert math.isnan(linear_regression(design, np.full(11, 0.3)).explained)


def test_coverage_of_a_slope_over_languages() -> None:
    """Twenty languages whose barriers spread about a line, wider where resources are few: 95 % and little more."""
    rng = np.random.default_rng(5)
    classes = np.repeat([0.0, 1, 2, 3, 4, 5], [2, 4, 3, 4, 4, 2])
    design = np.column_stack([np.ones(len(classes)), rng.integers(0, 2, len(classes)), classes])
    hits = 0
    for _ in range(2000):
        outcome = design @ [0.05, 0.03, 0.02] + rng.normal(0, 0.03, len(classes)) * (1 + 0.2 * classes)
        slope = linear_regression(design, outcome).coefficients[2]
        hits += slope.low <= 0.02 <= slope.high
    assert hits / 2000 == pytest.approx(0.955, abs=0.02)
