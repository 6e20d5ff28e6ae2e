"""Every quantity that a probe reports: its name in tables and pictures, its unit, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["QUANTITIES", "Quantity", "quantity"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """How one quantity is shown."""

    label: str
    """Name in legends and tables."""
    unit: str
    """Unit on the axis."""
    meaning: str
    """One sentence for readers who know neither paper nor code."""


SHARE = "share."
"""Prefix of the quantities of the language share; the group's name follows."""

QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "p_correct_en": Quantity(
            "correct label, English",
            "probability",
            "Probability of all tokens that begin the correct English label and no label of the prompt's language.",
        ),
        "p_correct_target": Quantity(
            "correct label, prompt's language",
            "probability",
            "Probability of all tokens that begin the correct label in the prompt's language and no English label.",
        ),
        "p_all_en": Quantity(
            "all labels, English", "probability", "Probability of all tokens that begin any English label."
        ),
        "p_all_target": Quantity(
            "all labels, prompt's language",
            "probability",
            "Probability of all tokens that begin any label in the prompt's language.",
        ),
        "p_shared": Quantity(
            "shared by both languages",
            "probability",
            "Probability of tokens that begin labels of both languages; they count for neither.",
        ),
        "entropy": Quantity("entropy", "bits", "Entropy of the layer's next-token distribution."),
        "pc1_correlation": Quantity(
            "correlation of first component",
            "Pearson r",
            "Correlation over the same items of two languages' scores on the joint first principal component.",
        ),
        "explained_variance": Quantity(
            "variance explained by first component",
            "share of variance",
            "Share of the joint variance that the first principal component explains.",
        ),
        "centred_cosine": Quantity(
            "centred cosine",
            "cosine",
            "Cosine of an item's representations in two languages, each language's mean taken away.",
        ),
        "cka": Quantity("linear CKA", "CKA", "Linear centred kernel alignment; biased towards 1 for few items."),
        "cka_debiased": Quantity(
            "linear CKA, debiased",
            "CKA",
            "Linear centred kernel alignment with unbiased HSIC; about 0 for unrelated representations.",
        ),
        "similarity_last": Quantity(
            "cosine, last token", "cosine", "Cosine of the changed text's last-token state with the original's."
        ),
        "similarity_mean": Quantity(
            "cosine, mean of tokens", "cosine", "Cosine of the changed text's mean state with the original's."
        ),
        "advantage_last": Quantity(
            "translation minus control, last token",
            "difference of cosines",
            "How much nearer the text with translated words stays to the original than the control does.",
        ),
        "advantage_mean": Quantity(
            "translation minus control, mean of tokens",
            "difference of cosines",
            "How much nearer the text with translated words stays to the original than the control does.",
        ),
        "mexa": Quantity(
            "MEXA",
            "share of sentences",
            "Share of sentences nearer to their translation than any other sentence of either language is.",
        ),
        "retrieval_to": Quantity(
            "retrieval accuracy@1, pivot to language",
            "share of sentences",
            "Share of pivot sentences whose nearest sentence in the language is the translation.",
        ),
        "retrieval_from": Quantity(
            "retrieval accuracy@1, language to pivot",
            "share of sentences",
            "Share of sentences whose nearest pivot sentence is the translation.",
        ),
        "mexa_mean": Quantity("MEXA, mean over layers", "share of sentences", "Mean of the layers' MEXA scores."),
        "mexa_max": Quantity("MEXA, best layer", "share of sentences", "Greatest of the layers' MEXA scores."),
    }
)
"""Every quantity by its name in the results."""


def quantity(name: str) -> Quantity:
    """Return how a quantity is shown; the shares per language are made from the group's name."""
    if name.startswith(SHARE):
        group = name.removeprefix(SHARE)
        return Quantity(group, "share of probability", f"Probability of all tokens assigned to {group!r}.")
    return QUANTITIES[name]
