from __future__ import annotations

import subprocess
import sys

import pytest
from scipy.stats import chisquare, kstest

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing.mixture import Mixture, uniform


def test_uniform_is_uniform_and_stable_between_processes():
    numbers = [uniform(42, "doc", index) for index in range(5000)]
    assert kstest(numbers, "uniform").pvalue > 0.01
    code = "from lm_eval_xling.mixing.mixture import uniform; print(repr(uniform(42, 'doc', 7)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{numbers[7]!r}\n"}


def test_keys_are_kept_apart():
    assert uniform("a", "bc") != uniform("ab", "c")


def test_draws_follow_the_weights_and_not_their_order():
    mixture, turned = Mixture({"en": 1, "fr": 2, "de": 5}), Mixture({"de": 5, "en": 1, "fr": 2})
    draws = [mixture.draw(1, "x", index) for index in range(4000)]
    assert draws == [turned.draw(1, "x", index) for index in range(4000)]
    observed = [draws.count(code) for code in ("en", "fr", "de")]
    assert chisquare(observed, [500, 1000, 2500]).pvalue > 0.01


def test_parse_reads_any_spelling_and_weights():
    assert Mixture.parse("en, German=0.5,fra_Latn").weights == {"en": 1, "de": 0.5, "fr": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en,German,de", "occurs twice"),
        ("en,fr=x", "is no number"),
        ("en,fr=0", "weight"),
        ("en,fr=nan", "weight"),
        ("en,Germn", "did you mean de"),
        ("", "empty"),
    ],
)
def test_bad_mixtures_say_what_is_wrong(text, message):
    with pytest.raises(UserError, match=message):
        Mixture.parse(text)
