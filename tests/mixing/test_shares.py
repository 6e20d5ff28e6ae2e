"""A share of a text's units in another language."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.errors import UserError
from lm_eval_xling.mixing import split, switch_parallel, switch_translated
from lm_eval_xling.records import MixedText, Unit
from tests.mixing import strategies

UNITS = st.sampled_from(["sentence", "chunk", "word"])


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


@given(strategies.texts, strategies.languages, UNITS, st.integers(0, 100), st.integers(0, 3))
def test_any_translation_keeps_the_source(text, matrix, unit, share, seed):
    embedded = "fr"
    for translate in (strategies.mark, strategies.refuse):
        mixed = switch_translated({"d": text}, matrix, embedded, share, translate, unit=unit, words=3, seed=seed)["d"]
        assert mixed.source == text and MixedText.from_json(mixed.as_json()) == mixed
        assert all((one.source is None) == (one.language == matrix) for one in mixed.units)
        assert all(any(map(str.isalpha, one.source)) for one in mixed.units if one.source is not None)
        if translate is strategies.refuse or share == 0:
            assert mixed.text == text
        elif share == 100:
            kept = "".join(one.text for one in mixed.units if one.language == matrix)
            assert not any(map(str.isalpha, kept)), "every unit with a letter is switched"


@given(st.integers(1, 30), st.integers(0, 5), st.sampled_from("abc"), st.sets(st.integers(0, 29)))
def test_units_without_a_translation_give_way_to_the_next(count, seed, id, unknown):
    text = " ".join(f"w{index}x" for index in range(count))
    asked = []

    def translate(texts, source, target):
        asked.extend(texts)
        return [None if int(one[1:-1]) in unknown else f"t{one[1:-1]}" for one in texts]

    before: set[str] = set()
    for share in range(0, 101, 10):
        asked.clear()
        mixed = switch_translated({id: text}, "en", "fr", share, translate, unit="word", seed=seed)[id]
        taken = {one.text for one in mixed.units if one.language == "fr"}
        assert before <= taken
        before = taken
        have = count - len(unknown & set(range(count)))
        assert len(taken) == have or abs(len(taken) - count * share / 100) < 1
        # Nothing is translated twice, and nothing that the share does not need.
        assert len(asked) == len(set(asked)) and len(asked) <= len(taken) + len(unknown & set(range(count)))
    assert len(before) == have


def test_units_of_all_texts_are_translated_together():
    calls = []

    def translate(texts, source, target):
        calls.append(list(texts))
        return [text.upper() for text in texts]

    texts = {"a": "one two, one", "b": "two three."}
    mixed = switch_translated(texts, "en", "de", 100, translate, unit="word")
    assert {id: text.text for id, text in mixed.items()} == {"a": "ONE TWO, ONE", "b": "TWO THREE."}
    assert [sorted(call) for call in calls] == [["one", "three", "two"]]


def test_pieces_of_a_language_without_spaces():
    def translate(texts, source, target):
        return ["he" if text == "他" else "study" if text == "学习" else None for text in texts]

    mixed = switch_translated({"d": "他学习数学。"}, "zh", "en", 100, translate, unit="word")["d"]
    assert mixed.text == "he study 数学。"
    assert mixed.units == (Unit("he ", "en", source="他"), Unit("study ", "en", source="学习"), Unit("数学。", "zh"))


def test_too_few_translations_are_counted(caplog):
    def translate(texts, source, target):
        return ["chat" if text == "cat" else None for text in texts]

    with caplog.at_level(logging.WARNING):
        mixed = switch_translated({"a": "cat dog", "b": "cat cat"}, "en", "fr", 100, translate, unit="word")
    assert mixed["a"].text == "chat dog" and mixed["b"].text == "chat chat"
    assert "in 1 of 2 texts fewer than 100 % of the units (word)" in caplog.text
