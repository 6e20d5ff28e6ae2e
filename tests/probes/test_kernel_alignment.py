"""Kernel alignment against the formulas on the matrices of inner products of all items."""

from __future__ import annotations

import numpy as np
import pytest

from lm_eval_xling.probes import bands
from lm_eval_xling.probes.kernel_alignment import cka, cka_leaving_out

USUAL, DEBIASED = 0, 1


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 60))


def reference(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Kornblith et al. 2019, equations 3 and 4, and Song et al. 2012, equation 5."""

    def usual(k: np.ndarray, m: np.ndarray) -> float:
        centre = np.eye(len(k)) - 1 / len(k)
        return np.trace(centre @ k @ centre @ m)

    def unbiased(k: np.ndarray, m: np.ndarray) -> float:
        n, ones = len(k), np.ones(len(k))
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        rest = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (ones @ k @ m @ ones)
        return (np.trace(k @ m) + rest) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    return [hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)) for hsic in (usual, unbiased)]


@pytest.mark.parametrize("width", [25, 90])
def test_alignment_with_and_without_each_group_is_its_definition(x: np.ndarray, width: int) -> None:
    # More items than the vectors are wide, and fewer.
    x = np.random.default_rng(1).normal(size=(43, width)) + 3
    y = x + np.random.default_rng(2).normal(size=x.shape) - 7
    group = bands.jackknife_groups(len(x), seed=3)
    found = cka_leaving_out(x, y, group)
    assert found.shape == (21, 2)
    np.testing.assert_allclose(found[0], reference(x, y), rtol=1e-9)
    np.testing.assert_allclose(found[0], cka(x, y))
    for number, without in enumerate(found[1:]):
        kept = group != number
        np.testing.assert_allclose(without, reference(x[kept], y[kept]), rtol=1e-9)


def test_groups_are_those_of_every_jackknife() -> None:
    values = np.random.default_rng(4).normal(size=50)
    group = bands.jackknife_groups(50, seed=5)
    left_out = np.stack([values[group != number].mean(keepdims=True) for number in range(20)])
    found = bands.jackknife_interval(values.mean(keepdims=True), left_out)
    expected = bands.jackknife_band(lambda kept: values[kept].mean(keepdims=True), 50, seed=5)
    np.testing.assert_allclose(np.stack(found), np.stack(expected))
    assert np.bincount(group).tolist() == [3] * 10 + [2] * 10


def test_rotation_and_scale_are_seen_through(x: np.ndarray) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(60, 60)))[0]
    np.testing.assert_allclose(cka(x, 7 * x @ rotation + 2), 1)


def test_the_usual_form_is_kornbliths(x: np.ndarray) -> None:
    y = np.random.default_rng(2).normal(size=(40, 25)) + x[:, :25]
    cx, cy = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.norm(cx.T @ cy) ** 2 / (np.linalg.norm(cx.T @ cx) * np.linalg.norm(cy.T @ cy))
    assert cka(x, y)[USUAL] == pytest.approx(expected)


def test_debiased_alignment_of_unrelated_vectors_is_about_nothing() -> None:
    generator = np.random.default_rng(3)
    found = np.mean([cka(*generator.normal(size=(2, 40, 200))) for _ in range(30)], axis=0)
    assert found[USUAL] > 0.7
    assert abs(found[DEBIASED]) < 0.03


def test_equal_vectors_have_nothing_to_compare(x: np.ndarray) -> None:
    # As at the embedding of a last token that all prompts share; the numbers do not round to themselves.
    same = np.tile(np.float32(x[0] * 0.1), (40, 1)).astype(float)
    assert np.isnan(cka(same, x)).all()
    assert np.isnan(cka(same, same)).all()
    # Where what differs is left out, nothing is left to compare.
    same[0] += 1
    found = cka_leaving_out(same, x, np.minimum(np.arange(40), 2))
    assert not np.isnan(found[0]).any() and np.isnan(found[1]).all()


def test_three_items_are_too_few_for_the_debiased_form(x: np.ndarray) -> None:
    assert np.isnan(cka(x[:3], x[3:6])).tolist() == [False, True]
