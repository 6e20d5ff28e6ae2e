from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.answers import answer_scores, best_exact_match, best_f1, f1, normalise, words
from lm_eval_xling.metrics.folding import fold


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


TYPED = [
    # language, gold, the same as others type it
    ("vi", "Đường Nguyễn Huệ 1990", unicodedata.normalize("NFD", "Đường Nguyễn Huệ 1990")),
    ("ro", "Țara și județul", "Ţara şi judeţul"),
    ("ro", "ȚARA", "ţara"),
    ("tr", "İstanbul Ilıca", "istanbul ılıca"),
    ("tr", "ISPARTA", "ısparta"),
    ("de", "Straße", "STRASSE"),
    ("zh", "1990年NBA", "１９９０年ＮＢＡ"),
    ("ja", "カタカナ", "ｶﾀｶﾅ"),
    ("ar", "أحمد إلى آسيا", "احمد الي اسيا"),
    ("ar", "مُحَمَّد", "محمد"),
    ("ar", "محمد", "محـــمد"),
    ("ar", "سنة 1990", "سنة ١٩٩٠"),
    ("ar", "لا", "\ufefb"),
    ("fa", "کتاب ی", "كتاب ي"),
    ("he", "שָׁלוֹם", "שלום"),
    ("hi", "1990", "१९९०"),
    ("th", "ปี 1990", "ปี ๑๙๙๐"),
    ("el", "Αθήνα", "ΑΘΗΝΑ"),
    ("el", "Οδυσσέας", "ΟΔΥΣΣΕΑΣ"),
    ("ru", "Королёв", "Королев"),
    ("uk", "п’ять", "п\u02bcять"),
    ("en", "fifty\u200b per cent", "fifty per cent"),
]


@pytest.mark.parametrize(("language", "gold", "typed"), TYPED)
def test_folding_takes_equal_what_a_reader_does(language: str, gold: str, typed: str) -> None:
    scores = answer_scores(typed, [gold], language)
    assert scores["exact_match_folded"] == scores["f1_folded"] == 1.0
    # MLQA's metric stays as it is published, and loses all of these.
    assert scores["exact_match"] == 0.0


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("tr", "ılık", "ilik"),
        ("vi", "bán", "bàn"),
        ("de", "schon", "schön"),
        ("es", "ano", "año"),
        ("ro", "fata", "fața"),
        ("ar", "سماء", "سما"),
        ("hi", "कल", "काल"),
        ("th", "ใกล้", "ไกล"),
        ("ru", "и", "й"),
        ("ja", "かき", "かぎ"),
    ],
)
def test_folding_keeps_words_apart(language: str, one: str, other: str) -> None:
    assert answer_scores(one, [other], language)["exact_match_folded"] == 0.0


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(list(LANGUAGES)))
def test_folded_scores_are_never_lower(answer: str, reference: str, language: str) -> None:
    scores = answer_scores(answer, [reference], language)
    assert scores["exact_match_folded"] >= scores["exact_match"]
    assert scores["f1_folded"] >= scores["f1"]
    assert fold(fold(answer, language), language) == fold(answer, language)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, answer), language) == fold(answer, language)


@pytest.mark.parametrize("language", ["de", "en", "es", "ro", "ru", "tr", "vi", "zh"])
def test_decomposed_gold_answers_are_right(shared_data: Path, language: str) -> None:
    data = json.loads((shared_data / "xquad" / f"xquad.{language}.json").read_text(encoding="utf-8"))["data"]
    golds = [q["answers"][0]["text"] for article in data for text in article["paragraphs"] for q in text["qas"]]
    scores = [answer_scores(unicodedata.normalize("NFD", gold), [gold], language) for gold in golds]
    assert all(score["exact_match_folded"] == score["f1_folded"] == 1.0 for score in scores)
    lost = sum(score["exact_match"] == 0.0 for score in scores)
    assert lost == {"vi": 848, "ro": 458, "de": 209, "en": 10, "es": 334, "ru": 260, "tr": 445, "zh": 1}[language]
    # Two gold answers that MLQA's metric parts are not made equal.
    distinct = {tuple(normalise(gold, language)) for gold in golds}
    assert len({tuple(normalise(fold(gold, language), language)) for gold in golds}) == len(distinct)
