"""Geometry of sets of vectors, apart from models and layers: cosine, centring, principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["centred", "cosine", "principal_components", "unit"]

Array = NDArray[np.float64]


def cosine(x: Array, y: Array) -> Array:
    """Return the cosine of corresponding vectors of two ``(..., width)``; NaN where one is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))
    return result


def unit(x: Array) -> Array:
    """Return vectors ``(..., width)`` at length 1; NaN where one is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return result


def centred(x: Array) -> Array:
    """Return vectors ``(items, ...)`` less their mean over the items."""
    # Equal values have a mean that differs from them by rounding, and a direction made of that is no direction.
    result: Array = np.where(np.ptp(x, axis=0) == 0, 0.0, x - x.mean(0))
    return result


def principal_components(x: Array, count: int = 2) -> tuple[Array, Array]:
    """Return scores ``(items, count)`` on the first principal components, and their shares of variance ``(count,)``.

    The sign of a component has no meaning; scikit-learn fixes it so that the result is the same each time.
    """
    from sklearn.decomposition import PCA

    if not np.ptp(x, axis=0).any():
        return np.zeros((len(x), count)), np.full(count, np.nan)
    fitted: Any = PCA(n_components=count, svd_solver="full").fit(x)
    return fitted.transform(x), fitted.explained_variance_ratio_
