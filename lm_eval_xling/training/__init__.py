"""What the recipes share: configuration, data ▸ examples, loss, fitting, checkpoints, checks and publishing."""

from __future__ import annotations

from lm_eval_xling.training.adapter_check import AdapterCheck, check_adapter

__all__ = ["AdapterCheck", "check_adapter"]
