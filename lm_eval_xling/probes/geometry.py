"""Comparisons of two sets of vectors, apart from models and layers: cosine, centring, CKA, principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["centred", "cka", "cosine", "cosine_matrix", "principal_components"]

Array = NDArray[np.float64]


def cosine(x: Array, y: Array) -> Array:
    """Return the cosine of corresponding vectors of two ``(..., width)``; NaN where one is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))
    return result


def cosine_matrix(x: Array, y: Array) -> Array:
    """Return the cosine of every vector of ``(n, width)`` with every vector of ``(m, width)``, ``(n, m)``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        first = x / np.linalg.norm(x, axis=-1, keepdims=True)
        second = y / np.linalg.norm(y, axis=-1, keepdims=True)
    product: Array = first @ second.T
    return product


def centred(x: Array) -> Array:
    """Return vectors ``(items, ...)`` less their mean over the items."""
    # Equal values have a mean that differs from them by rounding, and a direction made of that is no direction.
    result: Array = np.where(np.ptp(x, axis=0) == 0, 0.0, x - x.mean(0))
    return result


def cka(gram_x: Array, gram_y: Array, *, debiased: bool) -> float:
    """Return linear centred kernel alignment of two sets of vectors over the same items.

    Args:
        gram_x: inner products of the first set's vectors, ``(items, items)``.
        gram_y: of the second set's.
        debiased: whether HSIC is estimated without bias (Song et al. 2012, equation 5). The usual estimate
            (Kornblith et al. 2019, arXiv 1905.00414) nears 1 for unrelated vectors that are wider than there are
            items.

    Returns:
        At most 1, which means equal up to rotation and scale; at least 0, or about 0 when debiased; NaN where one
        set's vectors are all equal, and debiased where there are fewer than four items.
    """
    # Vectors that do not differ between items have nothing to compare; centring leaves rounding of them.
    if any(np.trace(gram) - gram.mean() * len(gram) <= 1e-12 * np.trace(gram) for gram in (gram_x, gram_y)):
        return float("nan")
    hsic = _hsic_unbiased if debiased else _hsic
    scale = hsic(gram_x, gram_x) * hsic(gram_y, gram_y)
    return float(hsic(gram_x, gram_y) / np.sqrt(scale)) if scale > 0 else float("nan")


def _hsic(k: Array, m: Array) -> float:
    centre_k = k - k.mean(0) - k.mean(1)[:, None] + k.mean()
    return float((centre_k * m).sum())


def _hsic_unbiased(k: Array, m: Array) -> float:
    n = len(k)
    if n < 4:
        # The estimate divides by n (n - 3).
        return float("nan")
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    sums = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ m.sum(0)) / (n - 2)
    return float((k * m).sum() + sums) / (n * (n - 3))


def principal_components(x: Array, count: int = 2) -> tuple[Array, Array]:
    """Return scores ``(items, count)`` on the first principal components, and their shares of variance ``(count,)``.

    The sign of a component has no meaning; scikit-learn fixes it so that the result is the same each time.
    """
    from sklearn.decomposition import PCA

    if not np.ptp(x, axis=0).any():
        return np.zeros((len(x), count)), np.full(count, np.nan)
    fitted: Any = PCA(n_components=count, svd_solver="full").fit(x)
    return fitted.transform(x), fitted.explained_variance_ratio_
