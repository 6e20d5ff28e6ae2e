"""The one table of languages: every name, script and fact of a language that the project knows.

Codes are the shortest BCP 47 tags (``de``, ``yue``, ``zh-Hant``) everywhere in names, data, configs and reports.
``resolve`` finds a language of the table, whose words and number forms the project knows; ``identify`` finds any
language that has a tag, for what needs no words of it. Both take the spellings that datasets and translators use:
tags with a script or a region (``zh-Hans``, ``pt-BR``), ISO 639-2 and 639-3 (``deu``), FLORES-200 and FLORES+ names
(``deu_Latn``, ``cmn_Hans``), English and native names (``German``, ``Deutsch``). Spellings, scripts and names beyond
the table are those of CLDR and the IANA registry, through ``langcodes``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from lm_eval_xling.errors import UserError

__all__ = ["LANGUAGES", "MULTIPLE", "UNSPACED_CHARACTER", "Language", "identify", "resolve", "resolve_all"]

MULTIPLE = "mul"
"""ISO 639-2 code of what stands in several languages at once; no language of the table."""

UNSPACED_CHARACTER = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""A character of a script without spaces between words: Thai, Lao, Burmese, Khmer, kana, Han; in any language."""

_UNSPACED_SCRIPTS = frozenset("Hani Hans Hant Hira Jpan Kana Khmr Laoo Mymr Thai".split())
_RIGHT_TO_LEFT = frozenset("Adlm Arab Hebr Mand Nkoo Rohg Samr Syrc Thaa".split())


@dataclass(frozen=True, slots=True)
class Language:
    """One language."""

    code: str
    """BCP 47 tag; ISO 639-1 wherever the language has such a code and stands in its usual script."""
    flores: str
    """FLORES-200 / NLLB code: ISO 639-3 code, underscore, ISO 15924 script code."""
    name: str
    """English name."""
    native_name: str
    """Name in the language itself; the English name where CLDR has none."""
    family: str = ""
    """Language family, with the branch for Indo-European; empty for languages outside the table."""
    decimal_mark: Literal[".", ","] | None = None
    """What parts the units from the tenths in numbers with ASCII digits (CLDR 47); None outside the table."""
    resource: int | None = None
    """Class 0 (left behind) to 5 (winners) of language resources: Joshi et al. 2020, The State and Fate of Linguistic
    Diversity and Inclusion in the NLP World, arXiv 2004.09095, list ``lang2tax``; None outside the table."""
    aliases: tuple[str, ...] = ()
    """Further accepted spellings, beyond those that ``langcodes`` knows."""

    @property
    def script(self) -> str:
        """ISO 15924 code of the script that the project's data uses."""
        return self.flores.split("_")[1]

    @property
    def iso639_3(self) -> str:
        """ISO 639-3 code (of the individual language where the ISO 639-1 code is a macrolanguage)."""
        return self.flores.split("_")[0]

    @property
    def unspaced(self) -> bool:
        """Whether the language is written without spaces between words."""
        return self.script in _UNSPACED_SCRIPTS

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """Direction of its lines, as HTML's ``dir`` spells it."""
        return "rtl" if self.script in _RIGHT_TO_LEFT else "ltr"


# One line a language: code, FLORES code, English name, native name, family, decimal mark, class of resources,
# further aliases.
_TABLE = """
am|amh_Ethi|Amharic|አማርኛ|Semitic|.|2|
ar|arb_Arab|Arabic|العربية|Semitic|.|5|ara
bg|bul_Cyrl|Bulgarian|български|Slavic|,|3|
bn|ben_Beng|Bengali|বাংলা|Indo-Aryan|.|3|
ca|cat_Latn|Catalan|català|Romance|,|4|
cs|ces_Latn|Czech|čeština|Slavic|,|4|
de|deu_Latn|German|Deutsch|Germanic|,|5|
el|ell_Grek|Greek|Ελληνικά|Hellenic|,|3|
en|eng_Latn|English|English|Germanic|.|5|
es|spa_Latn|Spanish|español|Romance|,|5|
fa|pes_Arab|Persian|فارسی|Iranian|.|4|fas Farsi
fr|fra_Latn|French|français|Romance|,|5|
ha|hau_Latn|Hausa|Hausa|Chadic|.|2|
he|heb_Hebr|Hebrew|עברית|Semitic|.|3|iw
hi|hin_Deva|Hindi|हिन्दी|Indo-Aryan|.|4|
id|ind_Latn|Indonesian|Bahasa Indonesia|Austronesian|,|3|
ig|ibo_Latn|Igbo|Igbo|Niger-Congo|.|1|
is|isl_Latn|Icelandic|íslenska|Germanic|,|2|
it|ita_Latn|Italian|italiano|Romance|,|4|
ja|jpn_Jpan|Japanese|日本語|Japonic|.|5|
ko|kor_Hang|Korean|한국어|Koreanic|.|4|
ky|kir_Cyrl|Kyrgyz|кыргызча|Turkic|,|1|
lt|lit_Latn|Lithuanian|lietuvių|Baltic|,|3|
mg|plt_Latn|Malagasy|Malagasy|Austronesian|.|1|mlg
ms|zsm_Latn|Malay|Bahasa Melayu|Austronesian|.|3|msa
ne|npi_Deva|Nepali|नेपाली|Indo-Aryan|.|1|nep
nl|nld_Latn|Dutch|Nederlands|Germanic|,|4|
no|nob_Latn|Norwegian|norsk|Germanic|,|1|nb nor
ny|nya_Latn|Chichewa|Chichewa|Niger-Congo|.|1|Nyanja
pl|pol_Latn|Polish|polski|Slavic|,|4|
pt|por_Latn|Portuguese|português|Romance|,|4|
ro|ron_Latn|Romanian|română|Romance|,|3|
ru|rus_Cyrl|Russian|русский|Slavic|,|4|
si|sin_Sinh|Sinhala|සිංහල|Indo-Aryan|.|0|
sl|slv_Latn|Slovenian|slovenščina|Slavic|,|3|Slovene
sn|sna_Latn|Shona|chiShona|Niger-Congo|.|1|
so|som_Latn|Somali|Soomaali|Cushitic|.|1|
sr|srp_Cyrl|Serbian|српски|Slavic|,|4|
sv|swe_Latn|Swedish|svenska|Germanic|,|4|
sw|swh_Latn|Swahili|Kiswahili|Niger-Congo|.|2|swa
te|tel_Telu|Telugu|తెలుగు|Dravidian|.|1|
th|tha_Thai|Thai|ไทย|Kra-Dai|.|3|
tl|tgl_Latn|Filipino|Filipino|Austronesian|.|3|fil Tagalog
tr|tur_Latn|Turkish|Türkçe|Turkic|,|4|
uk|ukr_Cyrl|Ukrainian|українська|Slavic|,|3|
vi|vie_Latn|Vietnamese|Tiếng Việt|Austroasiatic|,|4|
yo|yor_Latn|Yoruba|Yorùbá|Niger-Congo|.|2|
zh|zho_Hans|Chinese|中文|Sinitic|.|5|cmn zh-cn
"""


def _parse(line: str) -> Language:
    code, flores, name, native_name, family, mark, resource, aliases = line.split("|")
    return Language(
        code=code,
        flores=flores,
        name=name,
        native_name=native_name,
        family=family,
        decimal_mark="," if mark == "," else ".",
        resource=int(resource),
        aliases=tuple(aliases.split()),
    )


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {language.code: language for language in map(_parse, _TABLE.strip().splitlines())}
)
"""Every language of the table by its code, in the order of the codes."""


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


@cache
def identify(spelling: str) -> Language:
    """Return the language that a spelling stands for, of the table or not.

    A region is dropped (``pt-BR`` is ``pt``), a script only where it is the usual one: ``zh-Hans`` is ``zh``, but
    ``zh-Hant`` and ``zh-TW`` are ``zh-Hant``. A variant is kept (``cat_Latn_vale1252`` of FLORES+ is ``ca-vale1252``).

    Raises:
        UserError: if no language is spelled so; the message names the nearest spellings of the table.
    """
    spellings = _spellings()
    plain = spelling.strip().lower()
    code = spellings.get(plain.replace("-", "_")) or spellings.get(plain)
    if code is not None:
        return LANGUAGES[code]
    found = _beyond(spelling.strip())
    if found is not None:
        return found
    near = difflib.get_close_matches(plain, spellings, n=3, cutoff=0.5)
    nearest = ", ".join(dict.fromkeys(f"{spellings[s]} ({LANGUAGES[spellings[s]].name})" for s in near))
    raise UserError(
        f"unknown language {spelling!r}",
        fix=f"did you mean {nearest}?" if nearest else f"known codes: {', '.join(LANGUAGES)}",
    )


def _beyond(spelling: str) -> Language | None:
    """The language of a spelling that is not in the table's lists, or None if there is none."""
    import langcodes

    tags = _tags(spelling)
    if tags is None:
        return None
    raw, tag = tags
    language = LANGUAGES.get(_spellings().get(tag.language, ""))
    base = tag.language if language is None else language.code
    script = tag.maximize().script or "Zyyy"
    # CLDR's name for Korean is that of the mixed script.
    script = "Hang" if script == "Kore" else script
    usual = (langcodes.Language.get(tag.language).maximize().script or "Zyyy") if language is None else language.script
    pieces = [base] if script == usual else [base, script]
    iso = tag.to_alpha3() if language is None else language.iso639_3
    if tag.territory and not raw.territory:
        # A language of its own that CLDR writes with a region: Dari, prs, is fa-AF.
        pieces.append(tag.territory)
        iso = raw.to_alpha3()
    pieces += tag.variants or ()
    if pieces == [base] and language is not None:
        return language
    carried = langcodes.Language.get("-".join(pieces), normalize=False)
    name = carried.display_name()
    own = carried.autonym()
    # A name that CLDR lacks comes back in English, or with the tag in brackets.
    variants = f" ({' '.join(tag.variants)})" if tag.variants else ""
    return Language("-".join(pieces), f"{iso}_{script}", name + variants, own + variants)


def _tags(spelling: str) -> tuple[Any, Any] | None:
    """The tag that is spelled so, as it stands and in its canonical form; None if it is neither a tag nor a name."""
    import langcodes

    try:
        raw = langcodes.Language.get(spelling.replace("_", "-"), normalize=False)
        tag = langcodes.Language.get(spelling.replace("_", "-"))
        if _registered(tag.language):
            return raw, tag
    except (ValueError, LookupError):
        pass
    # Short names have the form of a tag, too: Urdu, Zulu.
    named = _named(spelling)
    return None if named is None else (named, named)


def _named(name: str) -> Any:
    """The tag of a language with just this name, in any language, or None."""
    import langcodes
    from language_data.names import code_to_names

    try:
        tag = langcodes.find(name)
    except LookupError:
        return None
    # `find` also takes a longer word that begins with a name: "metadata" for Meta'.
    known = {tag.display_name(), tag.autonym(), *code_to_names(tag.to_tag()).values()}
    return tag if name.casefold() in {other.casefold() for other in known} else None


def _registered(language: str | None) -> bool:
    import langcodes

    if language is None or language in ("mis", MULTIPLE, "und", "zxx"):
        return False
    private = language.startswith("x-") or (len(language) == 3 and "qaa" <= language <= "qtz")
    return not private and langcodes.Language.get(language).is_valid()


def resolve(spelling: str) -> Language:
    """Return the language of the table that a tag, FLORES code, ISO 639-3 code or name stands for.

    Raises:
        UserError: if no language is spelled so, with the nearest spellings; or if it is not in the table.
    """
    language = identify(spelling)
    if language.code not in LANGUAGES:
        raise UserError(
            f"{language.name} ({language.code}) is not among the {len(LANGUAGES)} languages whose words and number "
            "forms the project knows",
            fix="own data with a prompt of its own takes any language (docs/own-data.md); for the rest, add a line in "
            "lm_eval_xling/languages.py",
        )
    return language


def resolve_all(spellings: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of several languages of the table, in order.

    Raises:
        UserError: if one is unknown or occurs twice.
    """
    codes = tuple(resolve(spelling).code for spelling in spellings)
    for code in codes:
        if codes.count(code) > 1:
            raise UserError(f"language {code!r} occurs twice in {', '.join(codes)}", fix="name each language once")
    return codes
