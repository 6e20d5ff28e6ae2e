"""Which neurons are active in which languages: language activation probability entropy (Tang et al. 2024)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["activation_entropy", "language_neurons", "random_neurons"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def activation_entropy(probabilities: Array) -> Array:
    """Return the entropy of a neuron's activation probabilities over languages, in nats: 0 to ``log(languages)``.

    The probabilities of a neuron, one a language, are divided by their sum (Tang et al. 2024, arXiv 2402.16438,
    equations 4 and 5). A low entropy says that few languages activate the neuron.

    Args:
        probabilities: share of each language's tokens that activate a neuron, ``(..., languages)``, 0 to 1.

    Returns:
        ``(...)``; infinite where no language activates the neuron.
    """
    sums = probabilities.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = probabilities / sums
        terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    entropy: Array = np.where(sums[..., 0] > 0, -terms.sum(-1), np.inf)
    return entropy


def language_neurons(probabilities: Array, *, entropy_share: float = 0.01, activity_quantile: float = 0.95) -> Mask:
    """Return which neurons are of which languages, ``(layers, neurons, languages)``.

    As in the paper and its released code: a neuron counts as active in a language if its activation probability
    there is above the quantile of all probabilities of all neurons and languages. Of the neurons that are active in
    at least one language, those with the lowest entropies are taken, as many as the given share of all neurons, and
    each is of all languages that it is active in. Of equal entropies the earlier neuron comes first.

    Args:
        probabilities: share of each language's tokens that activate a neuron, ``(layers, neurons, languages)``.
        entropy_share: number of language neurons as a share of all neurons.
        activity_quantile: quantile of the activation probabilities that an active neuron is above.
    """
    layers, neurons, languages = probabilities.shape
    rank = max(1, round(probabilities.size * activity_quantile)) - 1
    bar = np.partition(probabilities, rank, axis=None)[rank]
    active = (probabilities > bar).reshape(-1, languages)
    entropy = activation_entropy(probabilities).reshape(-1)
    candidates = np.flatnonzero(active.any(-1))
    order = candidates[np.argsort(entropy[candidates], kind="stable")]
    chosen = order[: round(layers * neurons * entropy_share)]
    found = np.zeros_like(active)
    found[chosen] = active[chosen]
    return np.asarray(found.reshape(probabilities.shape))


def random_neurons(wanted: NDArray[np.int64], others: Mask, seed: int) -> Mask:
    """Return as many random neurons of each layer, ``(layers, neurons)``.

    Args:
        wanted: number in each layer, ``(layers,)``.
        others: neurons that are taken only where a layer has too few besides them, ``(layers, neurons)``.
        seed: of the draw.
    """
    places = (np.random.default_rng(seed).random(others.shape) + others).argsort(axis=-1)
    drawn = np.zeros_like(others)
    np.put_along_axis(drawn, places, np.arange(others.shape[-1]) < wanted[:, None], axis=-1)
    return drawn
