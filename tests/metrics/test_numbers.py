from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from babel import Locale
from babel.localedata import locale_identifiers
from babel.numbers import format_decimal, get_decimal_symbol
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lm_eval_xling import literals
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.numbers import decimal_mark, final_number, numbers


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
        ("ko", "7만 5천 원", "75000"),
        ("ko", "3만 500원", "30500"),
        ("ko", "2백만", "2000000"),
        ("zh", "3.5 万", "35000"),
        ("zh", "1.2亿", "120000000"),
        # A space groups in every language (ISO 80000-1).
        ("en", "1 250", "1250"),
        ("de", "1 250,50", "1250.50"),
        ("th", "1 250 000", "1250000"),
        # LaTeX.
        ("en", "9{,}500", "9500"),
        ("en", "\\$1,\\!200", "1200"),
        ("en", "12\\,345.5", "12345.5"),
        ("de", "3{,}14", "3.14"),
        # Marks of Arabic and Persian.
        ("ar", "١،٢٥٠", "1250"),
        ("ar", "٣،٥", "3.5"),
        ("fa", "۱۲/۵", "12.5"),
        ("fa", "۱٬۲۵۰٫۵", "1250.5"),
        ("ja", "３．５", "3.5"),
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
        ("en", "18 300 7", [18, 300, 7]),
        ("en", "in 2019 1 300", [2019, 1300]),
        ("en", "3/4", [3, 4]),
        ("fa", "3/4", [3, 4]),
        ("fa", "۱۴۰۲/۰۵/۱۲", [1402, 5, 12]),
        ("en", "between 100, 200", [100, 200]),
        ("de", "am 12.05.2020", [12, 5, 2020]),
        ("en", "COVID-19", [19]),
        ("zh", "有3，4和5", [3, 4, 5]),
        ("en", "nothing", []),
    ],
)
def test_several_or_none(language: str, text: str, expected: list[int]) -> None:
    assert numbers(text, language) == [Decimal(number) for number in expected]


def test_decimal_marks_are_those_of_cldr() -> None:
    # Persian's own digits and marks are read by their characters, so its Latin default does not matter.
    assert {code: decimal_mark(code) for code in LANGUAGES} == {code: get_decimal_symbol(code) for code in LANGUAGES}


ZEROS = {"latn": "0", "arab": "٠", "arabext": "۰", "beng": "০", "deva": "०", "thai": "๐", "telu": "౦", "fullwide": "０"}


def _conventions(language: str) -> list[tuple[str, str]]:
    """CLDR's locales of a language, and the numbering systems of each."""
    made = []
    for identifier in [language, *locale_identifiers()]:
        if identifier == language or identifier.startswith(f"{language}_"):
            systems = Locale.parse(identifier).number_symbols
            made += [(identifier, system) for system in systems if system in ZEROS]
    return made


CONVENTIONS = [(code, *convention) for code in LANGUAGES for convention in _conventions(code)]
VALUES = st.integers(-(10**9), 10**9).map(Decimal) | st.decimals(-(10**9), 10**9, places=2)
VALUES |= st.decimals(-(10**9), 10**9, places=3)


def _written(value: Decimal, identifier: str, system: str) -> str:
    written = format_decimal(value, locale=identifier, numbering_system=system)
    zero = ord(ZEROS[system])
    return "".join(chr(zero + int(character)) if character in "0123456789" else character for character in written)


def _is_ambiguous(written: str, language: str, identifier: str, system: str) -> bool:
    """Whether a form means another number in the language itself: 1.234 of en_US and de, written for es_MX or de_CH."""
    marks = [character for character in written.strip("-\u2212") if not character.isalnum() and character in ".,"]
    own = get_decimal_symbol(identifier, numbering_system=system)
    return len(marks) == 1 and own != decimal_mark(language)


def test_the_conventions_are_many() -> None:
    assert len({identifier for _, identifier, _ in CONVENTIONS}) > 200
    assert {"latn", "arab", "arabext", "beng", "deva"} <= {system for *_, system in CONVENTIONS}


@settings(max_examples=1500, deadline=None)
@given(value=VALUES, convention=st.sampled_from(CONVENTIONS))
def test_reads_what_cldr_writes(value: Decimal, convention: tuple[str, str, str]) -> None:
    language, identifier, system = convention
    written = _written(value, identifier, system)
    assume(not _is_ambiguous(written, language, identifier, system))
    # No one writes three zeros after a decimal mark, so that they are read as thousands; CLDR leaves them out.
    assert numbers(written, language) == [value], written


SENTENCES = {code: literals.word(code, "answers.final") for code in LANGUAGES if literals.file_of(code).is_file()}


@settings(max_examples=1000, deadline=None)
@given(
    value=VALUES,
    convention=st.sampled_from([convention for convention in CONVENTIONS if convention[0] in SENTENCES]),
    form=st.sampled_from(["{}", "**{}**", "$\\boxed{{{}}}$", "{} "]),
)
def test_reads_it_in_the_final_sentence(value: Decimal, convention: tuple[str, str, str], form: str) -> None:
    language, identifier, system = convention
    written = _written(value, identifier, system)
    assume(not _is_ambiguous(written, language, identifier, system))
    sentence = SENTENCES[language]
    marker = sentence.split("{answer}")[0].strip()
    text = f"16 - 3 = 13\n\n{sentence.format(answer=form.format(written))}"
    assert final_number(text, language, marker) == value, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_digits_of_every_script(language: str) -> None:
    for zero in ZEROS.values():
        text = "".join(chr(ord(zero) + digit) for digit in (4, 0, 7, 1))
        assert numbers(text, language) == [4071]


def test_final_number_prefers_the_marker() -> None:
    reasoning = "16 - 3 - 4 = 9. The answer is 18. She has 2 ducks left."
    assert final_number(reasoning, "en", "The answer is") == 18
    assert final_number(reasoning, "en") == 18
    assert final_number("16 - 3 = 13, and 2 are left", "en") == 2
    assert final_number("16 - 3 = 13", "en", "The answer is") == 13
    assert final_number("The answer is 4. The answer is $18 for 2 days", "en", "The answer is") == 18
    assert final_number("no idea", "en", "The answer is") is None


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "**Answer: 18**", "18"),
        ("en", "Answer:\n\n18 eggs", "18"),
        ("en", "Janet makes **$18** every day.", "18"),
        ("en", "**Step 1:** 16 - 3 = 13\n\n**Step 2:** 13 × 2 = 26\n\nSo the final answer is **26**.", "26"),
        ("en", "She earns \\(9 \\times 2 = \\boxed{18}\\) dollars in 1 day.", "18"),
        ("en", "The total is $\\boxed{\\$1{,}250.50}$.", "1250.50"),
        ("en", "The answer is 3 + 4 = 7 apples.", "7"),
        ("en", "The answer is 3*4=12", "12"),
        ("en", "The answer is 20% of 50, which is 10.", "10"),
        ("en", "The answer is 18, because 3 × 6 = 18 and 2 × 5 = 10.", "18"),
        ("en", "The answer is 18 eggs (6 × 3).", "18"),
        ("en", "The answer is x + y = 7. That is less than 9.", "7"),
        ("en", "10² = 100", "100"),
        ("de", "Die Antwort lautet 20 % von 50, das sind 10.", "10"),
        ("fr", "La réponse est 20 % de 50, soit 10.", "10"),
        ("es", "La respuesta es 3 + 4, es decir, 7.", "7"),
        ("zh", "答案是 3.5 万。", "35000"),
        ("ko", "답은 3만 500원입니다.", "30500"),
        ("ru", "Ответ: 1 250 рублей, это за 2 дня.", "1250"),
        ("en", "<think>The answer is 7.</think>The answer is 8.", "8"),
    ],
)
def test_chat_answers(language: str, text: str, expected: str) -> None:
    assert final_number(text, language) == Decimal(expected)
    assert final_number(text, language, SENTENCES[language].split("{answer}")[0].strip()) == Decimal(expected)


def test_thinking_is_not_read() -> None:
    assert final_number("<think>The answer is 7.", "en") is None
    assert final_number("It is 7.<END>It is 8.", "en", think_end_token="<END>") == 8


def test_the_shared_cases_are_read(shared_data: Path) -> None:
    cases = (shared_data.parent / "cases" / "numbers.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for case in cases:
        language, text, expected, _ = case.split("\t")
        marker = SENTENCES[language].split("{answer}")[0].strip()
        assert final_number(text, language, marker) == final_number(text, language) == Decimal(expected), text


def test_every_gold_answer_of_mgsm_is_read(shared_data: Path) -> None:
    with_comma = []
    for line in (shared_data / "mgsm" / "mgsm_en.tsv").read_text(encoding="utf-8").splitlines():
        answer = line.split("\t")[1]
        assert numbers(answer, "en") == [int(answer.replace(",", ""))]
        with_comma += [answer] if "," in answer else []
    assert with_comma == ["2,125", "114,200", "276,000", "5,600"]
