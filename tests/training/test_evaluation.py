"""The command that a run and its model card end with: of what was taught, and understood by the program it names."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.harness import task_names
from lm_eval_xling.trainers.recipes import RECIPES
from lm_eval_xling.training.card import model_card
from lm_eval_xling.training.configuration import as_mapping, load_config
from lm_eval_xling.training.evaluation import evaluation

ADAPTER = {"pretrained": "gemma-3-270m", "peft": "runs/adapter"}


def provenance(recipe: str, *settings: str) -> dict[str, Any]:
    config = load_config(RECIPES[recipe][0], None, ["output=runs/it", *settings])
    titles = {"align": "question alignment", "mixed": "mixed-language fine-tuning", "facts": "teaching facts"}
    made = {"recipe": titles[recipe], "model": config.model, "config": as_mapping(config)}
    return {**made, "revision": "", "languages": ["en"], "data": [], "scores": {}, "losses": {}, "versions": {}}


@pytest.mark.parametrize(
    ("recipe", "settings", "asked"),
    [
        ("align", ["data.dataset=nli"], "--tasks crosslingual_atlas"),
        ("mixed", ["data.corpus=[mixed.jsonl]"], "--tasks crosslingual_atlas"),
        ("facts", ["data.files=[facts.jsonl]"], "--tasks TASKS"),
        ("facts", ["data.dataset=tofu", "data.chat_template=true"], "--tasks crosslingual_tofu --apply_chat_template"),
        ("facts", ["data.dataset=msvamp"], "--tasks crosslingual_math"),
        ("facts", ["data.ledger.people=20"], "--tasks crosslingual_ledger"),
        (
            "facts",
            ["data.ledger.people=3", "data.ledger.wordings=[sentence]", "data.files=[facts.jsonl]"],
            """--tasks crosslingual_ledger --metadata '{"xling": {"people": 3, "wording": "sentence"}}'""",
        ),
    ],
)
def test_the_tasks_ask_for_what_was_taught(recipe: str, settings: list[str], asked: str) -> None:
    command = evaluation(provenance(recipe, *settings), ADAPTER, "xling eval")
    arguments = "--model_args pretrained=gemma-3-270m,peft=runs/adapter"
    assert command == f"xling eval --model hf {arguments} {asked} --batch_size 16"


def test_every_dataset_of_a_family_names_a_group_that_is_there() -> None:
    groups = task_names("all_groups")
    for name in DATASETS:
        words = shlex.split(evaluation(provenance("facts", f"data.dataset={name}"), ADAPTER))
        suggested = words[words.index("--tasks") + 1]
        of_family = any(name in family.datasets for family in FAMILIES.values())
        assert suggested in groups if of_family else suggested == "TASKS"


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        (["lora.r=8"], "xling eval --model hf --model_args pretrained=gemma-3-270m,peft=THIS_FOLDER --tasks TASKS"),
        (["lora.r=8", "model=a/b"], "lm_eval --model hf --model_args pretrained=a/b,peft=THIS_FOLDER --tasks TASKS"),
        (["model=gemma-3-270m"], "lm_eval --model hf --model_args pretrained=THIS_FOLDER --tasks TASKS"),
        (["lora.r=8", "model=my models/a,b"], 'lm_eval --model hf --model_args \'{"pretrained": "my models/a,b", '),
    ],
)
def test_the_card_calls_the_program_that_knows_the_model(settings: list[str], begins: str) -> None:
    card = model_card(provenance("facts", "data.files=[facts.jsonl]", *settings))
    assert f"```sh\n{begins}" in card
    assert "`TASKS`: tasks of your own facts (`xling tasks new`).\n" in card
