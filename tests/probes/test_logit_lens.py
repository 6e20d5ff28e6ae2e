from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling.literals import word
from lm_eval_xling.probes.kinds.logit_lens import logit_lens
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from tests.precision import STEPS, assert_equal_up_to_rounding, rounding

LABELS = {"en": ("good", "bad"), "zh": ("好", "坏"), "de": ("gut", "schlecht")}


def labelled(language: str, count: int = 4) -> list[Prompt]:
    labels = {code: LABELS[code] for code in ("en", language)}
    return [
        Prompt(str(number), language, f"text {number} in {language}" * (number + 1), labels, number % 2)
        for number in range(count)
    ]


def expected_values(folder: Path, prompt: Prompt) -> np.ndarray:
    """Label probabilities and entropy of each layer, the way the paper's scripts take them, for byte tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(prompt.text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        states = model(ids, output_hidden_states=True).hidden_states
        inner = [model.lm_head(model.model.norm(state)) for state in states[:-1]]
        logits = torch.cat([*inner, model.lm_head(states[-1])])[:, -1]
    probabilities = logits.double().softmax(-1).numpy()
    # In this vocabulary a token is a byte, so only the first byte of a label begins it.
    alphabet = AutoTokenizer.from_pretrained(folder)

    def total(words: tuple[str, ...], without: set[int]) -> np.ndarray:
        first = {alphabet(entry)["input_ids"][0] for entry in words}
        return probabilities[:, sorted(first - without)].sum(-1) if first - without else np.full(4, np.nan)

    english, target = ({alphabet(entry)["input_ids"][0] for entry in LABELS[code]} for code in ("en", prompt.language))
    shared = english & target
    assert prompt.answer is not None
    return np.stack(
        [
            total((LABELS["en"][prompt.answer],), shared),
            total((LABELS[prompt.language][prompt.answer],), shared),
            total(LABELS["en"], shared),
            total(LABELS[prompt.language], shared),
            probabilities[:, sorted(shared)].sum(-1) if shared else np.full(4, np.nan),
            -(probabilities * np.log2(probabilities)).sum(-1),
        ],
        axis=-1,
    )


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_values_are_those_of_a_plain_loop(architecture: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    prompts = labelled("zh") + labelled("de")
    model = ProbedModel(str(tiny(architecture)))
    result = logit_lens(model, prompts, folder=tmp_path, batch_tokens=100)
    for row, prompt in enumerate(prompts):
        expected = expected_values(tiny(architecture), prompt)
        # Each quantity has a magnitude of its own: probabilities of labels are small, entropies are bits. A probability
        # is wrong by that part of itself by which its logarithm, some 6 nats, is wrong in nats.
        for column in range(6):
            assert_equal_up_to_rounding(result.values["base"][row, :, column], expected[:, column], 10 * STEPS)
    # "gut" begins like "good", and "好" (E5 A5) like "坏" (E5 9D).
    assert result.facts["label_tokens"]["de"]["shared"] == 1
    shares = result.values["base"][..., 6:]
    assert_equal_up_to_rounding(shares.sum(-1), np.ones(shares.shape[:-1]))


def test_several_positions_are_the_mean_of_their_prefixes(llama: ProbedModel, tmp_path: Path) -> None:
    text = "abcdefghij"  # one token a letter
    whole = logit_lens(llama, [Prompt("0", "de", text)], folder=tmp_path, positions=3)
    prefixes = [Prompt(str(end), "de", text[:end]) for end in (4, 7, 10)]
    parts = logit_lens(llama, prefixes, folder=tmp_path)
    for found, mean in zip(whole.values["base"][0, :, 5:].T, parts.values["base"][..., 5:].mean(0).T, strict=True):
        assert_equal_up_to_rounding(found, mean)
    assert np.isnan(whole.values["base"][..., :5]).all(), "free text has no labels"


def test_an_adapter_without_effect_changes_nothing(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    model = ProbedModel(str(tiny("llama")), [adapter("idle", strength=0), adapter("real", strength=0.5)])
    result = logit_lens(model, labelled("zh", 6), folder=tmp_path)
    changes = {m.variant: [] for m in result.measures if m.minus}
    for measure in result.measures:
        if measure.minus:
            changes[measure.variant].append((measure.value, measure.low, measure.high))
    assert not np.array(changes["idle"]).any()
    assert np.abs(np.array(changes["real"])).max() > 1e-3
    base, real = (
        next(
            m for m in result.measures if (m.variant, m.minus, m.layer, m.quantity) == (variant, None, 3, "entropy")
        ).value
        for variant in ("base", "real")
    )
    change = next(
        m for m in result.measures if (m.variant, m.minus, m.layer, m.quantity) == ("real", "base", 3, "entropy")
    )
    assert change.value == pytest.approx(real - base, abs=rounding([real, base]))


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "de", "sw"])
def test_gemma_turns_to_english_labels_late(gemma: Path, shared_data: Path, language: str, tmp_path: Path) -> None:
    rows = {
        code: json.loads((shared_data / f"zhang_eval/ap_emotion/emotion_{code}500_test.json").read_text())
        for code in ("en", language)
    }
    labels = {code: (word(code, "labels.sentiment.positive"), word(code, "labels.sentiment.negative")) for code in rows}
    short = sorted(range(2, 500), key=lambda row: len(rows[language][row]["input"]))[:8]
    shown = sorted(range(500), key=lambda row: (rows["en"][row]["answer"], len(rows[language][row]["input"])))
    field = word(language, "fields.emotion")

    def line(row: int, ending: str) -> str:
        return f'{rows[language][row]["input"]}\n{field}: "{ending}'

    demonstrations = "".join(line(row, f'{rows["en"][row]["answer"]}"\n') for row in (shown[1], shown[-250]))
    prompts = [
        Prompt(str(row), language, demonstrations + line(row, ""), labels, int(rows["en"][row]["answer"] == "negative"))
        for row in short
    ]
    model = ProbedModel(str(gemma))
    result = logit_lens(model, prompts, folder=tmp_path)
    all_english = {m.layer: m.value for m in result.measures if m.quantity == "p_all_en"}
    # Seen on 30 prompts of each language: nothing up to layer 11, then nearly all of the mass.
    assert all(all_english[layer] < 0.05 for layer in range(11))
    assert all_english[18] > 0.8
    target = [m.value for m in result.measures if m.quantity == "p_all_target"]
    if language == "de":
        assert not target and result.facts["label_tokens"]["de"]["shared"] == 22, (
            "every German label token begins an English one"
        )
    else:
        assert max(target) < 0.05, "with English demonstrations the prompt's language is not an answer"
    ids = model.tokenizer(prompts[0].text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        own = model.model(ids).logits[0, -1].double().softmax(-1)
    entropy = -(own * own.clamp_min(1e-300).log2()).sum().item()
    assert result.values["base"][0, -1, 5] == pytest.approx(entropy, abs=1e-3)
