"""Products of float32 matrices by oneDNN, where torch's usual library does not use all of the processor.

On processors that are not Intel's, MKL multiplies float32 with AVX2 only; oneDNN, which torch has too, takes AVX-512
(twice as fast on an EPYC of 2024). torch asks it for float32 only where the user allows products in bfloat16
(https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html). oneDNN makes use of that leave
on processors with AMX alone; elsewhere its products are those of float32. So they are compared first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

__all__ = ["float32_products"]

_SHAPES = ((64, 64, 64), (512, 640, 1024), (8, 256, 128, 256))
"""Of products that are compared: rows, shared dimension, columns; the last one in a batch of eight."""

_OF_FLOAT32 = 1e-5
"""Of the norm: float32 is some 3e-7 away from the product, bfloat16 some 3e-3."""


# Since torch 2.9.
_SETTING: Any = getattr(torch.backends.mkldnn, "matmul", None)


@contextmanager
def float32_products(device: torch.device) -> Iterator[None]:
    """Multiply float32 matrices on a CPU by oneDNN inside the block, if its products are as exact.

    A precision that the user has set stays.
    """
    if device.type != "cpu" or _SETTING is None or _SETTING.fp32_precision != "none" or not _exact():
        yield
        return
    with _leave():
        yield


@contextmanager
def _leave() -> Iterator[None]:
    """Give torch leave to multiply float32 in bfloat16."""
    # Not by the setting alone: torch's compiler reads the precision the older way, which raises where the two differ.
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        _SETTING.fp32_precision = "none"


@cache
def _exact() -> bool:
    """Whether products are those of float32 with torch's leave to compute in bfloat16."""
    draw = torch.Generator().manual_seed(0)
    with _leave():
        return all(_error(shape, draw) < _OF_FLOAT32 for shape in _SHAPES)


def _error(shape: tuple[int, ...], draw: torch.Generator) -> float:
    """Return how far the product is from that in float64, as a share of its norm."""
    *batch, rows, shared, columns = shape
    left = torch.randn(*batch, rows, shared, generator=draw)
    right = torch.randn(*batch, shared, columns, generator=draw)
    exact = left.double() @ right.double()
    return float((left @ right - exact).norm() / exact.norm())
