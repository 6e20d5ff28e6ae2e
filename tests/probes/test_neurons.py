"""Language neurons on tiny models: a plain loop over hooks, identities, and the published selection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MixtralConfig, OlmoConfig

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.mlp_neurons import find_neurons
from lm_eval_xling.probes import Findings, Prompt
from lm_eval_xling.probes.kinds.neurons import PROBE, neurons
from lm_eval_xling.probes.language_neurons import activation_entropy, language_neurons, random_neurons
from lm_eval_xling.probes.neuron_activity import activation_counts, losses
from lm_eval_xling.probes.probed_model import ProbedModel
from tests import tiny as tiny_models
from tests.precision import assert_equal_up_to_rounding
from tests.probes.conftest import prompts

TEXTS = {
    "en": ["a", "one cat", "two dogs bark", "many birds", "the horse ran", "six cows"],
    "de": ["eine Katze", "zwei Hunde bellen", "viele Vögel", "ein Pferd", "das Pferd lief", "sechs Kühe"],
    "zh": ["一只猫", "两只狗", "许多鸟", "一匹马", "马跑了", "六头牛"],
}
# Where the numbers before the activation function stand, and what reads those after it.
BEFORE_AND_AFTER = {
    "llama": ("mlp.gate_proj", "mlp.down_proj"),
    "gemma3": ("mlp.gate_proj", "mlp.down_proj"),
    "gpt_neox": ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
    "opt": ("fc1", "fc2"),
}


def on_cpu(model: ProbedModel) -> bool:
    """Whether sums are the same to the last bit; a GPU may sum in another order when it is asked again."""
    return bool(model.model.device.type == "cpu")


def all_texts() -> list[Prompt]:
    return [prompt for language, texts in TEXTS.items() for prompt in prompts(language, texts)]


def plain(folder: Path) -> tuple[Any, Any, Any]:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inner = model.get_decoder()
    return model, tokenizer, getattr(inner, "decoder", inner).layers


@pytest.mark.parametrize("architecture", list(BEFORE_AND_AFTER))
def test_counts_and_losses_are_those_of_a_plain_loop(
    architecture: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """Gated MLPs and others: one text at a time, by hooks on the linear layers and nothing of ours."""
    folder = tiny(architecture)
    texts = all_texts()
    probed = ProbedModel(str(folder))
    counts, lengths = activation_counts(probed, texts, folder=tmp_path, batch_tokens=60)
    generator = np.random.default_rng(0)
    off = generator.random((3, 64, 1)) < 0.2
    found, tokens = losses(probed, texts, ["en"], {"base": off}, folder=tmp_path, batch_tokens=240)
    model, tokenizer, layers = plain(folder)
    before, after = BEFORE_AND_AFTER[architecture]
    for row, prompt in enumerate(texts):
        ids = tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        seen: list[torch.Tensor] = []
        hooks = [
            layer.get_submodule(before).register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
            for layer in layers
        ]
        with torch.inference_mode():
            loss = model(ids, labels=ids).loss.nan_to_num()
        for hook in hooks:
            hook.remove()
        # Rounding may turn the sign of a number that is nearly 0, and of no other.
        least, most = (
            torch.stack([(output.reshape(-1, 64) > edge * output.abs().max()).sum(0) for output in seen]).numpy()
            for edge in (1e-5, -1e-5)
        )
        assert (least <= counts["base"][row]).all() and (counts["base"][row] <= most).all()
        assert (least == most).mean() > 0.99
        assert lengths[row] == ids.shape[1] and tokens[row] == ids.shape[1] - 1
        assert_equal_up_to_rounding(found["base"][row, 0], loss.item() * tokens[row])

        def without(_: object, given: tuple[torch.Tensor], layer: int = 0) -> tuple[torch.Tensor]:
            return (given[0] * torch.from_numpy(~off[layer, :, 0]),)

        hooks = [
            layer.get_submodule(after).register_forward_pre_hook(
                lambda module, given, number=number: without(module, given, number)
            )
            for number, layer in enumerate(layers)
        ]
        with torch.inference_mode():
            loss = model(ids, labels=ids).loss.nan_to_num()
        for hook in hooks:
            hook.remove()
        assert_equal_up_to_rounding(found["base"][row, 1], loss.item() * tokens[row])
    assert np.abs(found["base"][:, 1:] - found["base"][:, :1]).max(0).min() > 1e-3, "both deactivations did something"


def test_deactivating_no_neuron_changes_nothing(llama: ProbedModel, tmp_path: Path) -> None:
    none = np.zeros((3, 64, 2), bool)
    found, _ = losses(llama, all_texts(), ["en", "de"], {"base": none}, folder=tmp_path)
    equal = np.testing.assert_array_equal if on_cpu(llama) else assert_equal_up_to_rounding
    equal(found["base"], np.repeat(found["base"][:, :1], 5, axis=1))


def test_entropy_is_between_nothing_and_the_logarithm_of_the_languages() -> None:
    equal, one, none = np.full(7, 0.03), np.eye(7)[2] * 0.4, np.zeros(7)
    np.testing.assert_allclose(activation_entropy(np.stack([equal, one, none])), [np.log(7), 0, np.inf], atol=1e-12)
    # Twice as often in one of two languages, whatever the level.
    two_to_one = np.log(3) - 2 / 3 * np.log(2)
    np.testing.assert_allclose(activation_entropy(np.array([[0.2, 0.1], [0.8, 0.4]])), two_to_one)


@pytest.mark.parametrize(("share", "quantile"), [(0.01, 0.95), (0.05, 0.9), (0.5, 0.99)])
def test_language_neurons_are_those_of_the_published_selection(share: float, quantile: float) -> None:
    """As the released code has it: inactive neurons get an infinite entropy and are never taken."""
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.rand(6, 100, 4, generator=generator, dtype=torch.float64) ** 3
    shares = probabilities / probabilities.sum(-1, keepdim=True)
    entropy = torch.distributions.Categorical(probs=shares).entropy()
    bar = probabilities.flatten().kthvalue(round(probabilities.numel() * quantile)).values
    entropy[(probabilities > bar).sum(-1) == 0] = torch.inf
    expected = torch.zeros(600, 4, dtype=torch.bool)
    for place in entropy.flatten().topk(round(600 * share), largest=False).indices:
        expected[place] = probabilities.view(600, 4)[place] > bar
    found = language_neurons(probabilities.numpy(), entropy_share=share, activity_quantile=quantile)
    np.testing.assert_array_equal(found.reshape(600, 4), expected)
    assert found.any()


def test_random_neurons_are_as_many_and_of_no_language_while_there_are_such() -> None:
    taken = np.zeros((3, 50), bool)
    taken[0, :10] = taken[2, :45] = True
    wanted = np.array([10, 0, 20])
    drawn = random_neurons(wanted, taken, seed=3)
    np.testing.assert_array_equal(drawn.sum(1), wanted)
    assert not (drawn & taken)[0].any() and drawn[2, 45:].all()
    assert (drawn != random_neurons(wanted, taken, seed=4)).any()
    np.testing.assert_array_equal(drawn, random_neurons(wanted, taken, seed=3))


SETTINGS: dict[str, Any] = {"held_out": 3, "entropy_share": 0.2, "activity_quantile": 0.8}


def value(found: Findings, quantity: str, language: str, other: str | None = None, **more: Any) -> float:
    (measure,) = [
        m
        for m in found.measures
        if (m.quantity, m.language, m.other) == (quantity, language, other)
        and all(getattr(m, name) == wanted for name, wanted in {"variant": "base", "minus": None, **more}.items())
    ]
    return measure.value


def test_measures_are_counts_and_losses_a_token(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    model = ProbedModel(str(tiny("llama")), [adapter("idle", strength=0), adapter("real", strength=0.5)])
    found = neurons(model, all_texts(), folder=tmp_path, **SETTINGS)
    listed = found.facts["language_neurons"]["base"]
    for code in TEXTS:
        assert value(found, "neurons_total", code) == len(listed[code])
        for layer in (1, 2, 3):
            assert value(found, "neurons", code, layer=layer) == sum(place[0] == layer for place in listed[code])
    sharing = [value(found, f"shared_total.{k}", "all") for k in (1, 2, 3)]
    assert sum(sharing) == round(0.2 * 3 * 64) == len({tuple(place) for places in listed.values() for place in places})
    assert np.dot(sharing, (1, 2, 3)) == sum(map(len, listed.values()))
    # Of each language's last three texts; tokens are bytes, the first has none before it.
    values = found.values["base"][:, -1].astype(float)
    bytes_of = np.array([len(text.encode()) - 1 for texts in TEXTS.values() for text in texts[3:]])
    for row, code in enumerate(TEXTS):
        rows = slice(3 * row, 3 * row + 3)
        means = values[rows].sum(0) / bytes_of[rows].sum()
        assert value(found, "loss", code) == pytest.approx(means[0])
        for column, other in enumerate(TEXTS):
            own, drawn = means[1 + column], means[4 + column]
            expected = {"loss_change": own - means[0], "random_change": drawn - means[0], "beyond_random": own - drawn}
            for quantity, of in expected.items():
                assert value(found, quantity, code, other) == pytest.approx(of, abs=1e-6)
    changes = {
        name: [m.value for m in found.measures if (m.variant, m.minus) == (name, "base")] for name in ("idle", "real")
    }
    assert np.abs(changes["idle"]).max() <= (0 if on_cpu(model) else 1e-6) and np.any(changes["real"])


def test_between_equal_languages_every_neuron_is_shared(llama: ProbedModel, tmp_path: Path) -> None:
    same = prompts("en", TEXTS["en"]) + prompts("de", TEXTS["en"])
    found = neurons(llama, same, folder=tmp_path, **SETTINGS)
    assert value(found, "shared_total.1", "all") == 0 and value(found, "shared_total.2", "all") > 0
    for text, other in (("en", "de"), ("de", "en")):
        assert value(found, "loss_change", text, other) == value(found, "loss_change", text, text)


def test_too_few_texts_are_refused_before_a_model_is_loaded() -> None:
    with pytest.raises(UserError, match="each language has 6 texts, of which 4 are held out"):
        PROBE.prepare(all_texts(), PROBE.settings(held_out=4))


def test_a_norm_without_weights_is_no_activation_function_and_experts_are_refused() -> None:
    check = torch.arange(20)[None]
    for config in (OlmoConfig(**tiny_models._GATED), MixtralConfig(**tiny_models._GATED, num_local_experts=2)):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        layers = model.model.layers
        if isinstance(config, OlmoConfig):
            found = find_neurons(model, layers, check)
            assert found.width == 64 and [*found.modules] == [layer.mlp.act_fn for layer in layers]
        else:
            with pytest.raises(UserError, match="layer 1 has not one activation function of all tokens"):
                find_neurons(model, layers, check)
