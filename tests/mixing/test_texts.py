from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import Mixture, Source, mix_parallel, mix_texts
from lm_eval_xling.records import MixedText, Unit
from tests.mixing import strategies

FIVE = Mixture({"en": 1, "fr": 1, "de": 1, "es": 1, "it": 1})


@given(strategies.texts, strategies.languages, strategies.units, st.integers(1, 9), st.integers(0, 3))
def test_the_identity_translator_gives_the_input_byte_for_byte(text, language, unit, words, seed):
    [mixed] = mix_texts([Source("d", text, language)], FIVE, strategies.identity, unit=unit, words=words, seed=seed)
    assert mixed.text == text
    assert mixed.source == text
    assert MixedText.from_json(mixed.as_json()) == mixed


@given(strategies.texts, strategies.languages, strategies.units, st.integers(0, 3))
def test_any_translation_keeps_the_source_and_loses_no_unit(text, language, unit, seed):
    source = Source("d", text, language)
    [mixed] = mix_texts([source], FIVE, strategies.mark, unit=unit, words=3, seed=seed)
    assert mixed.source == text
    for part in mixed.units:
        if part.source is not None:
            assert part.text.startswith(f"⟦{language}>{part.language}:")
        else:
            assert part.language == language
    [kept] = mix_texts([source], FIVE, strategies.refuse, unit=unit, words=3, seed=seed)
    assert kept.text == text
    assert {part.language for part in kept.units} <= {language}


def test_result_depends_on_the_id_and_not_on_the_batch():
    sources = [Source(str(index), f"Text {index}. More of it! And the end?", "en") for index in range(40)]
    together = mix_texts(sources, FIVE, strategies.mark, unit="sentence")
    alone = [mix_texts([source], FIVE, strategies.mark, unit="sentence")[0] for source in reversed(sources)]
    assert together == alone[::-1]
    assert together != mix_texts(sources, FIVE, strategies.mark, unit="sentence", seed=43)


def test_one_call_a_language_pair_without_repeats():
    calls = []

    def translate(texts, source, target):
        calls.append((source, target))
        assert len(set(texts)) == len(texts)
        return strategies.identity(texts, source, target)

    mix_texts([Source(str(n), "Same. Same. Same. Same.", "en") for n in range(50)], FIVE, translate, unit="sentence")
    assert sorted(calls) == [("en", "de"), ("en", "es"), ("en", "fr"), ("en", "it")]


def test_numbers_stay_and_refused_units_name_the_drawn_language():
    only = Mixture({"fr": 1})
    [mixed] = mix_texts([Source("d", "1990. Cats sleep.", "en")], only, strategies.refuse, unit="sentence")
    assert mixed.units == (Unit("1990.", "en", " "), Unit("Cats sleep.", "en", fallback_from="fr"))


def test_a_document_unit_is_drawn_once_and_split_only_where_a_sentence_was_refused():
    def translate(texts, source, target):
        return [None if text.startswith("None") else text.upper() for text in texts]

    source = Source("d", "One apple.\n\nTwo boys. None came. Three dogs.\n", "en")
    [mixed] = mix_texts([source], Mixture({"fr": 1}), translate, unit="document")
    assert mixed.units == (
        Unit("ONE APPLE.\n\nTWO BOYS.", "fr", " ", "One apple.\n\nTwo boys."),
        Unit("None came.", "en", " ", fallback_from="fr"),
        Unit("THREE DOGS.", "fr", "\n", "Three dogs."),
    )


def test_sentences_from_a_language_without_spaces_are_not_glued():
    source = Source("d", "你好。我是谁？好。", "zh")
    [mixed] = mix_texts([source], Mixture({"en": 1}), lambda texts, *_: ["Hi." for _ in texts], unit="sentence")
    assert mixed.text == "Hi. Hi. Hi."
    assert mixed.source == source.text


@given(strategies.texts.filter(str.strip), strategies.units, st.integers(1, 9))
def test_parallel_copies_give_the_input_byte_for_byte(text, unit, words):
    copies = dict.fromkeys(("en", "fr", "de", "es", "it"), text)
    mixed = mix_parallel(copies, "en", FIVE, id="d", unit=unit, words=words)
    assert mixed.text == text
    assert mixed.source == text


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_parallel_chunks_cover_every_word_of_every_language_once(first, second, third, words):
    texts = {
        language: " ".join(f"{language}{index}" for index in range(count))
        for language, count in (("en", first), ("fr", second), ("de", third))
    }
    for language in texts:
        everything = [
            unit.text
            for unit in mix_parallel(texts, "en", Mixture({language: 1}), id="d", unit="chunk", words=words).units
        ]
        assert " ".join(everything) == texts[language]


def test_parallel_sentences_stand_against_each_other():
    texts = {"en": "Who is he? Where was he born?", "fr": "Qui est-il ? Où est-il né ?"}
    mixture = Mixture({"en": 1, "fr": 1})
    found = {mix_parallel(texts, "en", mixture, id=str(n), unit="sentence").text for n in range(30)}
    assert found == {
        "Who is he? Where was he born?",
        "Qui est-il ? Où est-il né ?",
        "Who is he? Où est-il né ?",
        "Qui est-il ? Where was he born?",
    }


def test_parallel_lines_with_other_sentence_counts_stand_whole():
    texts = {"en": "One. Two.\nThree.", "fr": "Un et deux.\nTrois."}
    mixed = mix_parallel(texts, "en", Mixture({"fr": 1}), id="d", unit="sentence")
    assert [(unit.text, unit.source) for unit in mixed.units] == [("Un et deux.", "One. Two."), ("Trois.", "Three.")]


def test_parallel_texts_must_be_there():
    with pytest.raises(UserError, match="no 'fr' text"):
        mix_parallel({"en": "Hi.", "fr": " "}, "en", Mixture({"fr": 1}), id="d", unit="sentence")
