"""Make ``lm_eval_xling/catalog/ledger.jsonl`` from CLDR: what is said of an invented person, and how names are spelt.

Values are terms that CLDR has in every language, as Babel carries it. Syllables are spelt by CLDR's transliterations,
which Babel does not carry: ``ledger_syllables.tsv`` holds them as ICU makes them. This module as a program writes that
file anew with ``uconv`` (Debian: icu-devtools).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations, product
from pathlib import Path

from babel import Locale
from babel.localedata import LocaleDataDict, load

from lm_eval_xling import literals
from lm_eval_xling.catalog.ledger import LANGUAGES, PATH
from lm_eval_xling.languages import LANGUAGES as TABLE

SYLLABLES = Path(__file__).with_name("ledger_syllables.tsv")

# Countries and languages of every region, no more than the people by default, so that every value is somebody's. No
# name begins another one in any of the languages, which `content` checks: Niger and Nigeria cannot both stand there.
VALUES: dict[str, tuple[str, ...]] = {
    "country": tuple("AR BR CA CN DE EG FI GR HU IN IS JP KE MX NO TR".split()),
    "language": tuple("ar cs de el en fi fr he hi hu it ja pl ru tr zh".split()),
    "currency": tuple("BRL CHF CNY EUR GBP INR JPY KRW MXN NOK PLN RUB SEK THB TRY USD".split()),
    "month": tuple(map(str, range(1, 13))),
    "weekday": tuple(map(str, range(7))),
}
CONSONANTS, VOWELS = "bdfgklmnprstz", "aeiou"
TRANSFORMS = {
    "Cyrl": "Latin-Cyrillic",
    "Jpan": "Latin-Katakana",
    "Deva": "Latin-Devanagari",
    "Beng": "Latin-Bengali",
    "Thai": "Latin-Thai",
}
"""By script. CLDR has no rule from Latin letters to Han."""


def name(attribute: str, value: str, language: str) -> str:
    """A value's name in a language, in the form that stands alone."""
    if attribute in ("month", "weekday"):
        # Babel merges a locale's own names into those that others inherit: without the copy, what Japanese months are
        # called depends on whether Chinese ones were read before.
        calendar = LocaleDataDict(deepcopy(load(language)))
        return str(calendar["months" if attribute == "month" else "days"]["stand-alone"]["wide"][int(value)])
    locale = Locale.parse(language)
    table = {"country": locale.territories, "language": locale.languages, "currency": locale.currencies}[attribute]
    return str(table[value]).replace("\N{SOFT HYPHEN}", "")


def syllables() -> dict[str, dict[str, str]]:
    """Script to spelling, by syllable."""
    head, *lines = SYLLABLES.read_text(encoding="utf-8").splitlines()
    scripts = head.split("\t")[1:]
    return {line.split("\t")[0]: dict(zip(scripts, line.split("\t")[1:], strict=True)) for line in lines}


def transliterated() -> str:
    """The table of syllables as ICU makes it."""
    latin = ["".join(pair) for pair in product(CONSONANTS, VOWELS)]

    def spelt(transform: str) -> list[str]:
        done = subprocess.run(
            ["uconv", "-f", "utf-8", "-t", "utf-8", "-x", f"{transform}; NFC"],
            input="\n".join(latin), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split("\n")

    columns = [latin, *(spelt(transform) for transform in TRANSFORMS.values())]
    return "".join("\t".join(row) + "\n" for row in [("Latn", *TRANSFORMS), *zip(*columns, strict=True)])


def content() -> str:
    """The file: a line a value, then a line a syllable."""
    records: list[dict[str, object]] = []
    for attribute, values in VALUES.items():
        names = {value: {code: name(attribute, value, code) for code in LANGUAGES} for value in values}
        for code in LANGUAGES:
            word = literals.word(code, f"fields.{attribute}")
            for one, other in combinations((names[value][code].casefold() for value in values), 2):
                # The likelihood of a text that begins another one is never the lower of the two.
                assert not (one.startswith(other) or other.startswith(one)), f"{attribute} in {code}: {one}, {other}"
            assert not any(names[value][code].casefold() in word.casefold() for value in values), (
                f"{attribute} in {code}"
            )
        records += [{"attribute": attribute, "value": value, "names": names[value]} for value in values]
    needed = {TABLE[code].script for code in LANGUAGES} & TRANSFORMS.keys()
    for syllable, scripts in syllables().items():
        records.append({"syllable": syllable, "scripts": {script: scripts[script] for script in sorted(needed)}})
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def files() -> Iterator[tuple[Path, str]]:
    """For ``tests.generated``."""
    yield PATH, content()


if __name__ == "__main__":
    SYLLABLES.write_text(transliterated(), encoding="utf-8")
