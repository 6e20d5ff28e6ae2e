"""Steering on tiny models: identities, and a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling.probes.kinds.steer import COLUMNS, _random_directions, steer, without_direction
from lm_eval_xling.probes.probed_model import ProbedModel
from tests.precision import assert_equal_up_to_rounding
from tests.probes.test_patch import facts, likelihoods, odds

SENTENCES = {
    "en": ("one cat", "two dogs bark", "many birds"),
    "de": ("eine Katze", "zwei Hunde bellen", "viele Vögel"),
    "zh": ("一只猫", "两只狗", "许多鸟"),
}


def direction(folder: Path, language: str, layer: int) -> torch.Tensor:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    means = []
    for code in ("en", language):
        with torch.inference_mode():
            states = [
                model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[layer][0].mean(0)
                for text in SENTENCES[code]
            ]
        means.append(torch.stack(states).mean(0))
    return means[0] - means[1]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_effects_are_those_of_a_plain_loop(architecture: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny(architecture)
    prompts = facts("en") + facts("de") + facts("zh")
    found = steer(ProbedModel(str(folder)), prompts, SENTENCES, folder=tmp_path, batch_tokens=100)
    assert found.languages == ["de"] * 4 + ["zh"] * 4, "prompts of the language itself are left out"
    for row in (1, 6):
        prompt = prompts[4 + row]
        answer = prompt.answer
        assert answer is not None
        for layer in range(3):
            vector = direction(folder, prompt.language, layer)

            def added(state: torch.Tensor, vector: torch.Tensor = vector) -> torch.Tensor:
                return state + vector

            def projected(state: torch.Tensor, vector: torch.Tensor = vector) -> torch.Tensor:
                return state - torch.outer(state @ vector / vector.norm() ** 2, vector)

            expected = [
                odds(likelihoods(folder, prompt.text, *where), answer)
                for where in ((layer, slice(None), added), (layer, slice(None), projected), ())
            ]
            assert_equal_up_to_rounding(found.values["base"][row, layer, [0, 2, 4]], expected)
    measured = [m.value for m in found.measures if (m.quantity, m.language) == ("add_beyond", "zh")]
    values = found.values["base"].astype(float)
    np.testing.assert_allclose(measured, (values[4:, :, 0] - values[4:, :, 1]).mean(0), rtol=1e-6)


def test_between_equal_languages_there_is_no_direction(llama: ProbedModel, tmp_path: Path) -> None:
    same = {"en": SENTENCES["en"], "de": SENTENCES["en"]}
    values = steer(llama, facts("de"), same, folder=tmp_path).values["base"]
    for column in range(len(COLUMNS) - 1):
        assert_equal_up_to_rounding(values[..., column], values[..., -1], name=COLUMNS[column])


def test_nothing_is_left_along_a_direction_and_controls_are_as_long() -> None:
    torch.manual_seed(0)
    states, vector = torch.randn(4, 5, 32), torch.randn(32) * 7
    left = without_direction(states, vector)
    assert (left @ vector).abs().max() < 1e-4 * (states @ vector).abs().max()
    assert_equal_up_to_rounding(without_direction(left, vector), left)
    wanted = np.random.default_rng(0).normal(size=(3, 32)) * 5
    first, second = (_random_directions(wanted, 0, prompt) for prompt in facts("de")[:2])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), np.linalg.norm(wanted, axis=1))
    assert np.abs(first - second).max() > 0.1
