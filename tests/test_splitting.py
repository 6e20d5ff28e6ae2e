from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.errors import UserError
from lm_eval_xling.splitting import paragraphs, separators, split, word_spans
from tests.mixing import strategies


@given(strategies.texts, strategies.languages, strategies.units, st.integers(1, 9))
def test_spans_are_ordered_and_leave_only_white_space_and_heading_marks(text, language, unit, words):
    spans = [span for pieces in split(text, language, unit, words) for span in pieces]
    leading, between = separators(text, spans)
    parts = [text[span.start : span.end] for span in spans]
    assert leading + "".join(part + gap for part, gap in zip(parts, between, strict=True)) == text
    assert all(part == part.strip() and part for part in parts)
    assert all("\n" not in part and "\r" not in part for part in parts)
    for gap in (leading, *between):
        assert not gap.replace("=", "").strip()
    assert all(first.end <= second.start for first, second in zip(spans, spans[1:], strict=False))


@given(strategies.texts, strategies.languages)
def test_words_hold_every_character_but_white_space(text, language):
    spans = word_spans(text, language)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())


def units(text, language, unit, words=8):
    return [[text[start:end] for start, end in pieces] for pieces in split(text, language, unit, words)]


def test_chunks_count_words_and_stay_within_a_paragraph():
    text = "a b c d e f g h i j. K l m n o p q r\ns t"
    assert units(text, "en", "chunk", 8) == [["a b c d e f g h"], ["i j. K l m n o p"], ["q r"], ["s t"]]


def test_languages_without_spaces_are_chunked_at_words():
    # 我 | 昨天 | 在 | 北京 | 大学 | 学习 | 了 | 中文 | 然后 | 回家
    text = "我昨天在北京大学学习了中文，然后回家。"
    assert units(text, "zh", "chunk", 5) == [["我昨天在北京大学"], ["学习了中文，然后回家。"]]
    assert [text[a:b] for a, b in word_spans(text, "zh")][:4] == ["我", "昨天", "在", "北京"]
    thai = "ฉันกำลังเรียนภาษาไทย"
    assert [thai[a:b] for a, b in word_spans(thai, "th")] == ["ฉัน", "กำลัง", "เรียน", "ภาษา", "ไทย"]


def test_sentences_know_abbreviations():
    text = "Dr. Smith met Mr. Jones. They talked.\n\nA new paragraph!"
    assert units(text, "en", "sentence") == [["Dr. Smith met Mr. Jones."], ["They talked."], ["A new paragraph!"]]
    assert units("你好。我是谁？", "zh", "sentence") == [["你好。"], ["我是谁？"]]


def test_a_document_is_one_unit_of_sentences():
    assert units("One. Two.\nThree.", "en", "document") == [["One.", "Two.", "Three."]]
    assert units(" \n", "en", "document") == []


@pytest.mark.parametrize("heading", [" = = Life cycle = = ", "== Life cycle ==", " = Life cycle = "])
def test_heading_marks_are_not_translated(heading):
    assert units(f"{heading}\nText.", "en", "sentence") == [["Life cycle"], ["Text."]]


def test_a_long_line_of_marks_is_read_at_once():
    # With any number of marks to a heading, this would take hours.
    assert len(list(paragraphs("= " * 20_000))) == 1
    assert list(paragraphs("= = = = = = Deep = = = = = =")) == [(12, 16)]


def test_an_equation_is_no_heading():
    assert units("= x + 1 == y", "en", "sentence") == [["= x + 1 == y"]]


def test_unknown_unit_names_the_nearest():
    with pytest.raises(UserError, match="sentence"):
        split("a", "en", "sentences")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one word"):
        split("a", "en", "chunk", 0)
