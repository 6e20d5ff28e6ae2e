from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.available import matching
from lm_eval_xling.families.parameters import check_place, parse
from lm_eval_xling.harness import requests, task_manager


@dataclass(frozen=True)
class Parameters:
    seed: int = 0
    drop_identical: bool = False
    demos: Literal["english", "placement"] = "english"
    languages: tuple[str, ...] = ("en",)
    question_language: str | None = None


def test_nothing_given_is_the_published_setting() -> None:
    assert parse(Parameters, None, task="t") == Parameters()


def test_given_values_replace_the_defaults() -> None:
    given = {"seed": 3, "drop_identical": True, "demos": "placement", "languages": ["de"], "question_language": None}
    assert parse(Parameters, given, task="t") == Parameters(3, True, "placement", ("de",), None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sede": 1}, "unknown parameter 'sede'(.|\n)*did you mean seed"),
        ({"seed": "30%"}, "'seed' is '30%', expected int(.|\n)*fix: write \"seed\": and a whole number"),
        ({"seed": True}, "'seed' is True, expected int(.|\n)*fix: write \"seed\": and a whole number"),
        ({"seed": 30.5}, "'seed' is 30.5, expected int(.|\n)*fix: write \"seed\": and a whole number"),
        (
            {"drop_identical": 1},
            "'drop_identical' is 1, expected bool(.|\n)*fix: write \"drop_identical\": true or false",
        ),
        ({"demos": "englsh"}, "did you mean english"),
        ({"languages": "de"}, "'languages' is 'de', expected a list of strings(.|\n)*fix: write \"languages\": \\["),
        ({"question_language": 1}, 'expected str(.|\n)*fix: write "question_language": "…"'),
        (["seed"], "not a map(.|\n)*fix: give parameters by name"),
    ],
)
def test_a_wrong_key_or_value_is_an_error_with_its_name(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Parameters, given, task="xling_mmlu")


def place(task: str) -> tuple[Family, Leaf]:
    (found,) = matching([task]).values()
    return found


@pytest.mark.parametrize(
    ("task", "metadata", "message"),
    [
        (
            "xling_atlas_en_en",
            {"option_ids": "1-4", "form": "generate"},
            "'option_ids' and 'form' in the metadata would change nothing of xling_atlas_en_en(.|\n)*"
            """--metadata '{"xling": {"option_ids": "1-4", "form": "generate"}}'""",
        ),
        ("xling_atlas_mixup", {"seed": 1}, "'seed' in the metadata"),
        ("xling_atlas_en_en", {"Xling": {"form": "cloze"}}, """'Xling'(.|\n)*'{"xling": {"form": "cloze"}}'"""),
        ("xling_atlas_en_en", {"xlng": {"form": "cloze"}}, "'xlng' in the metadata"),
        # What stands in its place already stays there.
        (
            "xling_hp_mixup",
            {"xling": {"seed": 3}, "option_ids": "1-4"},
            """'{"xling": {"seed": 3, "option_ids": "1-4"}}'""",
        ),
    ],
)
def test_a_parameter_outside_its_place_is_an_error(task: str, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_place(*place(task), metadata)
    with pytest.raises(UserError, match=message):
        requests(task, rows=[0], metadata=metadata)


def test_what_others_read_stands_beside_the_parameters() -> None:
    """Keys of the harness and of its own tasks, arguments of models, and the tokenizer of TOFU's scores."""
    known = {"pretrained": "MODEL", "max_seq_lengths": [4096], "left_out": [], "demos": 3, "xling": {"seed": 1}}
    check_place(*place("xling_atlas_mixup"), known)
    check_place(*place("xling_tofu_forget01_en_en"), {"tokenizer": "TOKENIZER"})
    # The harness puts the model's arguments there, and a model may take a seed.
    manager = task_manager(metadata={"seed": 1, "pretrained": "MODEL"}, include_defaults=False)
    assert manager.load(["xling_atlas_mixup"])["tasks"]
