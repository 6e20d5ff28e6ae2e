"""The ledger's invention: who is invented, what is said of whom, how names are spelt."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
import regex
from babel import Locale

from lm_eval_xling.catalog import load_rows
from lm_eval_xling.catalog.ledger import ATTRIBUTES, HALVES, LANGUAGES, MOST_PEOPLE, PATH, PEOPLE, load
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES as TABLE
from tests.generators import ledger as generator

SIZES = {"country": 16, "language": 16, "currency": 16, "month": 12, "weekday": 7}
RECORDS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]


def test_the_catalog_gives_the_first_people() -> None:
    assert load_rows("ledger", "German", "never") == load("de", "never", people=PEOPLE)
    assert load("en", "taught", people=3) == load("en", "taught", people=40)[: 3 * len(ATTRIBUTES)]


@pytest.mark.parametrize("half", HALVES)
def test_rows_are_parallel_in_every_language_and_spelling(half: str) -> None:
    english = load("en", half)
    for code in LANGUAGES:
        for row, other in zip(english, load(code, half, names="native"), strict=True):
            assert (row.id, row.answer, row.extra) == (other.id, other.answer, other.extra)
            assert len(set(other.options)) == 4 and other.language == code


def test_values_are_those_of_cldr() -> None:
    rows = {row.id: row for row in load("en", "taught")}
    months = {"fr": "janvier", "ja": "1月", "zh": "一月", "ru": "январь", "pl": "styczeń", "sw": "Januari"}
    first = next(record["names"] for record in RECORDS if record.get("attribute") == "month")
    assert {code: first[code] for code in months} == months, "the form that stands alone"
    for code in ("fr", "ja", "sw"):
        locale = Locale.parse(code)
        names = {Locale("en").territories[key]: name for key, name in locale.territories.items() if len(key) == 2}
        for row in load(code, "taught"):
            if row.extra["attribute"] == "country":
                assert [names[option] for option in rows[row.id].options] == list(row.options)


def test_names_are_everybodys_own_and_in_no_other_half() -> None:
    names = [row.fields["subject"] for half in HALVES for row in load("en", half, people=3000, attributes=["month"])]
    assert len({name.split()[1] for name in names}) == 9000, "a family name is somebody's alone"
    assert all(regex.fullmatch(r"[A-Z][a-z]{3} [A-Z][a-z]{5}", name) for name in names)
    other = [row.fields["subject"] for row in load("en", "taught", people=3000, seed=1, attributes=["month"])]
    assert len(set(other) & set(names)) < 30


def test_every_value_is_as_frequent_as_another() -> None:
    rows = load("en", "taught", people=48)
    for attribute, size in SIZES.items():
        counts = Counter(row.options[row.answer or 0] for row in rows if row.extra["attribute"] == attribute)
        assert len(counts) == size and max(counts.values()) - min(counts.values()) <= 1
    # What is said of a person in one attribute says nothing of another.
    pairs = Counter(
        (rows[start].options[rows[start].answer or 0], rows[start + 1].options[rows[start + 1].answer or 0])
        for start in range(0, len(rows), len(ATTRIBUTES))
    )
    assert max(pairs.values()) <= 3


def test_the_right_answer_stands_everywhere_and_a_default_half_holds_every_value() -> None:
    rows = load("en", "taught", people=400)
    places = Counter(row.answer for row in rows)
    assert all(abs(places[place] / len(rows) - 0.25) < 0.05 for place in range(4))
    shown = {(row.extra["attribute"], row.options[row.answer or 0]) for row in load("en", "taught")}
    assert len(shown) == sum(SIZES.values()), "no option would be wrong only because nobody has it"


@pytest.mark.parametrize("code", LANGUAGES)
def test_native_names_are_in_the_script_of_the_language(code: str) -> None:
    latin = [row.fields["subject"] for row in load(code, "taught", people=50, attributes=["month"])]
    native = [row.fields["subject"] for row in load(code, "taught", people=50, attributes=["month"], names="native")]
    script = {"Jpan": "Katakana", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Beng": "Bengali", "Thai": "Thai"}.get(
        TABLE[code].script
    )
    if script is None:
        assert native == latin, "CLDR has no rule"
        return
    assert len(set(native)) == len(native)
    for name in native:
        assert unicodedata.is_normalized("NFC", name)
        assert all(regex.fullmatch(rf"\p{{Script_Extensions={script}}}", letter) for letter in name if letter != " ")


def test_spellings_are_those_of_icu() -> None:
    # As uconv (ICU 72) spells them; the Russian and Bulgarian ones are those of any reader.
    spelt = {record["syllable"]: record["scripts"] for record in RECORDS if "syllable" in record}
    assert spelt["ka"] == {"Cyrl": "ка", "Jpan": "カ", "Deva": "क", "Beng": "ক", "Thai": "กะ"}
    assert spelt["zo"]["Cyrl"] == "зо" and spelt["mi"]["Jpan"] == "ミ" and spelt["lu"]["Thai"] == "ลุ"
    assert len(spelt) == 65 == len(generator.syllables())


def test_what_cannot_be_invented_is_refused() -> None:
    with pytest.raises(UserError, match="no words in Korean"):
        load("ko", "taught")
    for people in (0, MOST_PEOPLE + 1):
        with pytest.raises(UserError, match=f"{people} people"):
            load("en", "taught", people=people)
    with pytest.raises(UserError, match="split of dataset 'ledger'"):
        load_rows("ledger", "en", "test")


@pytest.mark.slow
def test_most_people_have_names_of_their_own() -> None:
    names = {
        load("en", half, people=MOST_PEOPLE, attributes=["weekday"])[-1].fields["subject"].split()[1] for half in HALVES
    }
    assert len(names) == 3
    assert 3 * MOST_PEOPLE < len(generator.syllables()) ** 3
