"""The languages that the papers evaluate: lists that datasets, families and recipes share."""

from __future__ import annotations

__all__ = ["CHUA", "ZHANG", "ZHANG_HIGH", "ZHANG_LOW"]

CHUA = tuple("en fr de es it".split())
"""Chua et al. 2024, Crosslingual Capabilities and Knowledge Barriers, arXiv 2406.16135."""

ZHANG_HIGH = tuple("en zh de fr es it nl ja ru sv".split())
"""Zhang et al. 2024, Large Language Models are Good Spontaneous Multilingual Learners, arXiv 2405.13816: the first ten
languages of the paper's list, which goes from high to low resource."""
ZHANG_LOW = tuple("sl pl bg no ms is hi th sw bn".split())
"""The last ten languages of that list."""
ZHANG = ZHANG_HIGH + ZHANG_LOW
"""The list, in the paper's order."""
