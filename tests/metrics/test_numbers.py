from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from babel.numbers import format_decimal, get_decimal_symbol
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.numbers import DECIMAL_COMMA, final_number, numbers


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        # Thousands separators.
        ("en", "276,000", "276000"),
        ("en", "1,234,567.5", "1234567.5"),
        ("de", "114.200", "114200"),
        ("de", "1.234.567,25", "1234567.25"),
        ("de", "80’000", "80000"),
        ("fr", "23\u202f786", "23786"),
        ("fr", "23 786", "23786"),
        ("es", "80 000 dólares", "80000"),
        ("ru", "276\u00a0000 рублей", "276000"),
        ("hi", "12,34,567", "1234567"),
        ("zh", "276，000", "276000"),
        # Decimal marks, by form and, where the form leaves it open, by language.
        ("de", "2,5", "2.5"),
        ("de", "2.5", "2.5"),
        ("en", "2.125", "2.125"),
        ("de", "2.125", "2125"),
        ("de", "2,125", "2.125"),
        ("en", "2,125", "2125"),
        ("de", "0.125", "0.125"),
        # Three zeros are thousands in any language: a model answering a German question in the English style.
        ("de", "5,000", "5000"),
        ("en", "5.000", "5000"),
        # Native digits.
        ("bn", "১,২৩৪", "1234"),
        ("th", "๑๘ บาท", "18"),
        ("hi", "१८.५", "18.5"),
        ("ar", "١٬٢٣٤٫٥", "1234.5"),
        ("ja", "１８ドル", "18"),
        # Numeral signs of Chinese, Japanese and Korean.
        ("zh", "7万美元", "70000"),
        ("ja", "3万5千円", "35000"),
        ("ja", "1億2000万", "120000000"),
        ("zh", "16千克", "16"),
        ("ko", "7만 달러", "70000"),
        # Units, punctuation and signs.
        ("en", "$18.", "18"),
        ("en", "18 dollars", "18"),
        ("en", "150%", "150"),
        ("en", "20 m2", "20"),
        ("bn", "18টি ডিম", "18"),
        ("th", "มี18คน", "18"),
        ("en", "-5", "-5"),
        ("en", "−5", "-5"),
        ("en", "-$5", "-5"),
        ("en", "$-5", "-5"),
    ],
)
def test_one_number(language: str, text: str, expected: str) -> None:
    assert numbers(text, language) == [Decimal(expected)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "16 - 3 = 13", [16, 3, 13]),
        ("en", "16-3=13", [16, 3, 13]),
        ("en", "1,2,3", [1, 2, 3]),
        ("fr", "En 2019 300 élèves", [2019, 300]),
        ("fr", "18 et 20 300", [18, 20300]),
        ("en", "18 300", [18, 300]),
        ("de", "am 12.05.2020", [12, 5, 2020]),
        ("en", "COVID-19", [19]),
        ("zh", "有3，4和5", [3, 4, 5]),
        ("en", "nothing", []),
    ],
)
def test_several_or_none(language: str, text: str, expected: list[int]) -> None:
    assert numbers(text, language) == [Decimal(number) for number in expected]


def test_decimal_comma_is_cldr() -> None:
    # Persian's own digits and marks are read by their characters, so its Latin default does not matter.
    assert {code for code in LANGUAGES if get_decimal_symbol(code) == ","} == DECIMAL_COMMA


@given(
    value=st.decimals(min_value=-(10**9), max_value=10**9, places=2).filter(lambda value: value % 1 != 0)
    | st.integers(min_value=-(10**9), max_value=10**9).map(Decimal),
    language=st.sampled_from(sorted(LANGUAGES)),
)
def test_reads_what_cldr_writes(value: Decimal, language: str) -> None:
    written = format_decimal(value, locale=language)
    # Babel shortens to three decimals; none of these has as many.
    assert numbers(written, language) == [value], written


def test_final_number_prefers_the_marker() -> None:
    reasoning = "16 - 3 - 4 = 9. The answer is 18. She has 2 ducks left."
    assert final_number(reasoning, "en", "The answer is") == 18
    assert final_number(reasoning, "en") == 2
    assert final_number("16 - 3 = 13", "en", "The answer is") == 13
    assert final_number("The answer is 4. The answer is $18 for 2 days", "en", "The answer is") == 18
    assert final_number("no idea", "en", "The answer is") is None


def test_every_gold_answer_of_mgsm_is_read(shared_data: Path) -> None:
    with_comma = []
    for line in (shared_data / "mgsm" / "mgsm_en.tsv").read_text(encoding="utf-8").splitlines():
        answer = line.split("\t")[1]
        assert numbers(answer, "en") == [int(answer.replace(",", ""))]
        with_comma += [answer] if "," in answer else []
    assert with_comma == ["2,125", "114,200", "276,000", "5,600"]
