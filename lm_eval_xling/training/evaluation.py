"""What a run was trained on ▸ the command that asks for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from lm_eval_xling.families import FAMILIES
from lm_eval_xling.families.ledger import LedgerParameters
from lm_eval_xling.models import EMBEDDED_MODELS
from lm_eval_xling.models.argument_words import argument_words

__all__ = ["OWN_TASKS", "evaluation", "ledger_parameters"]

OWN_TASKS = "TASKS"
"""Stands for tasks of one's own in a command."""


def evaluation(provenance: Mapping[str, Any], arguments: Mapping[str, str], program: str = "") -> str:
    """Return the command that evaluates a trained adapter or model on tasks of what it was taught.

    A translated question or mixed text belongs to no family: such models are asked for the atlas.

    Args:
        provenance: what ``provenance.json`` holds.
        arguments: of the model, as ``--model_args`` takes them.
        program: what is called; without it ``lm_eval``, or ``xling eval`` for the name of an embedded model, which the
            harness does not know.

    Returns:
        The command; after ``--tasks`` stands ``OWN_TASKS`` where only files say what was taught.
    """
    program = program or ("xling eval" if arguments["pretrained"] in EMBEDDED_MODELS else "lm_eval")
    words = ["--model", "hf", "--model_args", argument_words(arguments)]
    data = provenance["config"]["data"]
    ledger = data.get("ledger")
    words += ["--tasks", "crosslingual_ledger" if ledger else _tasks(provenance["recipe"], data.get("dataset"))]
    if ledger and (parameters := ledger_parameters(ledger)):
        words += ["--metadata", json.dumps({"xling": parameters}, ensure_ascii=False)]
    words += ["--apply_chat_template"] if data.get("chat_template") else []
    return f"{program} {shlex.join([*words, '--batch_size', '16'])}"


def ledger_parameters(ledger: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters by which the family ``ledger`` asks for what was taught, without those of its defaults.

    Args:
        ledger: ``data.ledger`` of a configuration, by name.
    """
    given = {"people": ledger["people"], "seed": ledger["seed"], "attributes": tuple(ledger["attributes"])}
    # Names are Latin in the five languages of these tasks.
    given["wording"] = ledger["wordings"][0]
    defaults = LedgerParameters()
    return {name: value for name, value in given.items() if value != getattr(defaults, name)}


def _tasks(recipe: str, dataset: str | None) -> str:
    if recipe != "teaching facts":
        return "crosslingual_atlas"
    return next((f"crosslingual_{name}" for name, family in FAMILIES.items() if dataset in family.datasets), OWN_TASKS)
