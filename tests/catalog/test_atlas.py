from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from itertools import combinations, permutations, product
from pathlib import Path

import pytest
import regex
from babel.core import get_global

from lm_eval_xling import literals
from lm_eval_xling.catalog import load_rows
from lm_eval_xling.catalog.atlas import LANGUAGES, PATH, load
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES as KNOWN
from lm_eval_xling.records import Row
from tests.generators import atlas as generator

README = Path(__file__).resolve().parents[2] / "tasks" / "atlas" / "README.md"
RECORDS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
FACTS = {record["id"]: record for record in RECORDS if "id" in record}
ROWS = {language: load(language) for language in LANGUAGES}
RELATIONS = {"capital", "continent", "currency", "official_language"}
# Area of a zone in the IANA database by region: the continent from another source than the table's.
AREAS = {"002": "Africa", "142": "Asia", "150": "Europe", "003": "America", "005": "America", "009": "Pacific"}
SCRIPTS = {"Hans": ["Han"], "Jpan": ["Han", "Hiragana", "Katakana"]}


def parallel() -> list[dict[str, Row]]:
    """Each fact's rows by language."""
    return [dict(zip(ROWS, rows, strict=True)) for rows in zip(*ROWS.values(), strict=True)]


def shown(relation: str) -> set[str]:
    """Words that stand beside the country in a prompt of the relation, in any language."""
    return {literals.word(code, f"fields.{name}").casefold() for code in LANGUAGES for name in ("country", relation)}


def test_size_and_number() -> None:
    assert PATH.stat().st_size < 2_000_000
    assert len(FACTS) >= 300
    assert Counter(fact["relation"] for fact in FACTS.values()).keys() == RELATIONS


def test_the_first_facts_are_a_sample_of_all_relations() -> None:
    share = Counter(fact["relation"] for fact in FACTS.values())
    first = Counter(fact["relation"] for fact in list(FACTS.values())[:100])
    assert all(abs(first[relation] / 100 - share[relation] / len(FACTS)) < 0.1 for relation in RELATIONS)


def test_rows_are_parallel() -> None:
    assert all([row.id for row in rows] == list(FACTS) for rows in ROWS.values())
    for rows in parallel():
        row = rows["en"]
        assert row.id == f"{row.extra['relation']}-{row.extra['country'].lower()}"
        assert len(row.options) == 4 and row.answer in range(4)
        for language, other in rows.items():
            assert other.language == language
            assert (other.answer, other.extra, len(other.options)) == (row.answer, row.extra, 4)


def test_the_catalog_hands_out_the_same_rows() -> None:
    assert load_rows("atlas", "French", "test") == ROWS["fr"]


def test_a_language_that_atlas_lacks() -> None:
    with pytest.raises(UserError, match=r"no names in Korean \(ko\)[\s\S]*en, zh, de"):
        load("kor_Hang")


def test_known_facts() -> None:
    by_id = {language: {row.id: row for row in rows} for language, rows in ROWS.items()}

    def answer(fact: str, language: str) -> str:
        row = by_id[language][fact]
        return row.options[row.answer or 0]

    assert answer("capital-jp", "en") == "Tokyo" and answer("capital-jp", "zh") == "东京"
    assert answer("capital-at", "de") == "Wien" and answer("capital-at", "sl") == "Dunaj"
    assert answer("capital-is", "de") == "Reykjavík"
    assert answer("currency-ec", "en") == "US Dollar" and answer("currency-fr", "bg") == "Евро"
    assert answer("official_language-br", "sw") == "Kireno" and answer("official_language-at", "pl") == "niemiecki"
    assert answer("continent-pe", "hi") == "दक्षिण अमेरिका" and answer("continent-ke", "th") == "แอฟริกา"
    assert by_id["it"]["capital-gr"].fields["subject"] == "Grecia"


def test_every_position_holds_the_answer_equally_often() -> None:
    for relation in RELATIONS:
        positions = Counter(fact["answer"] for fact in FACTS.values() if fact["relation"] == relation)
        assert max(positions.values()) - min(positions.values()) <= 1


def test_no_two_options_are_equal_in_any_two_languages() -> None:
    for rows in parallel():
        texts = [{row.options[i].casefold() for row in rows.values()} for i in range(4)]
        assert all(not one & other for one, other in combinations(texts, 2)), rows["en"]


def test_no_option_stands_in_another_one() -> None:
    for row in (row for rows in ROWS.values() for row in rows):
        folded = [option.casefold() for option in row.options]
        assert not any(one in other for one, other in permutations(folded, 2)), row


def test_no_option_stands_in_the_prompt_nor_the_country_in_an_option() -> None:
    for rows in parallel():
        countries = {row.fields["subject"].casefold() for row in rows.values()}
        prompt = countries | shown(rows["en"].extra["relation"])
        options = {option.casefold() for row in rows.values() for option in row.options}
        for text, option in product(prompt, options):
            assert option not in text, rows["en"]
        for country, option in product(countries, options):
            assert country not in option, rows["en"]


def test_no_option_repeats_the_field_that_it_answers() -> None:
    for language, rows in ROWS.items():
        for row in rows:
            field = literals.word(language, f"fields.{row.extra['relation']}").casefold()
            assert not any(field in option.casefold() for option in row.options), row


def test_names_are_clean_text_in_the_script_of_their_language() -> None:
    for record in RECORDS:
        for language, text in record.get("names", {}).items():
            assert text == " ".join(text.split()) and unicodedata.is_normalized("NFC", text), text
            assert not any(unicodedata.category(letter) in ("Cc", "Cf") for letter in text), text
            script = KNOWN[language].script
            scripts = "".join(rf"\p{{Script_Extensions={name}}}" for name in SCRIPTS.get(script, [script]))
            letters = regex.findall(r"\p{Letter}", re.sub(r"\b(CFA|BCEAO|BEAC)\b", "", text))
            assert letters and all(regex.fullmatch(f"[{scripts}]", letter) for letter in letters), text


def test_entities_are_named_in_every_language_and_used() -> None:
    named = [record["entity"] for record in RECORDS if "entity" in record]
    assert len(set(named)) == len(named)
    assert all(tuple(record["names"]) == LANGUAGES for record in RECORDS if "entity" in record)
    used = {entity for fact in FACTS.values() for entity in (fact["country"], *fact["options"])}
    assert used == set(named)


@pytest.mark.parametrize("fact", FACTS.values(), ids=list(FACTS))
def test_one_option_is_right(fact: dict[str, str]) -> None:
    country, right = fact["country"], {fact["options"][int(fact["answer"])]}
    wrong = set(fact["options"]) - right
    zones = get_global("territory_zones")[country]
    match fact["relation"]:
        case "capital":
            (zone,) = right
            aliases = get_global("zone_aliases")
            assert aliases.get(zone, zone) in zones
            assert not wrong & set(zones) and not {aliases.get(zone, zone) for zone in wrong} & set(zones)
        case "continent":
            (region,) = right
            areas = {zone.split("/")[0] for zone in zones}
            assert AREAS[region] in areas or areas <= {"Atlantic", "Indian"}
        case "currency":
            tenders = [entry for entry in get_global("territory_currencies")[country] if entry[3]]
            assert right == {code for code, _, until, _ in tenders if until is None}
            assert not wrong & {code for code, *_ in tenders}
        case "official_language":
            used = get_global("territory_languages")[country]
            assert right == {
                tag.split("_")[0]
                for tag, use in used.items()
                if use["official_status"] in ("official", "de_facto_official")
            }
            assert not wrong & {tag.split("_")[0] for tag, use in used.items() if use["population_percent"] >= 10}


def test_readme_gives_the_counts_and_the_baseline() -> None:
    lines = []
    for relation in sorted(RELATIONS):
        facts = [fact for fact in FACTS.values() if fact["relation"] == relation]
        answers = Counter(fact["options"][fact["answer"]] for fact in facts)
        favourites = [max(fact["options"], key=lambda option: answers[option]) for fact in facts]
        share = sum(fact["options"][fact["answer"]] == one for fact, one in zip(facts, favourites, strict=True))
        lines.append(f"| `{relation}` | {len(facts)} | {len(answers)} | {f'{share / len(facts):.2f}'[1:]} |")
    readme = README.read_text(encoding="utf-8")
    assert "\n".join(lines) in readme
    assert f"{len(FACTS)} facts" in readme


def test_leaks_are_seen_in_every_script() -> None:
    assert generator.leaks("official_language", "ru", "RU")
    assert generator.leaks("currency", "JPY", "JP")
    assert generator.leaks("capital", "America/Mexico_City", "MX")
    assert not generator.leaks("official_language", "pt", "BR")
    assert {"日本"} == generator._stems("日本")
    assert {"ニジェ", "ジェー", "ェール"} == generator._stems("ニジェール")
    assert {"kore"} == generator._stems("Kore a")
