"""The recipes by name: configured, run, and the folder of what was trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import nothing_left
from lm_eval_xling.training.configuration import AlignmentConfig, Config, FactsConfig, MixedConfig, load_config

__all__ = ["RECIPES", "Recipe", "run_recipe", "train"]

Recipe: TypeAlias = Literal["align", "mixed", "facts"]

RECIPES: Mapping[str, tuple[type[Config], str, str]] = {
    "align": (AlignmentConfig, "question_alignment", "align"),
    "mixed": (MixedConfig, "mixed_language", "train_mixed"),
    "facts": (FactsConfig, "facts", "teach"),
}
"""By name: the configuration, and the module and function of this package that train."""


def train(recipe: Recipe, config: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> Path:
    """Train as ``xling train`` does, or continue where a killed run stopped.

    Args:
        recipe: ``align`` (question alignment, Zhang et al. 2024), ``mixed`` (mixed-language text, Chua et al. 2024) or
            ``facts`` (teach facts, Maini et al. 2024).
        config: YAML file, or one that the package holds, such as ``facts_lora.yaml``; without it the recipe's defaults.
        settings: what differs from it, by dotted key: ``{"output": "runs/taught", "data.ledger.people": 20}``.

    Returns:
        The folder that ``model_args`` takes: as ``peft`` where an adapter was trained, otherwise as ``pretrained``.

    Raises:
        UserError: an unknown recipe or key, or data or a disk that do not allow the run.
    """
    if recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    words = [f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in (settings or {}).items()]
    return run_recipe(recipe, load_config(RECIPES[recipe][0], None if config is None else Path(config), words))


def run_recipe(recipe: str, config: Config) -> Path:
    """Run a recipe that is configured, and return the folder of what was trained.

    Raises:
        UserError: if data, disk or the device's memory do not allow the run.
    """
    _, module, function = RECIPES[recipe]
    run: Callable[[Config], Path] = getattr(import_module(f"lm_eval_xling.trainers.{module}"), function)
    import torch

    with nothing_left(config.output, "run.json"):
        try:
            return run(config)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "the device has too little memory",
                where=config.output,
                fix="free some and run the same command again: it continues from the last checkpoint; or, into another "
                "output, halve training.per_device_train_batch_size and double training.gradient_accumulation_steps",
            ) from error
