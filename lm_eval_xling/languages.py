"""The one table of languages: every name, script and alias that the project knows.

Codes are ISO 639-1 (the shortest BCP 47 tag) everywhere in names, data, configs and reports. ``resolve``
accepts the other spellings that datasets and translators use: ISO 639-3 (``deu``), FLORES-200 / NLLB
(``deu_Latn``), and English names (``German``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from lm_eval_xling.errors import UserError

__all__ = ["LANGUAGES", "Language", "resolve", "resolve_all"]


@dataclass(frozen=True, slots=True)
class Language:
    """One language."""

    code: str
    """ISO 639-1 code."""
    flores: str
    """FLORES-200 / NLLB code: ISO 639-3 code, underscore, ISO 15924 script code."""
    name: str
    """English name."""
    native_name: str
    """Name in the language itself."""
    family: str
    """Language family, with the branch for Indo-European."""
    aliases: tuple[str, ...] = ()
    """Further accepted spellings."""

    @property
    def script(self) -> str:
        """ISO 15924 code of the script that the project's data uses."""
        return self.flores.split("_")[1]

    @property
    def iso639_3(self) -> str:
        """ISO 639-3 code (of the individual language where the ISO 639-1 code is a macrolanguage)."""
        return self.flores.split("_")[0]


# One line a language: code, FLORES code, English name, native name, family, further aliases.
_TABLE = """
am|amh_Ethi|Amharic|አማርኛ|Semitic|
ar|arb_Arab|Arabic|العربية|Semitic|ara
bg|bul_Cyrl|Bulgarian|български|Slavic|
bn|ben_Beng|Bengali|বাংলা|Indo-Aryan|
ca|cat_Latn|Catalan|català|Romance|
cs|ces_Latn|Czech|čeština|Slavic|
de|deu_Latn|German|Deutsch|Germanic|
el|ell_Grek|Greek|Ελληνικά|Hellenic|
en|eng_Latn|English|English|Germanic|
es|spa_Latn|Spanish|español|Romance|
fa|pes_Arab|Persian|فارسی|Iranian|fas Farsi
fr|fra_Latn|French|français|Romance|
ha|hau_Latn|Hausa|Hausa|Chadic|
he|heb_Hebr|Hebrew|עברית|Semitic|iw
hi|hin_Deva|Hindi|हिन्दी|Indo-Aryan|
id|ind_Latn|Indonesian|Bahasa Indonesia|Austronesian|
ig|ibo_Latn|Igbo|Igbo|Niger-Congo|
is|isl_Latn|Icelandic|íslenska|Germanic|
it|ita_Latn|Italian|italiano|Romance|
ja|jpn_Jpan|Japanese|日本語|Japonic|
ko|kor_Hang|Korean|한국어|Koreanic|
ky|kir_Cyrl|Kyrgyz|кыргызча|Turkic|
lt|lit_Latn|Lithuanian|lietuvių|Baltic|
mg|plt_Latn|Malagasy|Malagasy|Austronesian|mlg
ms|zsm_Latn|Malay|Bahasa Melayu|Austronesian|msa
ne|npi_Deva|Nepali|नेपाली|Indo-Aryan|nep
nl|nld_Latn|Dutch|Nederlands|Germanic|
no|nob_Latn|Norwegian|norsk|Germanic|nb nor
ny|nya_Latn|Chichewa|Chichewa|Niger-Congo|Nyanja
pl|pol_Latn|Polish|polski|Slavic|
pt|por_Latn|Portuguese|português|Romance|
ro|ron_Latn|Romanian|română|Romance|
ru|rus_Cyrl|Russian|русский|Slavic|
si|sin_Sinh|Sinhala|සිංහල|Indo-Aryan|
sl|slv_Latn|Slovenian|slovenščina|Slavic|Slovene
sn|sna_Latn|Shona|chiShona|Niger-Congo|
so|som_Latn|Somali|Soomaali|Cushitic|
sr|srp_Cyrl|Serbian|српски|Slavic|
sv|swe_Latn|Swedish|svenska|Germanic|
sw|swh_Latn|Swahili|Kiswahili|Niger-Congo|swa
te|tel_Telu|Telugu|తెలుగు|Dravidian|
th|tha_Thai|Thai|ไทย|Kra-Dai|
tl|tgl_Latn|Filipino|Filipino|Austronesian|fil Tagalog
tr|tur_Latn|Turkish|Türkçe|Turkic|
uk|ukr_Cyrl|Ukrainian|українська|Slavic|
vi|vie_Latn|Vietnamese|Tiếng Việt|Austroasiatic|
yo|yor_Latn|Yoruba|Yorùbá|Niger-Congo|
zh|zho_Hans|Chinese|中文|Sinitic|cmn zh-cn
"""


def _parse(line: str) -> Language:
    code, flores, name, native_name, family, aliases = line.split("|")
    return Language(code, flores, name, native_name, family, tuple(aliases.split()))


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {language.code: language for language in map(_parse, _TABLE.strip().splitlines())}
)
"""Every known language by its code, in the order of the codes."""


@cache
def _spellings() -> dict[str, str]:
    """Lower-cased spelling to code."""
    spellings: dict[str, str] = {}
    for language in LANGUAGES.values():
        for spelling in (
            language.code,
            language.flores,
            language.iso639_3,
            language.name,
            *language.aliases,
        ):
            known = spellings.setdefault(spelling.lower(), language.code)
            if known != language.code:
                raise AssertionError(f"spelling {spelling!r} names both {known} and {language.code}")
    return spellings


def resolve(spelling: str) -> Language:
    """Return the language that a code, FLORES/NLLB code, ISO 639-3 code or English name stands for.

    Raises:
        UserError: if no language is spelled so; the message names the nearest spellings.
    """
    spellings = _spellings()
    code = spellings.get(spelling.strip().lower().replace("-", "_")) or spellings.get(spelling.strip().lower())
    if code is not None:
        return LANGUAGES[code]
    near = difflib.get_close_matches(spelling.lower(), spellings, n=3, cutoff=0.5)
    nearest = ", ".join(dict.fromkeys(f"{spellings[s]} ({LANGUAGES[spellings[s]].name})" for s in near))
    raise UserError(
        f"unknown language {spelling!r}",
        fix=f"did you mean {nearest}?" if nearest else f"known codes: {', '.join(LANGUAGES)}",
    )


def resolve_all(spellings: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of several languages, in order.

    Raises:
        UserError: if one is unknown or occurs twice.
    """
    codes = tuple(resolve(spelling).code for spelling in spellings)
    for code in codes:
        if codes.count(code) > 1:
            raise UserError(f"language {code!r} occurs twice in {', '.join(codes)}", fix="name each language once")
    return codes
