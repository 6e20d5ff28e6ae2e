"""Make ``lm_eval_xling/catalog/atlas.jsonl`` from CLDR, as Babel carries it; run this module to print the counts.

``atlas_countries.tsv`` holds what Babel does not: the members of the UN and their region (CLDR territoryContainment)
and the time zone whose exemplar city is the capital, because CLDR translates no other city names. A country has none
if its capital is no exemplar city (China: Shanghai), if it is contested (Israel), or if it has two (Sri Lanka,
Eswatini).

A fact is dropped rather than asked badly: see the ``REASONS``. Distractors are the answers of other facts of the
relation, drawn in proportion to their frequency, so that how often an answer is shown says nothing about it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path

import regex
from babel import Locale
from babel.core import get_global

from lm_eval_xling import literals
from lm_eval_xling.catalog.atlas import LANGUAGES, PATH
from lm_eval_xling.hashing import stable_hash

COUNTRIES = Path(__file__).with_name("atlas_countries.tsv")

REASONS = {
    "several": "several official languages or legal tenders, or none",
    "doubtful": "CLDR knows one official language, the law of the country another, several or none",
    "recent": "the currency was introduced after 2014, so that models know an older one",
    "two regions": "the country lies in two of the regions",
    "brackets": "CLDR tells the country from another one by brackets or a dash: 'Congo - Kinshasa', 'Myanmar (Burma)'",
    "leak": "the answer shares a stem with the country's name in some pair of languages: 'Russian' of 'Russia'",
    "distractors": "fewer than three other answers are certainly wrong and neither equal nor leaking",
}
TWO_REGIONS = {"AM", "AZ", "CY", "EG", "GE", "ID", "KZ", "RU", "TL", "TR"}
# French lost its status in 2023 to 2025 (BF, ML, NE); five languages since 2020 (ET); Montenegrin (ME); twelve (ZA).
DOUBTFUL_LANGUAGE = {"BF", "ET", "ME", "ML", "NE", "ZA"}
LAST_START = date(2015, 1, 1)
# A tenth of the speakers is where a language can pass for official without being so in CLDR.
SPOKEN_PERCENT = 10
DISTRACTORS = 3
NORTH_AMERICA, NORTHERN_AMERICA = "003", "021"


@dataclass(frozen=True)
class Fact:
    relation: str
    """Name of the literal ``fields.<relation>`` and of the kind of the answer."""
    country: str
    """ISO 3166-1 code."""
    answer: str
    """Entity: time zone, ISO 4217 code, language code or CLDR region."""
    right: frozenset[str]
    """Entities that are right, or might pass for it."""

    @property
    def id(self) -> str:
        return f"{self.relation}-{self.country.lower()}"


@cache
def _locale(language: str) -> Locale:
    return Locale.parse(language)


@cache
def name(kind: str, entity: str, language: str) -> str:
    """Name of an entity; a city that a language does not rename has its name of the root locale, as CLDR rules."""
    locale = _locale(language)
    if kind == "capital":
        city = locale.time_zones.get(entity, {}).get("city")
        # German hyphenates Reykjavík softly, which no reader sees and every tokenizer does.
        return (city or entity.rsplit("/", 1)[1].replace("_", " ")).replace("\N{SOFT HYPHEN}", "")
    table = {"currency": locale.currencies, "official_language": locale.languages}.get(kind, locale.territories)
    if entity == NORTH_AMERICA and literals.word(language, "fields.continent").casefold() in table[entity].casefold():
        # Japanese and Bulgarian name it 'North American continent', to tell it from what all others call otherwise.
        return table[NORTHERN_AMERICA]
    return table[entity]


def candidates() -> Iterator[Fact | tuple[str, str]]:
    """Every fact that CLDR gives, or the relation and the reason why a country has none."""
    for line in COUNTRIES.read_text(encoding="utf-8").splitlines()[1:]:
        country, region, zone = line.split("\t")
        if zone != "-":
            yield Fact("capital", country, zone, frozenset([zone]))
        if country in TWO_REGIONS:
            yield "continent", "two regions"
        else:
            yield Fact("continent", country, region, frozenset([region]))
        yield _currency(country)
        yield _official_language(country)


def _currency(country: str) -> Fact | tuple[str, str]:
    tenders = [entry for entry in get_global("territory_currencies")[country] if entry[3] and entry[2] is None]
    if len(tenders) != 1:
        return "currency", "several"
    code, start, *_ = tenders[0]
    if date(*start) > LAST_START:
        return "currency", "recent"
    ever = frozenset(entry[0] for entry in get_global("territory_currencies")[country])
    return Fact("currency", country, code, ever)


def _official_language(country: str) -> Fact | tuple[str, str]:
    spoken = get_global("territory_languages")[country]
    official = {tag.split("_")[0] for tag, use in spoken.items() if use["official_status"] in _NATIONAL}
    if len(official) != 1:
        return "official_language", "several"
    if country in DOUBTFUL_LANGUAGE:
        return "official_language", "doubtful"
    doubtful = {
        tag.split("_")[0]
        for tag, use in spoken.items()
        if use["official_status"] or use["population_percent"] >= SPOKEN_PERCENT
    }
    return Fact("official_language", country, official.pop(), frozenset(doubtful))


_NATIONAL = ("official", "de_facto_official")


def _kind(relation: str) -> str:
    return "territory" if relation == "continent" else relation


def _names(kind: str, entity: str) -> dict[str, str]:
    return {language: name(kind, entity, language) for language in LANGUAGES}


@cache
def _stems(text: str) -> frozenset[str]:
    """Runs of letters that give a word away: 4 of an alphabet, 3 of kana, 2 of Han."""
    stems = set()
    for word in regex.findall(r"[\p{L}\p{M}]+", text.casefold()):
        length = 2 if regex.match(r"\p{Han}", word) else 3 if regex.match(r"[\p{Hiragana}\p{Katakana}]", word) else 4
        stems.update(word[start : start + length] for start in range(len(word) - length + 1))
    return frozenset(stems)


@cache
def leaks(kind: str, entity: str, country: str) -> bool:
    """Whether the country's name, in any language, shares a stem with the entity's name in any language."""
    ours = set().union(*map(_stems, _names(kind, entity).values()))
    theirs = set().union(*map(_stems, _names("territory", country).values()))
    return bool(ours & theirs) or any(
        _contains(one, other)
        for one, other in product(_names("territory", country).values(), _names(kind, entity).values())
    )


def _contains(one: str, other: str) -> bool:
    """Whether one of two names stands in the other."""
    one, other = one.casefold(), other.casefold()
    return one in other or other in one


@cache
def _confusable(kind: str, one: str, other: str) -> bool:
    """Whether two options are the same text in any two languages, or one begins the other in some language."""
    ours, theirs = _names(kind, one), _names(kind, other)
    same = {text.casefold() for text in ours.values()} & {text.casefold() for text in theirs.values()}
    return bool(same) or any(_contains(ours[language], theirs[language]) for language in LANGUAGES)


def _in_prompt(kind: str, entity: str, relation: str) -> bool:
    """Whether the entity stands in a field word of the prompt: 'Capital' in a name."""
    words = [literals.word(language, f"fields.{field}") for language in LANGUAGES for field in ("country", relation)]
    return any(text.casefold() in word.casefold() for word in words for text in _names(kind, entity).values())


def select() -> tuple[list[tuple[Fact, list[str]]], Counter[tuple[str, str]]]:
    """The facts with their four options, and how many were dropped by (relation, reason)."""
    dropped: Counter[tuple[str, str]] = Counter()
    usable: dict[str, list[Fact]] = defaultdict(list)
    for fact in candidates():
        if isinstance(fact, tuple):
            dropped[fact] += 1
        elif any(regex.search(r"[()（）]| [-–] ", text) for text in _names("territory", fact.country).values()):
            dropped[fact.relation, "brackets"] += 1
        elif leaks(_kind(fact.relation), fact.answer, fact.country) or _in_prompt(
            _kind(fact.relation), fact.answer, fact.relation
        ):
            dropped[fact.relation, "leak"] += 1
        else:
            usable[fact.relation].append(fact)
    selected = []
    for relation in ("capital", "continent", "currency", "official_language"):
        wrong = {fact: _distractors(fact, usable[relation]) for fact in usable[relation]}
        complete = [fact for fact in usable[relation] if len(wrong[fact]) == DISTRACTORS]
        dropped[relation, "distractors"] = len(wrong) - len(complete)
        # Every position holds the answer equally often within a relation.
        by_hash = sorted(complete, key=lambda fact: stable_hash("atlas answer", fact.id))
        position = {fact: rank % (DISTRACTORS + 1) for rank, fact in enumerate(by_hash)}
        for fact in complete:
            before, after = wrong[fact][: position[fact]], wrong[fact][position[fact] :]
            selected.append((fact, [*before, fact.answer, *after]))
    # Relations mixed: the harness's --limit takes the first facts, and shall take a sample of all.
    return sorted(selected, key=lambda item: stable_hash("atlas order", item[0].id)), dropped


def _distractors(fact: Fact, others: Iterable[Fact]) -> list[str]:
    """The first three wrong answers, the relation's facts being in an order that is the fact's own."""
    kind = _kind(fact.relation)
    chosen: list[str] = []
    for other in sorted(others, key=lambda other: stable_hash("atlas distractor", fact.id, other.id)):
        wrong = other.answer not in fact.right
        if (
            wrong
            and not any(_confusable(kind, other.answer, option) for option in [fact.answer, *chosen])
            and not leaks(kind, other.answer, fact.country)
            and not _in_prompt(kind, other.answer, fact.relation)
        ):
            chosen.append(other.answer)
        if len(chosen) == DISTRACTORS:
            break
    return chosen


def content() -> str:
    """The file: a line of names for each entity, then a line for each fact."""
    facts, _ = select()
    entities: dict[str, str] = {}
    for fact, options in facts:
        entities[fact.country] = "territory"
        entities.update(dict.fromkeys(options, _kind(fact.relation)))
    records: list[Mapping[str, object]] = [
        {"entity": entity, "names": _names(kind, entity)} for entity, kind in sorted(entities.items())
    ]
    for fact, options in facts:
        record = {"id": fact.id, "relation": fact.relation, "country": fact.country, "options": options}
        records.append(record | {"answer": options.index(fact.answer)})
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def files() -> Iterator[tuple[Path, str]]:
    """For ``tests.generated``."""
    yield PATH, content()


def main() -> None:
    facts, dropped = select()
    for relation, count in sorted(Counter(fact.relation for fact, _ in facts).items()):
        print(f"{relation}: {count} facts")
        for (other, reason), number in sorted(dropped.items()):
            if other == relation and number:
                print(f"  {number} dropped: {REASONS[reason]}")
    print(f"{len(facts)} facts, answer positions {sorted(Counter(o.index(f.answer) for f, o in facts).items())}")


if __name__ == "__main__":
    main()
