"""PCA, MEXA and similarity on tiny models: what must come out exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes import geometry
from lm_eval_xling.probes.kinds.mexa import mexa
from lm_eval_xling.probes.kinds.pca import pca
from lm_eval_xling.probes.kinds.similarity import CONTROLS, TRANSLATIONS, changed_versions, similarity
from lm_eval_xling.probes.probe import Measure, Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import parallel_sentences
from tests.precision import assert_equal_up_to_rounding, rounding
from tests.probes.conftest import prompts

WORDS = "one two three four five six seven eight nine ten".split()
TEXTS = [" ".join(WORDS[shift:] + WORDS[:shift]) + "." for shift in range(8)]
LEXICONS = {
    ("en", "de"): {word: (f"{word}lein", f"{word}chen") for word in WORDS},
    ("en", "fr"): {word: (f"le{word}",) for word in WORDS[:5]},
}


def values(measures: list[Measure], quantity: str, **wanted: object) -> np.ndarray:
    found = [
        m
        for m in measures
        if m.quantity == quantity and all(getattr(m, name) == value for name, value in wanted.items())
    ]
    assert found
    return np.array([m.value for m in found])


def test_equal_texts_agree_in_everything(llama: ProbedModel, tmp_path: Path) -> None:
    result = pca(llama, prompts("en", TEXTS) + prompts("de", TEXTS), folder=tmp_path, pooling="mean")
    for quantity in ("pc1_correlation", "centred_cosine", "cka", "cka_debiased"):
        found = values(result.measures, quantity)[1:]
        assert_equal_up_to_rounding(found, np.ones_like(found), name=quantity)
    english, german = ({(p.layer, p.id): p.x for p in result.points if p.language == code} for code in ("en", "de"))
    assert german.keys() == english.keys() and len(english) == 4 * len(TEXTS)
    assert_equal_up_to_rounding([german[key] for key in english], list(english.values()))


def test_components_are_those_of_the_covariance(llama: ProbedModel, tmp_path: Path) -> None:
    both = prompts("en", TEXTS) + prompts("de", [text.upper() for text in TEXTS])
    result = pca(llama, both, folder=tmp_path)
    (path,) = tmp_path.glob("pca-base-*.npy")
    states = np.load(path)[:, 2].astype(float)
    eigenvalues, vectors = np.linalg.eigh(np.cov(states.T))
    (share,) = values(result.measures, "explained_variance", layer=2)
    assert share == pytest.approx(eigenvalues[-1] / eigenvalues.sum())
    shares = [m for m in result.measures if m.quantity == "explained_variance"]
    assert all(np.isnan([m.low, m.high]).all() for m in shares), "nothing was resampled"
    found = np.array([p.x for p in result.points if p.layer == 2])
    expected = (states - states.mean(0)) @ vectors[:, -1]
    assert_equal_up_to_rounding(found * np.sign(found @ expected), expected)
    r = np.corrcoef(found[:8], found[8:])[0, 1]
    assert values(result.measures, "pc1_correlation", layer=2)[0] == pytest.approx(r, abs=rounding(1))


def test_items_are_paired_by_id_not_by_order(llama: ProbedModel, tmp_path: Path) -> None:
    other = list(reversed(prompts("de", TEXTS)))[:-1]
    result = pca(llama, prompts("en", TEXTS) + other, folder=tmp_path, pooling="mean")
    found = [m for m in result.measures if m.quantity == "centred_cosine"]
    assert {m.n for m in found} == {len(TEXTS) - 1}
    assert_equal_up_to_rounding([m.value for m in found][1:], [1] * (len(found) - 1))


def test_one_language_cannot_be_compared(llama: ProbedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is only en"):
        pca(llama, prompts("en", TEXTS), folder=tmp_path)
    with pytest.raises(UserError, match="0 items in common"):
        pca(llama, prompts("en", TEXTS) + [Prompt(f"z{i}", "de", "x") for i in range(3)], folder=tmp_path)


def test_too_few_items_are_not_called_unequal(llama: ProbedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"too few items: 2 in English(.|\n)*--limit of 3 or more"):
        pca(llama, prompts("en", TEXTS[:2]) + prompts("de", TEXTS[:2]), folder=tmp_path)


def test_mexa_of_equal_texts_is_one(llama: ProbedModel, tmp_path: Path) -> None:
    result = mexa(llama, prompts("en", TEXTS) + prompts("fr", TEXTS), folder=tmp_path)
    for quantity in ("mexa", "retrieval_to", "retrieval_from", "mexa_mean", "mexa_max"):
        np.testing.assert_array_equal(values(result.measures, quantity), 1)


def test_mexa_over_layers_is_mean_and_best(llama: ProbedModel, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    texts, noise = (["".join(map(chr, generator.integers(97, 123, 30))) for _ in range(30)] for _ in range(2))
    changed = [text[:12] + other[12:] for text, other in zip(texts, noise, strict=True)]
    result = mexa(llama, prompts("en", texts) + prompts("it", changed), folder=tmp_path, pooling="mean")
    layers = values(result.measures, "mexa")
    assert len(layers) == 4 and 0 < layers.mean() < 1
    assert values(result.measures, "mexa_mean", layer=None)[0] == pytest.approx(layers.mean())
    assert values(result.measures, "mexa_max", layer=None)[0] == pytest.approx(layers.max())
    np.testing.assert_allclose(layers, result.values["base"][..., 0].mean(0))


def test_an_unknown_pivot_is_an_error(llama: ProbedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pivot language 'es'"):
        mexa(llama, prompts("en", TEXTS) + prompts("fr", TEXTS), folder=tmp_path, pivot="es")


def test_versions_change_the_same_words(llama: ProbedModel) -> None:
    versions = changed_versions(llama, prompts("en", TEXTS), LEXICONS, "en", ["de", "fr"], 0.4, 1)
    decode = llama.tokenizer.decode
    assert len(versions) > 5
    for version in versions:
        original = decode(list(version.original.ids))
        translated, foreign, random, dropped = (decode(list(tokens.ids)) for tokens in version.changed)
        words = original.strip(".").split()
        changed = {
            number
            for number, (old, new) in enumerate(zip(words, translated.strip(".").split(), strict=True))
            if old != new
        }
        assert len(changed) == version.words
        for number, (word, new, other) in enumerate(
            zip(words, translated.strip(".").split(), foreign.strip(".").split(), strict=True)
        ):
            if number not in changed:
                assert word == new == other
                continue
            translations = [found for pairs in LEXICONS.values() for found in pairs.get(word, ())]
            assert new in translations and other not in translations
            # A random word of the very language that was drawn.
            assert other.startswith("le") == new.startswith("le")
        # In this vocabulary a token is a letter: exactly the letters of the changed words are touched.
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        touched = {start + k for n, start in enumerate(starts[:-1]) if n in changed for k in range(len(words[n]))}
        assert dropped == "".join(letter for place, letter in enumerate(original) if place not in touched)
        pairs = zip(version.original.ids, version.changed[2].ids, strict=True)
        assert {place for place, (old, new) in enumerate(pairs) if old != new} <= touched and random != original


def test_similarity_is_the_cosine_of_the_versions(llama: ProbedModel, tmp_path: Path) -> None:
    texts = prompts("en", TEXTS)
    result = similarity(llama, texts, LEXICONS, folder=tmp_path, languages=["de"], ratio=0.4, seed=1)
    version = changed_versions(llama, texts, LEXICONS, "en", ["de"], 0.4, 1)[2]
    import torch

    with torch.inference_mode():
        states = [
            torch.cat(llama.model(ids, output_hidden_states=True).hidden_states).double().cpu().numpy()
            for tokens in (version.original, *version.changed)
            for ids in [torch.tensor([tokens.ids], device=llama.model.device)]
        ]
    for column, changed in enumerate(states[1:]):
        last = geometry.cosine(states[0][:, -1], changed[:, -1])
        mean = geometry.cosine(states[0].mean(1), changed.mean(1))
        found = result.values["base"][2, :, 2 * column : 2 * column + 2]
        assert_equal_up_to_rounding(found, np.stack([last, mean], axis=-1))
    # Of each version the columns are the last token and the mean.
    array = result.values["base"].reshape(*result.values["base"].shape[:2], -1, 2)
    for column, control in enumerate(CONTROLS, start=1):
        found = values(result.measures, "advantage_mean", other=control)
        # Small differences of cosines.
        np.testing.assert_allclose(
            found, (array[:, :, 0, 1] - array[:, :, column, 1]).mean(0), rtol=0, atol=rounding(1)
        )
    assert_equal_up_to_rounding(
        values(result.measures, "similarity_last", other=TRANSLATIONS), array[:, :, 0, 0].mean(0)
    )


def test_without_changed_words_there_is_nothing_to_compare(llama: ProbedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no word of the texts was changed"):
        similarity(llama, prompts("en", TEXTS), LEXICONS, folder=tmp_path, languages=["de"], ratio=0)
    with pytest.raises(UserError, match="no word that is not a translation of 'two'"):
        one_word = {("en", "de"): {"two": ("zwei",)}}
        similarity(llama, prompts("en", TEXTS), one_word, folder=tmp_path, languages=["de"], ratio=1.0)
    with pytest.raises(UserError, match="no lexicon from en to es"):
        similarity(llama, prompts("en", TEXTS), LEXICONS, folder=tmp_path, languages=["es"])
    with pytest.raises(UserError, match="several languages: en, de"):
        similarity(llama, prompts("en", TEXTS) + prompts("de", TEXTS), LEXICONS, folder=tmp_path, languages=["de"])


@pytest.mark.slow
def test_adapters_show_in_every_probe(
    tiny: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    model = ProbedModel(str(tiny("llama")), [adapter("idle", strength=0), adapter("real", strength=0.8)])
    pair = prompts("en", TEXTS) + prompts("de", [text[::-1] for text in TEXTS])
    found = {
        "pca": pca(model, pair, folder=tmp_path).measures,
        "mexa": mexa(model, pair, folder=tmp_path).measures,
        "similarity": similarity(
            model, prompts("en", TEXTS), LEXICONS, folder=tmp_path, languages=["de"], ratio=0.4
        ).measures,
    }
    for probe, measures in found.items():
        idle = [m for m in measures if (m.variant, m.minus) == ("idle", "base")]
        real = [m for m in measures if (m.variant, m.minus) == ("real", "base")]
        assert idle and len(idle) == len(real)
        assert not any(m.value or m.low or m.high for m in idle if m.value == m.value), probe
        if probe != "mexa":  # whose steps of 1/8 need not move
            assert any(abs(m.value) > 1e-3 for m in real), probe


@pytest.mark.real
def test_gemma_aligns_five_languages_in_the_middle(gemma: Path, shared_data: Path, tmp_path: Path) -> None:
    sentences = parallel_sentences(str(shared_data / "flores_sample"), limit=25)
    assert {sentence.language for sentence in sentences} == {"en", "de", "es", "fr", "it"}
    result = mexa(ProbedModel(str(gemma)), sentences, folder=tmp_path)
    for language in ("de", "es", "fr", "it"):
        layers = values(result.measures, "mexa", language=language)
        assert layers.max() > 0.9 > 1 / 49
        # Not at the embedding: it knows only which tokens a sentence has.
        assert layers.argmax() > 0
