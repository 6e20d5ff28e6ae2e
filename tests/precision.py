"""How near float32 numbers must be to be equal: in steps of float32 at the magnitude of what they are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["STEPS", "assert_equal_up_to_rounding", "rounding"]

EPSILON = float(np.finfo(np.float32).eps)
STEPS = 100
"""Kernels add the same numbers in another order. Over the layers of a tiny model that was up to 14 steps."""


def rounding(magnitude: Any, steps: int = STEPS) -> float:
    """Return by how much numbers of a magnitude may differ, for ``pytest.approx(…, abs=…)``.

    Args:
        magnitude: a number, or an array whose greatest absolute value counts.
        steps: of float32 at that magnitude.
    """
    return steps * EPSILON * float(np.abs(_array(magnitude)).max())


def assert_equal_up_to_rounding(found: Any, expected: Any, steps: int = STEPS, name: str = "") -> None:
    """Compare arrays or tensors whose entries are sums of terms as large as the largest entry.

    A tolerance for each entry by itself would be too narrow for the small ones, and an absolute one says nothing. What
    is no finite number must be the same at the same places.
    """
    ours, theirs = _array(found), _array(expected)
    assert ours.shape == theirs.shape and ours.size, f"{name} has shape {ours.shape}, expected {theirs.shape}"
    finite = np.isfinite(theirs)
    np.testing.assert_array_equal(ours[~finite], theirs[~finite], err_msg=name)
    if finite.any():
        worst, step = float(np.abs(ours[finite] - theirs[finite]).max()), rounding(theirs[finite], 1)
        assert worst <= steps * step, f"{name} differs by {worst:.3g}, where a step of float32 is {step:.3g}"


def _array(values: Any) -> np.ndarray:
    detached = values.detach() if hasattr(values, "detach") else values
    return np.asarray(detached, dtype=np.float64)
