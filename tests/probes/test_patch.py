"""Patching on tiny models: identities, a plain loop without a cache, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling.errors import UserError
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.probes import bands, from_tasks
from lm_eval_xling.probes.asked_facts import log_odds, option_log_likelihoods, questions
from lm_eval_xling.probes.kinds import patch as kinds
from lm_eval_xling.probes.kinds.patch import OTHER_SUBJECT, PROBE, SAME_SUBJECT, patch
from lm_eval_xling.probes.probe import Findings, Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from tests.precision import assert_equal_up_to_rounding

SUBJECTS = ("Peru", "Mali", "Oman", "Fiji")
CHOICES = (" a", " bcd", " ef")
LINES = {"en": "Country: {}\nCapital:", "de": "Das Land ist {}\nHauptstadt:", "zh": "国家：{}\n首都："}


def facts(language: str, subjects: Sequence[str] = SUBJECTS) -> list[Prompt]:
    return [
        Prompt(
            str(number),
            language,
            LINES[language].format(subject),
            answer=number % 3,
            subject=subject,
            choices=CHOICES,
            relation="capital",
        )
        for number, subject in enumerate(subjects)
    ]


def likelihoods(
    folder: Path, text: str, layer: int | None = None, at: int | slice = 0, state: Any = None
) -> np.ndarray:
    """Each choice in a pass of its own, with what a layer reads replaced: by hooks and nothing of ours."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inner = model.get_decoder()
    inner = getattr(inner, "decoder", inner)

    def change(_: object, given: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> object:
        hidden = (given[0] if given else named["hidden_states"]).clone()
        hidden[0, at] = state(hidden[0, at]) if callable(state) else state
        return ((hidden, *given[1:]), named) if given else (given, {**named, "hidden_states": hidden})

    if layer is not None:
        inner.layers[layer].register_forward_pre_hook(change, with_kwargs=True)
    found = []
    for choice in CHOICES:
        ids = tokenizer(text + choice, return_tensors="pt")["input_ids"]
        begin = len(tokenizer(text)["input_ids"])
        with torch.inference_mode():
            said = model(ids).logits[0, :-1].double().log_softmax(-1)
        found.append(said.gather(-1, ids[0, 1:, None])[begin - 1 :].sum().item())
    return np.array(found)


def odds(values: np.ndarray, answer: int) -> float:
    others = np.delete(values, answer)
    return float(values[answer] - np.log(np.exp(others - others.max()).sum()) - others.max())


def end_of_subject(prompt: Prompt) -> int:
    return len(prompt.text[: prompt.text.rindex(prompt.subject) + len(prompt.subject)].encode()) - 1


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt_neox", "opt"])
def test_effects_are_those_of_a_plain_loop(architecture: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """Every layer, with the state of the same and of another subject; choices of one and of several tokens."""
    folder = tiny(architecture)
    english, chinese = facts("en"), facts("zh")
    found = patch(ProbedModel(str(folder)), english + chinese, folder=tmp_path, batch_tokens=100).values["base"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    states = {}
    for prompt in english:
        with torch.inference_mode():
            of_prompt = model(**tokenizer(prompt.text, return_tensors="pt"), output_hidden_states=True).hidden_states
        states[prompt.id] = [state[0, end_of_subject(prompt)] for state in of_prompt]
    for row, (own, prompt) in enumerate(zip(english, chinese, strict=True)):
        answer = row % 3
        plain, of_source = odds(likelihoods(folder, prompt.text), answer), odds(likelihoods(folder, own.text), answer)
        patched = {
            (other, layer): odds(
                likelihoods(folder, prompt.text, layer, end_of_subject(prompt), states[other][layer]), answer
            )
            for other in states
            for layer in range(3)
        }
        for layer in range(3):
            same, other, *rest = found[row, layer]
            assert_equal_up_to_rounding([same, *rest], [patched[own.id, layer], plain, of_source])
            # Which of the others is drawn is not the point, but it has another answer.
            strangers = [patched[of, layer] for of in states if int(of) % 3 != answer]
            assert min(abs(other - value) for value in strangers) < 1e-4


def test_a_prompt_with_its_own_state_is_as_it_was(llama: ProbedModel, tmp_path: Path) -> None:
    copies = [replace(prompt, language="de") for prompt in facts("en")]
    found = patch(llama, facts("en") + copies, folder=tmp_path)
    same, other, plain, of_source = np.moveaxis(found.values["base"], -1, 0)
    assert_equal_up_to_rounding(same, plain)
    assert_equal_up_to_rounding(of_source, plain)
    assert np.abs(other - plain).min(0).max() > 1e-3
    assert not any(m.quantity == "recovery" for m in found.measures), "there is no gap to recover"


def test_another_embedding_is_another_subject(llama: ProbedModel, tmp_path: Path) -> None:
    """Of one-token subjects, the prompt with another one's embedding is the prompt of that subject."""
    letters, german = "PMOF", facts("de", "PMOF")
    found = patch(llama, facts("en", letters) + german, folder=tmp_path).values["base"]
    for row in range(len(letters)):
        as_other = [log_odds_of(llama, replace(prompt, answer=row % 3)) for prompt in german]
        assert_equal_up_to_rounding(found[row, 0, 0], as_other[row])
        assert min(abs(found[row, 0, 1] - value) for at, value in enumerate(as_other) if at % 3 != row % 3) < 1e-4


def test_controls_are_drawn_once_a_fact_and_spread_over_the_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    count, drawn = 2000, []
    monkeypatch.setattr(kinds, "stable_hash", lambda *key: drawn.append(key) or stable_hash(*key))
    made = facts("en", [f"Land {number}" for number in range(count)])
    made += [replace(fact, id=f"money {fact.id}", relation="currency") for fact in made]
    chosen = kinds._other_subjects(made, seed=3)
    assert len(drawn) == 2 * count, "a hash a fact, not a pair"
    assert sorted(chosen) == list(range(2 * count)) == list(chosen)
    for fact, other in chosen.items():
        assert made[fact].relation == made[other].relation and made[fact].answer != made[other].answer
    assert max(Counter(chosen.values()).values()) < 15, "one subject stands in for many"
    turned = kinds._other_subjects(made[::-1], seed=3)
    assert {made[-1 - fact].id: made[-1 - other].id for fact, other in turned.items()} == {
        made[fact].id: made[other].id for fact, other in chosen.items()
    }
    assert kinds._other_subjects(made, seed=4) != chosen


@torch.inference_mode()
def log_odds_of(model: ProbedModel, prompt: Prompt) -> float:
    (question,) = questions(model, [prompt])
    return float(log_odds(option_log_likelihoods(model, model.output_path("base"), question), question.answer)[0])


def of(found: Findings, quantity: str, other: str, minus: str | None = None) -> list[float]:
    return [m.value for m in found.measures if (m.quantity, m.other, m.minus) == (quantity, other, minus)]


def test_measures_are_means_and_ratios_of_means(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    model = ProbedModel(str(tiny("llama")), [adapter("idle", strength=0), adapter("real", strength=0.5)])
    subjects = [*SUBJECTS, "Cuba", "Chad"]
    # English choices of few letters, German ones of many: the right one is ahead in English and behind in German.
    english = [replace(fact, choices=(" aaaa", f" {fact.id}", " aaaa"), answer=1) for fact in facts("en", subjects)]
    german = [replace(fact, choices=(" a", " bbbb", " a"), answer=1) for fact in facts("de", subjects)]
    found = patch(model, english + german, folder=tmp_path)
    means = {}
    for variant, values in found.values.items():
        same, other, plain, of_source = np.moveaxis(values.astype(float), -1, 0)
        means[variant] = {
            ("effect", SAME_SUBJECT): (same - plain).mean(0),
            ("effect", OTHER_SUBJECT): (other - plain).mean(0),
            ("advantage", OTHER_SUBJECT): (same - other).mean(0),
            ("log_odds", "de"): plain[:, :1].mean(0),
            ("log_odds", "en"): of_source[:, :1].mean(0),
            ("gap", "en"): (of_source - plain)[:, :1].mean(0),
            ("recovery", SAME_SUBJECT): (same - plain).mean(0) / (of_source - plain).mean(0),
        }
    for name, expected in means["base"].items():
        np.testing.assert_allclose(of(found, *name), np.ravel([means[v][name] for v in model.variants]), rtol=1e-6)
        change = np.concatenate([means["idle"][name] - expected, means["real"][name] - expected])
        np.testing.assert_allclose(of(found, *name, "base"), change, atol=1e-9)
        assert not np.any(means["idle"][name] - expected) and np.any(means["real"][name] - expected)


def test_facts_of_one_subject_are_drawn_together() -> None:
    """Twice the same items are no more evidence than once."""
    values = np.random.default_rng(3).normal(size=(30, 1, 1))
    once = bands.bootstrap_band(bands.mean(values), 30)
    twice = bands.bootstrap_band(
        bands.mean(np.concatenate([values, values])), 60, clusters=np.concatenate([np.arange(30), np.arange(30)])
    )
    np.testing.assert_allclose(twice, once)
    # Of clusters of unequal size, one fact weighs as another.
    estimate, _, _ = bands.bootstrap_band(bands.mean(values), 30, clusters=np.minimum(np.arange(30), 5))
    assert estimate == pytest.approx(values.mean(0))


def test_the_control_is_another_answer_to_the_same_question(llama: ProbedModel, tmp_path: Path) -> None:
    english = facts("en", [*SUBJECTS, "Cuba"])
    alone = replace(english[3], relation="currency")
    both = [*english[:3], alone, english[4]]
    found = patch(llama, both + [replace(fact, language="de") for fact in both], folder=tmp_path)
    assert list(found.ids) == ["0", "1", "2", "4"]
    assert found.facts == {"facts": {"used": 4, "without_control": 1}}
    with pytest.raises(UserError, match="of 3 facts 0 have a control"):
        PROBE.prepare(
            [replace(fact, answer=0, language=code) for fact in english[:3] for code in ("en", "de")], SETTINGS
        )


SETTINGS = PROBE.settings()


def test_atlas_and_ledger_name_their_subjects() -> None:
    for family, relation in (("atlas", "continent"), ("ledger_taught", "city")):
        (prompt,) = from_tasks([f"xling_{family}_de_de"], limit=1, labels=False, facts=True)
        assert prompt.subject in prompt.text and len(prompt.choices) == 4 and prompt.answer is not None
        assert prompt.relation and (family != "atlas" or prompt.relation == relation)
