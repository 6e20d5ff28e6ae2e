"""Write the datasets' published files with rows of our own: the texts of ``tests/fixtures/texts.yaml``, numbers, names.

The names of countries and languages are CLDR's (babel). The layouts, and the faults that our readers mend, are those
of the published files: label words in the wrong place, thousands commas, spaces before a question, equal texts.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale

from lm_eval_xling import literals
from lm_eval_xling.languages import LANGUAGES

__all__ = ["write_published"]

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

ZHANG = tuple("en zh de fr es it nl ja ru sv sl pl bg no ms is hi th sw bn".split())
FIVE = ("en", "de", "es", "fr", "it")
TOFU = ("en", "fr", "ar", "fa", "he", "hi", "id", "ja", "ko", "ru")
LETTERS = "ABCD"

CITIES = {
    "Tokyo": "JP", "Paris": "FR", "Roma": "IT", "Madrid": "ES", "Berlin": "DE", "Moskva": "RU", "Cairo": "EG",
    "Lima": "PE", "Oslo": "NO", "Ankara": "TR", "Nairobi": "KE", "Seoul": "KR",
}  # fmt: skip
AUTHORS = {
    "Goethe": "de", "Hugo": "fr", "Cervantes": "es", "Dante": "it", "Shakespeare": "en", "Tolstoi": "ru", "Basho": "ja",
    "Pessoa": "pt", "Andersen": "da", "Ibsen": "nb", "Mickiewicz": "pl", "Tagore": "bn",
}  # fmt: skip
NAMES = [f"{first} {last}" for last in ("Vorel", "Tamsin", "Okubo", "Ledoux", "Brandt") for first in (
    "Ada", "Bruno", "Cora", "Dario", "Elin", "Faro", "Gita", "Hugo", "Ines", "Jon", "Kira", "Leo", "Mina", "Nils",
    "Olga", "Pavel", "Rosa", "Sven", "Tilda", "Uwe", "Vera", "Wim", "Xenia", "Yara", "Zeno", "Anselm", "Berit", "Clio",
    "Doru", "Esme", "Filip", "Greta", "Hana", "Ivo", "Jana", "Kuno", "Lena", "Milo", "Nora", "Otto",
)]  # fmt: skip
TITLES = [f"{first} {last}" for first in ("Lumera", "Tavor", "Quessa", "Brinda", "Ostrel") for last in (
    "Vost", "Marrin", "Selk", "Adiro", "Pelune", "Drask", "Yolen",
)]  # fmt: skip

# The published Norwegian labels stand in each other's place, and two languages have words that nobody else uses.
LABELS = {
    "no": {"neutral": "motsigelse", "contradiction": "nøytral"},
    "ja": {"neutral": "中性"},
    "bn": {"entailment": "ধারণ করে"},
}


@cache
def texts() -> Mapping[str, Any]:
    return yaml.safe_load((FIXTURES / "texts.yaml").read_text(encoding="utf-8"))


def say(purpose: str, language: str, **slots: object) -> str:
    return str(texts()[purpose][language]).format(**slots)


@cache
def country(code: str, language: str) -> str:
    return str(Locale.parse(language).territories[code])


@cache
def language_name(code: str, language: str) -> str:
    return str(Locale.parse(language).languages[code])


def write_published(folder: Path) -> Path:
    """Write every dataset below a folder, as the published copies stand beside the repository in our CI."""
    for part in (
        _mmlu,
        _quiz,
        _zhang,
        _pairs,
        _tofu,
        _mathematics,
        _xquad,
        _belebele,
        _sentences,
        _articles,
        _lexicons,
    ):
        part(folder)
    return folder


def _lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")


def _array(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")


def _rotated(options: Sequence[str], answer: int) -> list[str]:
    """The options with the first one, which is right, at the answer's place."""
    return [*options[1 : answer + 1], options[0], *options[answer + 1 :]]


# ---------------------------------------------------------------------------------------------------------------
# multiple choice
# ---------------------------------------------------------------------------------------------------------------


def _mmlu_item(subject: str, n: int, language: str) -> tuple[str, list[str]]:
    """The question, and the options with the right one first."""
    if subject == "elementary_mathematics":
        numbers = (2 * n + 3, 2 * n + 4, 2 * n + 5, n + 1)
        return say("sum", language, a=n, b=n + 3), [say("sum_option", language, n=number) for number in numbers]
    if subject == "high_school_us_history":
        centuries = (16 + n % 4, 12, 13, 14)
        year = 100 * (centuries[0] - 1) + 10 + n
        return say("letter", language, n=n, year=year), [say("letter_option", language, n=c) for c in centuries]
    if subject == "high_school_geography":
        cities = list(itertools.islice(itertools.cycle(CITIES), n, n + 4))
        options = [country(CITIES[city], language) for city in cities]
        # Two equal options, as in some published rows.
        return say("city", language, city=cities[0]), options[:3] + options[2:3] if n == 7 else options
    words, slot = ("body_parts", "part") if subject == "anatomy" else ("foods", "food")
    options = [texts()[words][language][(n + k) % 4] for k in range(4)]
    return say(slot if slot == "food" else "body", language, n=n, **{slot: options[0]}), options


MMLU = ("anatomy", "elementary_mathematics", "high_school_geography", "high_school_us_history", "nutrition")
# Nobody translated the last demonstration of one subject.
UNTRANSLATED = {("high_school_geography", "dev", 4)}


def _mmlu(folder: Path) -> None:
    for split, count in (("dev", 5), ("test", 8)):
        items = [(subject, index) for subject in MMLU for index in range(count)]
        translated = {language: [] for language in FIVE}  # type: dict[str, list[dict[str, Any]]]
        for subject, index in items:
            n = index + (0 if split == "test" else 20)
            for language in FIVE:
                question, options = _mmlu_item(subject, n, language)
                answer = (index + 1) % 4
                row = {"question": question, **dict(zip(LETTERS, _rotated(options, answer), strict=True))}
                row["answer"] = LETTERS[answer]
                if language == "en":
                    path = folder / "mmlu_en" / split / f"{subject}_{split}.csv"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("a", encoding="utf-8", newline="") as stream:
                        csv.writer(stream).writerow(row.values())
                # The aligned files hold a sample of the test rows, which begins with the second of each subject.
                if (subject, split, index) in UNTRANSLATED or (split == "test" and index == 0):
                    continue
                head = {"id": f"{subject}/{split}/{index}", "subject": subject, "index": index}
                translated[language].append({**head, **row})
        for language, rows in translated.items():
            _lines(folder / "mmlu_parallel" / f"{split}_{language}.jsonl", rows)


def _quiz(folder: Path) -> None:
    shutil.copytree(FIXTURES / "hp", folder / "harry_potter_ende")


def _belebele(folder: Path) -> None:
    for language in FIVE:
        rows = []
        for n, city in enumerate(CITIES):
            hours = [5 + n % 4, 9, 10, 11]
            options = _rotated([say("library_option", language, h=hour) for hour in hours], n % 4)
            rows.append(
                {
                    "id": f"https://example.org/library/{city} 1",
                    "passage": say("library", language, city=city, h=hours[0]),
                    "question": say("library_question", language, city=city),
                    **dict(zip(LETTERS, options, strict=True)),
                    "answer": LETTERS[n % 4],
                }
            )
        _lines(folder / "belebele" / f"belebele_{language}.jsonl", rows)


# ---------------------------------------------------------------------------------------------------------------
# Zhang et al.: classification and question pairs
# ---------------------------------------------------------------------------------------------------------------

_NLI = ("entailment", "neutral", "contradiction")
# Order of a premise's hypotheses; the demonstrations of the family have the labels that it expects.
_SHIFT = {38: 1, 108: 1, 63: 0, 138: 0, 181: 0, 114: 1}


def _nli_label(row: int) -> str:
    premise, position = divmod(row, 3)
    return _NLI[(position + _SHIFT.get(premise, premise % 3)) % 3]


def _zhang(folder: Path) -> None:
    for order, language in enumerate(ZHANG):

        def label(family: str, name: str, language: str = language) -> str:
            published = LABELS.get(language, {}) if family == "nli" else {}
            return published.get(name) or literals.word(language, f"labels.{family}.{name}")

        reviews = []
        for row in range(500):
            kind = "positive" if row % 2 else "negative"
            reviews.append({"input": say(f"review_{kind}", language, n=row), "answer": label("sentiment", kind)})
        _array(folder / "zhang_eval" / "ap_emotion" / f"emotion_{language}500_test.json", reviews)
        pairs = []
        for row in range(600):
            name = _nli_label(row)
            premise = say("premise", language, n=row // 3)
            hypothesis = say(name, language, n=row // 3)
            pairs.append({"premise": premise, "hypothesis": hypothesis, "answer": label("nli", name)})
        _array(folder / "zhang_eval" / "snli" / f"snli_{language}600_test.json", pairs)
        # Translation made pairs identical, in each language other ones.
        identical = {11 + 10 * k for k in range(order)}
        sentences = []
        for row in range(500):
            same = row % 10 in (1, 2, 3, 4, 5)
            first = say("sentence_1", language, n=1500 + row)
            second = say("sentence_2", language, n=1500 + row if same else 2001 + row)
            sentences.append(
                {
                    "sentence1": first,
                    "sentence2": first if row in identical else second,
                    "answer": "same" if same else "different",
                }
            )
        _array(folder / "zhang_eval" / "paws" / f"paws_{language}500_test.json", sentences)


def _pairs(folder: Path) -> None:
    for language in ("de", "es", "it", "sw", "zh"):

        def question(row: int, language: str) -> str:
            words = [literals.word(language, f"fields.{name}") for name in ("premise", "hypothesis", "answer")]
            premise, hypothesis = say("premise", language, n=row // 3), say(_nli_label(row), language, n=row // 3)
            return f'{words[0]}: {premise}\n{words[1]}: {hypothesis}\n{words[2]}: "'

        instruction = f"\nTranslate the input from {LANGUAGES[language].name} to English:\n"
        rows = [
            {"input": question(row, language) + instruction, "answer": question(row, "en")} for row in range(1000, 1400)
        ]
        name = f"snli_{language}_train_question_first2000.json"
        _array(folder / "zhang_question_translation" / name, rows)


# ---------------------------------------------------------------------------------------------------------------
# TOFU
# ---------------------------------------------------------------------------------------------------------------


def _book(row: int, language: str, name: str | None = None) -> dict[str, Any]:
    author, k = divmod(row, 20)
    slots = {"name": name or NAMES[author], "k": k + 1, "year": 1900 + 3 * k, "title": TITLES[row % len(TITLES)]}
    return {purpose: say(f"book_{purpose}", language, **slots) for purpose in ("question", "answer")}


def _perturbed_book(row: int, language: str) -> dict[str, Any]:
    author, k = divmod(row, 20)
    slots = {"name": NAMES[author], "k": k + 1, "year": 1900 + 3 * k}
    titles = [TITLES[(row + step) % len(TITLES)] for step in range(6)]
    right, *wrong = [say("book_paraphrase", language, **slots, title=title) for title in titles]
    return {
        **_book(row, language),
        "paraphrased_question": say("book_paraphrased_question", language, **slots),
        "paraphrased_answer": right,
        "perturbed_answer": wrong,
    }


def _choices(split: str, language: str) -> Iterable[tuple[str, list[str]]]:
    """Questions, and four options with the right one first."""
    purpose, slot, facts, name = (
        ("city", "city", CITIES, country) if split == "world_facts" else ("author", "name", AUTHORS, language_name)
    )
    for n, (key, code) in enumerate(facts.items()):
        others = [other for other in facts.values() if other != code]
        options = [
            name(choice, language) for choice in (code, *(others[(n + step) % len(others)] for step in (0, 4, 8)))
        ]
        yield say(purpose, language, **{slot: key}), options


def _tofu(folder: Path) -> None:
    english, translated = folder / "tofu", folder / "tofu_multilingual"
    full = [_book(row, "en") for row in range(4000)]
    _lines(english / "full.jsonl", full)
    for share, count in (("01", 40), ("05", 200), ("10", 400)):
        _lines(english / f"forget{share}.jsonl", full[-count:])
        held_out = [_book(row, "en", f"Anton {row // 20}") for row in range(count)]
        _lines(english / f"holdout{share}.jsonl", held_out)
    for name, rows in (
        ("forget01", range(3960, 4000)), ("forget10", range(3600, 4000)), ("retain", range(400)),
    ):  # fmt: skip
        _lines(english / f"{name}_perturbed.jsonl", [_perturbed_book(row, "en") for row in rows])
    _lines(translated / "retain99_fr.jsonl", [_book(row, "fr") for row in range(3960)])
    _lines(translated / "forget01_perturbed_fr.jsonl", [_perturbed_book(row, "fr") for row in range(3960, 4000)])
    for split in ("real_authors", "world_facts"):
        rows = []
        for n, (question, options) in enumerate(_choices(split, "en")):
            placed = {f"option{k}": text for k, text in enumerate(_rotated(options, n % 4), 1)}
            rows.append({"question": question, **placed, "answer": options[0]})
        _lines(english / f"{split}.jsonl", rows)
        for language in TOFU:
            made = [
                {"question": question, "answer": options[0], "perturbed_answer": options[1:]}
                for question, options in _choices(split, language)
            ]
            code = "iw" if language == "he" else language
            path = english / f"{split}_perturbed.jsonl" if language == "en" else None
            _lines(path or translated / f"{split}_perturbed_{code}.jsonl", made)
    for language in TOFU[1:]:
        code = "iw" if language == "he" else language
        _lines(translated / f"forget01_{code}.jsonl", [_book(row, language) for row in range(3960, 4000)])


# ---------------------------------------------------------------------------------------------------------------
# word problems, passages, sentences, articles, lexicons
# ---------------------------------------------------------------------------------------------------------------


def _mathematics(folder: Path) -> None:
    numbers = [(3 + n, 4 + 2 * n) for n in range(10)] + [(1900, 225), (114000, 200)]
    for language in "en bn de es fr ja ru sw te th zh".split():
        lines = [f"{say('problem', language, a=a, b=b)}\t{a + b:,}\n" for a, b in numbers]
        path = folder / "mgsm" / f"mgsm_{language}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        if language == "te":
            continue
        rows = []
        for n, (a, b) in enumerate(numbers):
            query = "" if language == "en" else say("problem", "en", a=a, b=b).lower().replace(".", " .")
            # Many published rows begin with a space.
            space = " " if language == "sw" and n % 2 else ""
            fields = {"equation": "+ number0 number1", "response": f"{a + b:.1f}"}
            rows.append(
                {**({"query": query} if query else {}), **fields, "m_query": space + say("problem", language, a=a, b=b)}
            )
        _lines(folder / "msvamp" / f"test_{LANGUAGES[language].name}.json", rows)


def _xquad(folder: Path) -> None:
    for language in "en ar de el es hi ro ru th tr vi zh".split():
        articles = []
        for n, code in enumerate(CITIES.values()):
            answers = {"builder": NAMES[3 * n], "year": str(1800 + 7 * n), "country": country(code, language)}
            context = say(
                "bridge", language, n=n, name=answers["builder"], **{k: answers[k] for k in ("year", "country")}
            )
            questions = [
                {
                    "id": f"bridge{n}{kind}",
                    "question": say(f"bridge_{kind}", language, n=n),
                    "answers": [{"text": answer, "answer_start": context.index(answer)}],
                }
                for kind, answer in answers.items()
            ]
            articles.append({"title": f"Bridge_{n}", "paragraphs": [{"context": context, "qas": questions}]})
        path = folder / "xquad" / f"xquad.{language}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"data": articles, "version": "1.1"}, indent=2), encoding="utf-8")


def _sentences(folder: Path) -> None:
    for language, sentences in texts()["sentences"].items():
        path = folder / "flores_sample" / f"{language}.devtest"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(sentences), encoding="utf-8")


def _articles(folder: Path) -> None:
    """Articles tokenised by spaces, as published, with rare words as <unk> and hyphens between at signs."""
    sentences = [sentence.removesuffix(".").replace(",", " ,") + " ." for sentence in texts()["sentences"]["en"]]
    for name, first in (("valid", 0), ("test", 3)):
        lines = [" "]
        for article in range(6):
            title = f"The {NAMES[first + article].split()[1]} bridge {article}"
            paragraph = sentences[article : article + 6]
            lines += [f" = {title} = ", " ", f" The old @-@ new bridge of <unk> is {article + 3} @,@ 000 feet long . "]
            lines += [" ", " = = History = = ", " ", f" {' '.join(paragraph)} ", " "]
        path = folder / "wikitext2" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lexicons(folder: Path) -> None:
    rows = [line.split() for line in texts()["lexicon"].splitlines()]
    common = [dict(zip(FIVE, (row[0], *(cell.split("/")[0] for cell in row[1:])), strict=True)) for row in rows]
    order = ("en", "de", "fr", "it", "es")
    columns = "\t".join(LANGUAGES[code].name.lower() for code in order)
    path = folder / "lexicons" / "common_words_5lang" / "common_words.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(row[code] for code in order) for row in common]
    path.write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    for position, language in enumerate(FIVE[1:], 1):
        path = folder / "lexicons" / "muse" / f"en-{language}.first5000.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pairs = [(row[0], translation.lower()) for row in rows for translation in row[position].split("/")]
        path.write_text("".join(f"{word}\t{translation}\n" for word, translation in pairs), encoding="utf-8")
