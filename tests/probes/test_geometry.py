from __future__ import annotations

import numpy as np
import pytest

from lm_eval_xling.probes import geometry
from lm_eval_xling.probes.kinds.mexa import hits


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 60))


def test_points_on_a_line_have_one_component() -> None:
    line = np.linspace(-3, 4, 30)[:, None] * np.arange(1, 8)[None] + 5
    scores, shares = geometry.principal_components(line)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)
    assert abs(np.corrcoef(scores[:, 0], np.arange(30))[0, 1]) == pytest.approx(1)
    np.testing.assert_allclose(scores[:, 1], 0, atol=1e-9)


def test_equal_points_have_no_component() -> None:
    scores, shares = geometry.principal_components(np.ones((5, 3)))
    assert not scores.any() and np.isnan(shares).all()


def test_cosine_of_itself_is_one(x: np.ndarray) -> None:
    np.testing.assert_allclose(geometry.cosine(x, 3 * x), 1)
    np.testing.assert_allclose(geometry.cosine(x, -x), -1)
    product = (geometry.unit(x) * geometry.unit(x[::-1])).sum(1)
    np.testing.assert_allclose(product, geometry.cosine(x, x[::-1]))


def test_equal_vectors_have_no_centre_but_themselves(x: np.ndarray) -> None:
    # As at the embedding of a last token that all prompts share; the numbers do not round to themselves.
    assert not geometry.centred(np.tile(np.float32(x[0] * 0.1), (40, 1)).astype(float)).any()


def test_mexa_of_identical_vectors_is_one(x: np.ndarray) -> None:
    np.testing.assert_array_equal(hits(x, x), 1)


def test_mexa_of_random_vectors_is_chance() -> None:
    generator = np.random.default_rng(4)
    n, repeats = 20, 400
    found = np.mean([hits(*generator.normal(size=(2, n, 200))).mean(0) for _ in range(repeats)], axis=0)
    error = 4 * np.sqrt(np.array([1 / (2 * n - 1), 1 / n, 1 / n]) / (n * repeats))
    assert (abs(found - [1 / (2 * n - 1), 1 / n, 1 / n]) < error).all()


@pytest.mark.parametrize("at_once", [10_000_000, 7 * 40])
def test_mexa_is_its_definition(x: np.ndarray, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval_xling.probes.kinds.mexa._COSINES_AT_ONCE", at_once)
    y = x + np.random.default_rng(5).normal(size=x.shape) * 2.5
    n, aligned, forward, backward = len(x), 0, 0, 0
    cosine = [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in y] for a in x]
    for i in range(n):
        row = all(cosine[i][i] > cosine[i][j] for j in range(n) if j != i)
        column = all(cosine[i][i] > cosine[j][i] for j in range(n) if j != i)
        aligned, forward, backward = aligned + (row and column), forward + row, backward + column
    assert 0 < aligned < n
    np.testing.assert_allclose(hits(x, y).mean(0), [aligned / n, forward / n, backward / n])


def test_ties_are_no_alignment() -> None:
    same = np.ones((3, 4))
    np.testing.assert_array_equal(hits(same, same), 0)
