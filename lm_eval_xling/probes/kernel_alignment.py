"""Linear centred kernel alignment of two sets of vectors, with and without each group of items in turn.

The usual form is that of Kornblith et al. 2019 (arXiv 1905.00414). It nears 1 for unrelated vectors that are wider than
there are items; the debiased one estimates HSIC without bias (Song et al. 2012, equation 5).

Both are made of sums over pairs of items, which divide into sums over pairs of groups. These are computed once, so that
leaving out a group costs next to nothing, and no matrix is larger than the vectors are wide: time and memory grow with
the number of items, not with its square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.probes.geometry import centred

__all__ = ["cka", "cka_leaving_out"]

Array = NDArray[np.float64]


def cka(x: Array, y: Array) -> Array:
    """Return linear CKA of two sets of vectors over the same items, usual and debiased.

    Args:
        x: ``(items, width)``.
        y: ``(items, other width)``.

    Returns:
        ``(2,)``: at most 1, which means equal up to rotation and scale; at least 0, or about 0 when debiased. NaN where
        the vectors of one set are all equal, and debiased where there are fewer than four items.
    """
    result: Array = cka_leaving_out(x, y, np.arange(len(x)) % 2)[0]
    return result


def cka_leaving_out(x: Array, y: Array, group: NDArray[np.intp]) -> Array:
    """Return linear CKA of all items, then without each group of them.

    Args:
        x: ``(items, width)``.
        y: ``(items, other width)``.
        group: number of each item's group, from 0, none of them empty.

    Returns:
        ``(1 + groups, 2)``, as ``cka`` gives them.
    """
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    # Of each choice of items, all of them first: which it keeps, (items, choices).
    kept = np.ones((len(x), 1 + len(sizes)))
    kept[np.arange(len(x)), 1 + group[order]] = 0
    count = kept.sum(0)
    first, second = (_Side(side[order], kept) for side in (x, y))
    forms = []
    with np.errstate(invalid="ignore", divide="ignore"):
        across, own, other = (
            _hsic(one, two, sizes, kept, count) for one, two in ((first, second), (first, first), (second, second))
        )
        for form in range(2):
            scale = own[form] * other[form]
            forms.append(np.where(scale > 0, across[form] / np.sqrt(scale), np.nan))
    result = np.stack(forms, axis=1)
    result[first.equal | second.equal] = np.nan
    result[count < 4, 1] = np.nan  # the estimate divides by n (n - 3)
    return result


class _Side:
    """One set of vectors, and what each choice of items makes of it."""

    def __init__(self, vectors: Array, kept: Array) -> None:
        self.vectors = centred(vectors)
        self.squares = (self.vectors**2).sum(1)
        sums = kept.T @ self.vectors
        self.of_sum = (sums**2).sum(1)
        self.with_sum = self.vectors @ sums.T
        self.of_squares = kept.T @ self.squares
        # Vectors that do not differ between items have nothing to compare; centring leaves rounding of them.
        spread = self.of_squares - self.of_sum / kept.sum(0)
        self.equal = spread <= 1e-12 * (kept.T @ (vectors**2).sum(1))


def _hsic(one: _Side, two: _Side, sizes: NDArray[np.intp], kept: Array, count: Array) -> tuple[Array, Array]:
    """Return HSIC of each choice of items up to a factor, usual and without bias."""
    products = _products(one.vectors, two.vectors, sizes)
    usual = products - 2 * (kept * one.with_sum * two.with_sum).sum(0) / count + one.of_sum * two.of_sum / count**2
    pairs = products - kept.T @ (one.squares * two.squares)
    sums = (one.of_sum - one.of_squares) * (two.of_sum - two.of_squares) / ((count - 1) * (count - 2))
    chains = (kept * (one.with_sum - one.squares[:, None]) * (two.with_sum - two.squares[:, None])).sum(0)
    return usual, (pairs + sums - 2 * chains / (count - 2)) / (count * (count - 3))


def _products(x: Array, y: Array, sizes: NDArray[np.intp]) -> Array:
    """Return the sum over pairs of items of ``(x_i · x_j) (y_i · y_j)``, of all items, then without each group."""
    starts = np.cumsum([0, *sizes[:-1]])
    if len(x) <= min(x.shape[1], y.shape[1]):
        of_pairs = (x @ x.T) * (y @ y.T)
        blocks = np.add.reduceat(np.add.reduceat(of_pairs, starts, axis=0), starts, axis=1)
        with_all, within = blocks.sum(1), np.diag(blocks)
    else:
        whole = x.T @ y
        with_all, within = np.empty((2, len(sizes)))
        for index, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            part = x[start : start + size].T @ y[start : start + size]
            with_all[index], within[index] = np.vdot(part, whole), np.vdot(part, part)
    total = with_all.sum()
    return np.array([total, *(total - 2 * with_all + within)])
