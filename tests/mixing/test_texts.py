from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import Mixture, Source, mix_parallel, mix_texts, split, switch_parallel
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


def switched(
    own: str, other: str, matrix: str, share: int, *, unit: str = "sentence", id: str = "d", **more: int
) -> MixedText:
    embedded = "fr" if matrix != "fr" else "de"
    return switch_parallel({matrix: own, embedded: other}, matrix, embedded, share, id=id, unit=unit, **more)


parallel = st.tuples(strategies.texts.filter(str.strip), strategies.texts.filter(str.strip))


@given(parallel, strategies.languages, st.sampled_from(["sentence", "chunk"]), st.integers(1, 9), st.integers(0, 3))
def test_a_switched_text_goes_from_one_text_to_the_other(texts, matrix, unit, words, seed):
    own, other = texts
    steps = [switched(own, other, matrix, share, unit=unit, words=words, seed=seed) for share in (0, 30, 60, 100)]
    assert all(mixed.source == own for mixed in steps)
    assert steps[0].text == own
    # Heading marks are white space of the text they stand in, as everywhere.
    if "=" not in own + other:
        assert steps[-1].text.strip() == other.strip()
    again = switched(own, other, matrix, 60, unit=unit, words=words, seed=seed)
    assert again == steps[2]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5), st.sampled_from("abc"))
def test_what_is_switched_at_one_share_is_switched_at_every_greater_one(first, second, seed, id):
    own, other = (" ".join(f"{code}{index}" for index in range(count)) for code, count in (("a", first), ("b", second)))
    units = len(split(own, "en", "chunk", 2))
    before: set[str] = set()
    for share in range(0, 101, 5):
        mixed = switched(own, other, "en", share, unit="chunk", words=2, seed=seed, id=id)
        taken = {word for word in mixed.text.split() if word.startswith("b")}
        assert before <= taken
        before = taken
        left = [word for word in mixed.text.split() if word.startswith("a")]
        # Every unit stands there once, in the one language or in the other, in the order of its text.
        assert left == sorted(left, key=lambda word: int(word[1:])) and mixed.text.split()
        if second >= first:
            kept = -(-len(left) // 2)
            assert abs(units * share / 100 - (units - kept)) < 1
    assert before == set(other.split())


def test_the_share_is_met_on_average_and_each_unit_is_taken_alike():
    own, other = "A one. A two. A three.", "B one. B two. B three."
    found = [switched(own, other, "en", 40, id=str(number)).text for number in range(600)]
    for number in ("one", "two", "three"):
        assert sum(f"B {number}" in text for text in found) / len(found) == pytest.approx(0.4, abs=0.07)
    # One or two of three sentences: never none, never all.
    assert {text.count("B") for text in found} == {1, 2}
    assert sum(switched("Alone.", "Seul.", "en", 40, id=str(n)).text == "Seul." for n in range(600)) == pytest.approx(
        240, abs=40
    )


@pytest.mark.parametrize(
    ("texts", "unit", "words", "text"),
    [
        # Without spaces words are ICU's, and neighbours that are switched stand as in their own text.
        ({"zh": "他在北京的大学学习数学。", "en": "He studies mathematics in Beijing."}, "chunk", 20, "whole"),
        ({"en": "One here. Two there.", "zh": "一在这里。二在那里。"}, "sentence", 8, "一在这里。二在那里。"),
        ({"th": "ภาษาไทยสวยงาม", "en": "Thai is beautiful"}, "chunk", 8, "Thai is beautiful"),
        # Own data can be in a language that the project does not know.
        ({"zh": "一在这里。二在那里。", "qya": "Minë sissë. Atta tanomë."}, "sentence", 8, "whole"),
        # Of unlike numbers of sentences it is unknown which was split or joined: the line is one unit.
        ({"en": "One. Two.", "de": "Eins und zwei."}, "sentence", 8, "Eins und zwei."),
    ],
)
def test_languages_without_spaces_and_unlike_sentences(texts, unit, words, text):
    matrix, embedded = texts
    mixed = switch_parallel(texts, matrix, embedded, 100, id="d", unit=unit, words=words)
    assert mixed.text == (texts[embedded] if text == "whole" else text)
    half = switch_parallel(texts, matrix, embedded, 50, id="d", unit=unit, words=words)
    pieces = [(unit.text.strip(), unit.language) for unit in half.units]
    assert all(piece in texts[language] for piece, language in pieces)


def test_a_switched_text_has_both_texts():
    with pytest.raises(UserError, match="no 'fr' text"):
        switched("Hi.", " ", "en", 50)
