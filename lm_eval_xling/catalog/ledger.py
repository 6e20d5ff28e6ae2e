"""Ledger: invented people and facts that no model knows, made on the spot; our own benchmark.

``ledger.jsonl`` is generated (``tests/generators/ledger.py``). Its first lines name a value of an attribute in every
language, ``{"attribute": "month", "value": "1", "names": {"en": "January", …}}``; the others spell a syllable in other
scripts by CLDR's rules, ``{"syllable": "ka", "scripts": {"Cyrl": "ка", …}}``. Who is invented and what is said of whom
depends on half, number and seed alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.papers import ZHANG
from lm_eval_xling.errors import UserError
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.languages import LANGUAGES as TABLE
from lm_eval_xling.languages import resolve
from lm_eval_xling.records import Row

__all__ = ["ATTRIBUTES", "DATASET", "HALVES", "LANGUAGES", "MOST_PEOPLE", "PATH", "PEOPLE", "Spelling", "load"]

LANGUAGES = ZHANG
"""Languages in which every value has a name: those of Zhang et al. 2024, and so of Chua et al. 2024."""
ATTRIBUTES = ("country", "language", "currency", "month", "weekday")
"""What is said of every person."""
HALVES = ("taught", "never", "others")
"""Whose people never meet: those whose facts are taught, those whose facts are asked to see what guessing gives, and
those whose facts may be taught beside in other languages."""
PEOPLE = 20
"""People of a half by default."""
MOST_PEOPLE = 50_000
"""People of a half at most: as many as have a family name of their own."""

Spelling = Literal["latin", "native"]
"""How names are spelt: in Latin letters everywhere, or in the script of the language where CLDR has rules for it."""

PATH = Path(__file__).with_name("ledger.jsonl")
"""The generated file."""

_OPTIONS = 4
_GIVEN, _FAMILY = 2, 3
"""Syllables of given and family names."""


def load(
    language: str,
    half: str,
    *,
    people: int = PEOPLE,
    seed: int = 0,
    names: Spelling = "latin",
    attributes: Sequence[str] = ATTRIBUTES,
) -> list[Row]:
    """Return the facts of a half in one language, person by person.

    Args:
        language: any spelling of one of ``LANGUAGES``.
        half: a name in ``HALVES``.
        people: how many people, 1 to ``MOST_PEOPLE``; fewer are the first of more.
        seed: another seed invents other people.
        names: how names are spelt.
        attributes: what is said of every person.

    Returns:
        Rows with the field ``subject`` (the name), four options, and in ``extra`` the ``attribute`` and the ``person``,
        one a half and number. Ids, options and their order are the same in every language and spelling. Every value of
        an attribute is as frequent as another, or occurs once more.

    Raises:
        UserError: if the facts are not in this language, or there is no such half, attribute or number of people.
    """
    code = resolve(language).code
    if code not in LANGUAGES:
        raise UserError(
            f"ledger has no words in {resolve(language).name} ({code})", fix=f"its languages: {', '.join(LANGUAGES)}"
        )
    if not 1 <= people <= MOST_PEOPLE:
        raise UserError(f"{people} people", where="people", fix=f"name 1 to {MOST_PEOPLE}")
    return list(_rows(code, half, people, seed, names, tuple(attributes)))


@cache
def _rows(
    code: str, half: str, people: int, seed: int, names: Spelling, attributes: tuple[str, ...]
) -> tuple[Row, ...]:
    values, _ = _records()
    return tuple(
        _row(code, half, number, seed, attribute, names, values[attribute])
        for number in range(people)
        for attribute in attributes
    )


def _row(
    code: str, half: str, number: int, seed: int, attribute: str, names: Spelling, values: dict[str, dict[str, str]]
) -> Row:
    person = f"{half}-{seed}-{number}"
    right = _value(half, number, seed, attribute, list(values))
    wrong = sorted((value for value in values if value != right), key=lambda v: stable_hash(person, attribute, v))
    answer = stable_hash(person, attribute, "answer") % _OPTIONS
    options = [*wrong[:answer], right, *wrong[answer : _OPTIONS - 1]]
    return Row(
        id=f"{person}-{attribute}",
        language=code,
        fields={"subject": _name(code, half, number, seed, names)},
        options=tuple(values[value][code] for value in options),
        answer=answer,
        extra={"attribute": attribute, "person": person},
    )


def _value(half: str, number: int, seed: int, attribute: str, values: Sequence[str]) -> str:
    """The value of a person: each round of as many people as there are values deals every value once."""
    turn, place = divmod(number, len(values))
    return sorted(values, key=lambda value: stable_hash("ledger", seed, half, attribute, turn, value))[place]


def _name(code: str, half: str, number: int, seed: int, names: Spelling) -> str:
    _, scripts = _records()
    syllables = list(scripts)
    given = stable_hash("ledger given name", seed, half, number)
    # A walk through all family names, so that no two people of any half share one.
    family = (_STEP * (number * len(HALVES) + HALVES.index(half)) + stable_hash("ledger", seed)) % len(
        syllables
    ) ** _FAMILY
    script = TABLE[code].script

    def spelt(number: int, length: int) -> str:
        parts = []
        for _ in range(length):
            number, place = divmod(number, len(syllables))
            syllable = syllables[place]
            parts.append(scripts[syllable].get(script, syllable) if names == "native" else syllable)
        word = "".join(parts)
        return word[:1].upper() + word[1:]

    return f"{spelt(given, _GIVEN)} {spelt(family, _FAMILY)}"


_STEP = 104_729
"""A prime that the number of family names is no multiple of."""


@cache
def _records() -> tuple[dict[str, dict[str, dict[str, str]]], dict[str, dict[str, str]]]:
    """Names by attribute, value and language; spellings by syllable and script."""
    values: dict[str, dict[str, dict[str, str]]] = {}
    scripts: dict[str, dict[str, str]] = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "attribute" in record:
            values.setdefault(record["attribute"], {})[record["value"]] = record["names"]
        else:
            scripts[record["syllable"]] = record["scripts"]
    return values, scripts


def _built_in(part: Part) -> list[Row]:
    return load(part.language, part.split)


DATASET = Dataset(
    name="ledger",
    title="invented people with country, language, currency, month and weekday, as facts that no model knows",
    licence="Unicode-3.0 (names of CLDR); the invention is MIT, like the project",
    citation="lm-eval-xling; Unicode Common Locale Data Repository, through Babel and ICU",
    homepage="https://cldr.unicode.org",
    schema="fields subject (the person); 4 options; answer; extra attribute, person",
    splits=HALVES,
    languages=LANGUAGES,
    built_in=_built_in,
)
