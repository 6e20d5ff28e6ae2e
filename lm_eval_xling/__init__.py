"""Crosslingual tasks, trainers, probes and reports for EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("lm-eval-xling")
