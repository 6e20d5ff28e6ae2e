"""Least squares over conditions: the two effects of a language matrix, and a regression over languages.

References:
    MacKinnon & White (1985), *Some heteroskedasticity-consistent covariance matrix estimators with improved finite
    sample properties*, Journal of Econometrics 29 (HC3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lm_eval_xling.records import Interval
from lm_eval_xling.statistics import CONFIDENCE, Array

__all__ = ["Regression", "TwoWay", "linear_regression", "two_way"]


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Additive decomposition of a question language × answer language matrix, without replication."""

    mean: float
    """Unweighted mean of all cells."""
    rows: Array
    """Shape (rows,): effect of each question language; they sum to 0."""
    columns: Array
    """Shape (columns,): effect of each answer language; they sum to 0."""
    residuals: Array
    """Shape (rows, columns): what the two effects leave; each row and column sums to 0."""
    shares: tuple[float, float, float]
    """Shares of the sum of squares about the mean: rows, columns, residual; nan where all cells are equal."""
    diagonal: float
    """Share that the diagonal's difference from the other cells explains beyond rows and columns: a part of the
    residual's; nan where all cells are equal, or the matrix is not square."""


def two_way(matrix: Array) -> TwoWay:
    """Decompose ``matrix[q, a] = mean + row_q + column_a + residual_qa`` by least squares.

    Args:
        matrix: shape (rows, columns), finite.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    mean = float(matrix.mean())
    rows = matrix.mean(axis=1) - mean
    columns = matrix.mean(axis=0) - mean
    residuals = matrix - mean - rows[:, None] - columns[None, :]
    squares = np.array([matrix.shape[1] * (rows**2).sum(), matrix.shape[0] * (columns**2).sum(), (residuals**2).sum()])
    total = squares.sum()
    shares = squares / total if total > 1e-15 else np.full(3, np.nan)
    size, diagonal = len(matrix), float("nan")
    if matrix.shape == (size, size) and size > 1 and total > 1e-15:
        # Without its rows' and columns' means, the indicator of the diagonal has the squared length size - 1.
        diagonal = float(np.trace(residuals) ** 2 / (size - 1) / total)
    return TwoWay(mean, rows, columns, residuals, (float(shares[0]), float(shares[1]), float(shares[2])), diagonal)


@dataclass(frozen=True, slots=True)
class Regression:
    """A linear regression by least squares, with K coefficients."""

    coefficients: tuple[Interval, ...]
    """K estimates, in the unit of the outcome per unit of the column."""
    p_values: tuple[float, ...]
    """Two-sided, of each coefficient against 0."""
    explained: float
    """Share of the outcome's variance that the columns explain (R²), in [0, 1]; nan where the outcome is constant."""


def linear_regression(design: Array, outcome: Array, *, confidence: float = CONFIDENCE) -> Regression:
    """Fit ``outcome ≈ design @ coefficients``, with standard errors that allow unequal variances (HC3).

    Args:
        design: shape (N, K), of full rank, N greater than K; with a column of ones for the intercept.
        outcome: shape (N,).
        confidence: nominal coverage of the intervals, of the t distribution with N - K degrees of freedom.

    Raises:
        ValueError: no full rank, or no more rows than columns.
    """
    from scipy.stats import t

    rows, columns = design.shape
    if rows <= columns or np.linalg.matrix_rank(design) < columns:
        raise ValueError(f"a design of {rows} rows and {columns} columns without full rank or with no row to spare")
    inverse = np.linalg.inv(design.T @ design)
    estimates = inverse @ design.T @ outcome
    residuals = outcome - design @ estimates
    leverage = np.einsum("nk,kl,nl->n", design, inverse, design)
    # A row that alone decides a coefficient has leverage 1 and no residual: of that coefficient nothing more is known.
    alone = leverage > 1 - 1e-9
    weights = np.divide(residuals, 1 - leverage, out=np.zeros(rows), where=~alone)
    errors = np.sqrt(np.diag(inverse @ (design.T * weights**2) @ design @ inverse))
    errors[(np.abs(inverse @ design.T[:, alone]) > 1e-9).any(axis=1)] = np.nan
    half = float(t.ppf((1 + confidence) / 2, rows - columns)) * errors
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * t.sf(np.abs(estimates / errors), rows - columns)
    spread = float(((outcome - outcome.mean()) ** 2).sum())
    rounding = rows * (np.finfo(float).eps * float(np.abs(outcome).max())) ** 2
    return Regression(
        tuple(Interval(float(e), float(e - h), float(e + h)) for e, h in zip(estimates, half, strict=True)),
        tuple(p_values.tolist()),
        float(1 - (residuals**2).sum() / spread) if spread > rounding else float("nan"),
    )
