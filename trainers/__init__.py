"""Training recipes: mixed-language fine-tuning and question alignment."""

from __future__ import annotations

from lm_eval_xling.trainers.adapters import AdapterCheck, check_adapter

__all__ = ["AdapterCheck", "check_adapter"]
