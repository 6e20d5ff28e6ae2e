from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lm_eval_xling.models import float32_products as module
from lm_eval_xling.models.float32_products import float32_products

CPU = torch.device("cpu")
SETTING = module._SETTING


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    module._exact.cache_clear()
    yield
    module._exact.cache_clear()


@pytest.mark.parametrize("shape", [(1, 640, 2048), (7, 300, 260), (700, 256, 96)])
def test_products_are_those_of_float32(shape: tuple[int, int, int]) -> None:
    rows, shared, columns = shape
    draw = torch.Generator().manual_seed(1)
    states = torch.randn(rows, shared, generator=draw, requires_grad=True)
    weight = torch.randn(columns, shared, generator=draw)
    with float32_products(CPU):
        found = torch.nn.functional.linear(states, weight)
        found.square().sum().backward()
    exact = states.detach().double() @ weight.double().T
    assert float((found - exact).norm() / exact.norm()) < 1e-5
    gradient = 2 * exact @ weight.double()
    assert states.grad is not None
    assert float((states.grad - gradient).norm() / gradient.norm()) < 1e-5


def test_the_setting_holds_inside_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_error", lambda shape, draw: 1e-7)
    with pytest.raises(KeyError), float32_products(CPU):
        assert SETTING.fp32_precision == "bf16"
        with float32_products(CPU):
            assert SETTING.fp32_precision == "bf16"
        assert SETTING.fp32_precision == "bf16"
        raise KeyError
    assert SETTING.fp32_precision == "none"


def test_the_precision_can_be_read_as_the_compiler_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_error", lambda shape, draw: 1e-7)
    before = torch.get_float32_matmul_precision()
    with float32_products(CPU):
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before == "highest"


def test_inexact_products_are_left_to_the_usual_library(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a processor with AMX does, which rounds to bfloat16.
    def rounded(self: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        if SETTING.fp32_precision == "bf16" and self.dtype == torch.float32:
            self, other = self.bfloat16().float(), other.bfloat16().float()
        return torch.matmul(self, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    with float32_products(CPU):
        assert SETTING.fp32_precision == "none"


def test_what_the_user_has_set_stays() -> None:
    SETTING.fp32_precision = "ieee"
    try:
        with float32_products(CPU):
            assert SETTING.fp32_precision == "ieee"
        assert SETTING.fp32_precision == "ieee"
    finally:
        SETTING.fp32_precision = "none"


def test_other_devices_are_left_alone() -> None:
    with float32_products(torch.device("meta")):
        assert SETTING.fp32_precision == "none"
