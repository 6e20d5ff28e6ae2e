from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import Mixture, Source, switch_words
from lm_eval_xling.records import Unit
from tests.mixing import strategies

FIVE = Mixture({"en": 1, "fr": 1, "de": 1, "es": 1, "it": 1})


@given(strategies.texts, strategies.languages, st.floats(0, 1))
def test_the_identity_translator_gives_the_input_byte_for_byte(text, language, ratio):
    [mixed] = switch_words([Source("d", text, language)], FIVE, strategies.identity, ratio=ratio)
    assert mixed.text == text
    assert mixed.source == text


@given(strategies.texts, strategies.languages, st.floats(0, 1))
def test_any_lexicon_keeps_the_source(text, language, ratio):
    for translate in (strategies.mark, strategies.refuse):
        [mixed] = switch_words([Source("d", text, language)], FIVE, translate, ratio=ratio)
        assert mixed.source == text


def test_the_share_of_switched_words_is_the_ratio():
    sources = [Source(str(n), "alpha, beta; gamma - delta (epsilon) 1990. " * 20, "en") for n in range(40)]
    mixed = switch_words(sources, FIVE, strategies.mark)
    switched = [unit for text in mixed for unit in text.units if unit.source is not None]
    assert binomtest(len(switched), 40 * 20 * 5, 0.16).pvalue > 0.01
    assert {unit.language for unit in switched} == {"fr", "de", "es", "it"}
    assert all(unit.source.isalpha() for unit in switched)


def test_words_without_translation_stay_and_are_marked():
    def translate(words, source, target):
        return ["chat" if word == "cat" else None for word in words]

    [mixed] = switch_words([Source("d", "The cat, 9!", "en")], Mixture({"fr": 1}), translate, ratio=1)
    assert mixed.units == (
        Unit("The", "en", " ", fallback_from="fr"),
        Unit("chat", "fr", source="cat"),
        Unit(", 9!", "en"),
    )


def test_replaced_words_of_a_language_without_spaces_are_not_glued():
    [mixed] = switch_words([Source("d", "我学习。", "zh")], Mixture({"en": 1}), lambda w, *_: ["x"] * len(w), ratio=1)
    assert mixed.text == "x x。"


def test_bad_ratio_and_lonely_matrix_language():
    with pytest.raises(UserError, match="ratio"):
        switch_words([], FIVE, strategies.identity, ratio=1.5)
    with pytest.raises(UserError, match="empty"):
        switch_words([Source("d", "x", "en")], Mixture({"en": 1}), strategies.identity)
