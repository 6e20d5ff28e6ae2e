from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.metrics.answers import best_exact_match, best_f1, f1, normalise, words


@pytest.mark.parametrize(
    ("language", "answer", "expected"),
    [
        ("en", "The  Denver Broncos.", ["denver", "broncos"]),
        ("en", "an “A-team”", ["ateam"]),
        ("de", "Die Denver Broncos", ["denver", "broncos"]),
        ("en", "Die Denver Broncos", ["die", "denver", "broncos"]),
        ("es", "los Broncos de la ciudad", ["broncos", "de", "ciudad"]),
        ("vi", "những năm 1990", ["năm", "1990"]),
        ("ar", "الكتاب", ["كتاب"]),
        ("zh", "丹佛野马队。", list("丹佛野马队")),
        ("zh", "NFL冠军赛 50", ["nfl", "冠", "军", "赛", "50"]),
        ("zh", "《星球大战》", list("星球大战")),
        # ที่ and น้ำ: the marks stay with their consonants.
        ("th", "ที่น้ำ", ["ที่", "น้", "ำ"]),
        ("ru", "«Динамо»", ["динамо"]),
        ("tr", "bir şehir", ["bir", "şehir"]),
    ],
)
def test_normalise(language: str, answer: str, expected: list[str]) -> None:
    assert normalise(answer, language) == expected


@given(st.text())
def test_words_lose_only_spaces(text: str) -> None:
    assert "".join(words(text)) == "".join(text.split())


def test_f1_by_hand() -> None:
    # Shared {denver}: precision 1/2, recall 1/3, F1 = 2 * (1/2 * 1/3) / (1/2 + 1/3) = 0.4.
    assert f1("the Denver team", "Denver Broncos club", "en") == pytest.approx(0.4)
    # Two of three characters given, all of them right: precision 1, recall 2/3.
    assert f1("丹佛", "丹佛市", "zh") == pytest.approx(0.8)
    # A repeated word counts as often as both have it.
    assert f1("no no no", "no no", "en") == pytest.approx(0.8)
    assert f1("the", "a", "en") == 1.0
    assert f1("", "Denver", "en") == 0.0


def test_best_of_the_references() -> None:
    assert best_f1("Denver Broncos", ["Broncos", "the Denver Broncos"], "en") == 1.0
    assert best_exact_match("THE DENVER BRONCOS!", ["Broncos", "Denver Broncos"], "en") == 1.0
    assert best_exact_match("Broncos Denver", ["Denver Broncos"], "en") == 0.0
    # Articles of the wrong language are words.
    assert best_exact_match("die Broncos", ["Broncos"], "en") == 0.0
    assert best_exact_match("die Broncos", ["Broncos"], "de") == 1.0


@pytest.mark.parametrize("language", ["en", "es", "de", "vi", "zh"])
def test_agrees_with_the_harness_mlqa_on_real_answers(raw_data: Path, language: str) -> None:
    from lm_eval.tasks.mlqa.utils import exact_match_score, f1_score

    data = json.loads((raw_data / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
    answers = [
        answer["text"]
        for article in data
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
        for answer in question["answers"]
    ]
    assert answers
    for reference, other in zip(answers, answers[1:] + answers[:1], strict=True):
        mixture = f"{reference} {other}"
        assert f1(mixture, reference, language) == pytest.approx(f1_score(mixture, reference, language))
        for candidate in (mixture, reference.upper() + "!"):
            expected = exact_match_score(candidate, reference, language)
            assert best_exact_match(candidate, [reference], language) == expected, (candidate, reference)
