from __future__ import annotations

import unicodedata

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES, resolve, resolve_all

ZHANG = "en zh de fr es it nl ja ru sv sl pl bg no ms is hi th sw bn".split()


# FLORES-200's codes of the papers' languages, with ISO 15924's script of Japanese.
FLORES = {
    "en": "eng_Latn", "zh": "zho_Hans", "de": "deu_Latn", "fr": "fra_Latn", "es": "spa_Latn", "it": "ita_Latn",
    "nl": "nld_Latn", "ja": "jpn_Jpan", "ru": "rus_Cyrl", "sv": "swe_Latn", "sl": "slv_Latn", "pl": "pol_Latn",
    "bg": "bul_Cyrl", "no": "nob_Latn", "ms": "zsm_Latn", "is": "isl_Latn", "hi": "hin_Deva", "th": "tha_Thai",
    "sw": "swh_Latn", "bn": "ben_Beng", "ar": "arb_Arab", "ko": "kor_Hang", "pt": "por_Latn", "tr": "tur_Latn",
    "vi": "vie_Latn", "te": "tel_Telu",
}  # fmt: skip


def test_every_language_of_the_papers_is_known() -> None:
    assert set(ZHANG) < set(FLORES)
    assert {code: (LANGUAGES[code].code, LANGUAGES[code].flores) for code in FLORES} == {
        code: (code, flores) for code, flores in FLORES.items()
    }


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("deu_Latn", "de"),
        ("DEU", "de"),
        ("German", "de"),
        ("zho_Hans", "zh"),
        ("zh-cn", "zh"),
        ("nb", "no"),
        ("iw", "he"),
        ("fil", "tl"),
        ("swh_Latn", "sw"),
        ("Malay", "ms"),
        (" fr ", "fr"),
    ],
)
def test_other_spellings_lead_to_the_code(spelling: str, code: str) -> None:
    assert resolve(spelling).code == code


def test_an_unknown_language_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown language 'germn'\n  fix: did you mean de \(German\)"):
        resolve("germn")


def test_a_language_named_twice_is_an_error() -> None:
    assert resolve_all(["German", "fr"]) == ("de", "fr")
    with pytest.raises(UserError, match="'de' occurs twice"):
        resolve_all(["de", "deu"])


_SCRIPT_NAMES = {
    "Latn": "LATIN", "Cyrl": "CYRILLIC", "Arab": "ARABIC", "Hebr": "HEBREW", "Deva": "DEVANAGARI", "Beng": "BENGALI",
    "Thai": "THAI", "Telu": "TELUGU", "Hang": "HANGUL", "Jpan": "CJK", "Hans": "CJK", "Ethi": "ETHIOPIC",
    "Grek": "GREEK", "Sinh": "SINHALA",
}  # fmt: skip


@pytest.mark.parametrize("code", LANGUAGES)
def test_native_names_are_in_the_languages_script(code: str) -> None:
    language = LANGUAGES[code]
    letters = [character for character in language.native_name if character.isalpha()]
    assert letters
    assert all(unicodedata.name(letter).startswith(_SCRIPT_NAMES[language.script]) for letter in letters)
