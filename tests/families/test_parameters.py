from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.parameters import parse


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
