from __future__ import annotations

import unicodedata

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES, UNSPACED_CHARACTER, identify, resolve, resolve_all

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
        ("zh-Hans", "zh"),
        ("cmn_Hans", "zh"),
        ("zh-SG", "zh"),
        ("pt-BR", "pt"),
        ("en-US", "en"),
        ("sr_Cyrl", "sr"),
        ("fre", "fr"),
        ("Deutsch", "de"),
    ],
)
def test_other_spellings_lead_to_the_code(spelling: str, code: str) -> None:
    assert resolve(spelling) is LANGUAGES[code]


@pytest.mark.parametrize(
    ("spelling", "code", "flores", "name"),
    [
        ("dan_Latn", "da", "dan_Latn", "Danish"),
        ("dansk", "da", "dan_Latn", "Danish"),
        ("zho_Hant", "zh-Hant", "zho_Hant", "Chinese (Traditional)"),
        ("cmn_Hant", "zh-Hant", "zho_Hant", "Chinese (Traditional)"),
        ("zh-TW", "zh-Hant", "zho_Hant", "Chinese (Traditional)"),
        ("nn", "nn", "nno_Latn", "Norwegian Nynorsk"),
        ("nno_Latn", "nn", "nno_Latn", "Norwegian Nynorsk"),
        ("sr-Latn", "sr-Latn", "srp_Latn", "Serbian (Latin)"),
        ("arb_Latn", "ar-Latn", "arb_Latn", "Arabic (Latin)"),
        ("yue_Hant", "yue", "yue_Hant", "Cantonese"),
        ("cat_Latn_vale1252", "ca-vale1252", "cat_Latn", "Catalan (vale1252)"),
    ],
)
def test_languages_outside_the_table_are_carried_under_their_tag(
    spelling: str, code: str, flores: str, name: str
) -> None:
    language = identify(spelling)
    assert (language.code, language.flores, language.name) == (code, flores, name)
    assert identify(code) == language
    assert language.resource is None and language.decimal_mark is None


def test_every_name_of_flores_200_is_one_language_and_comes_back() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    found = {code: identify(code) for code in FAIRSEQ_LANGUAGE_CODES}
    assert len(found) >= 200
    assert {code: language.flores for code, language in found.items()} == {code: code for code in found}
    assert len({language.code for language in found.values()}) == len(found)
    for language in found.values():
        if "(" not in language.name and language.code != "taq":  # CLDR has two languages of the name Tamasheq
            assert identify(language.name) == language


@pytest.mark.parametrize(
    "spelling", ["mul", "und", "qaa", "x-y", "devtest", "README", "metadata_dev", "Germann", "", "."]
)
def test_what_is_no_language_is_refused(spelling: str) -> None:
    with pytest.raises(UserError, match="unknown language"):
        identify(spelling)


@pytest.mark.parametrize(
    ("spelling", "named"), [("da", r"Danish \(da\)"), ("zh-TW", r"Chinese \(Traditional\) \(zh-Hant\)")]
)
def test_a_language_outside_the_table_is_named_where_its_words_are_needed(spelling: str, named: str) -> None:
    with pytest.raises(
        UserError, match=rf"^{named} is not among the {len(LANGUAGES)} languages.*\n  fix: .*add a line"
    ):
        resolve(spelling)


def test_marks_and_directions_are_those_of_cldr() -> None:
    babel = pytest.importorskip("babel")
    for code, language in LANGUAGES.items():
        locale = babel.Locale.parse(code)
        symbols = locale.number_symbols["latn"]
        assert (code, language.decimal_mark) == (code, symbols["decimal"])
        assert (code, language.direction) == (code, locale.text_direction)


def test_languages_without_spaces_between_words() -> None:
    assert {code for code, language in LANGUAGES.items() if language.unspaced} == {"ja", "th", "zh"}
    assert identify("zh-Hant").unspaced and identify("khm_Khmr").unspaced and identify("ur").direction == "rtl"
    unspaced = {code for code, language in LANGUAGES.items() if UNSPACED_CHARACTER.search(language.native_name)}
    assert unspaced == {"ja", "th", "zh"}


def test_classes_of_resources_are_those_of_joshi_et_al() -> None:
    by_class = {n: "".join(f"{c} " for c, lang in LANGUAGES.items() if lang.resource == n).split() for n in range(6)}
    assert by_class[5] == "ar de en es fr ja zh".split()
    assert by_class[2] == "am ha is sw yo".split()
    assert by_class[0] == ["si"]
    assert sum(map(len, by_class.values())) == len(LANGUAGES)


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
