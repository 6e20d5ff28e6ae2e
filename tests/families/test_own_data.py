"""Own parallel data: a description alone makes tasks, in every format, and bad rows are named with file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.families.own_rows import Columns, OwnRow, rows_of
from lm_eval_xling.families.own_tasks import write_tasks
from lm_eval_xling.harness import requests

LANGUAGES = ("en", "de", "fr", "es", "it")
CITIES = ("Lima", "Quito", "Oslo", "Riga", "Baku", "Doha")
WORDS = {"en": "The capital", "de": "Die Hauptstadt", "fr": "La capitale", "es": "La capital", "it": "La capitale"}


def rows(language: str) -> list[dict[str, Any]]:
    """Cloze rows: a sentence that a city completes, and candidates in one order for all languages."""
    cities = [f"{city}-{language}" for city in CITIES]
    return [
        {"key": f"k{n}", "sentence": f"{WORDS[language]} {n}:", "cities": cities, "right": cities[n], "kind": "odd"}
        for n in range(len(CITIES))
    ]


@pytest.fixture
def describe(tmp_path: Path) -> Callable[..., Path]:
    """Write the rows of every language as JSON lines, and a description with some of its keys replaced."""

    def write(**changed: Any) -> Path:
        for language in LANGUAGES:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows(language)]
            (tmp_path / f"{language}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        description = {
            "name": "cities",
            "title": "Cities",
            "licence": "CC0-1.0",
            "languages": list(LANGUAGES),
            "rows": "{language}.jsonl",
            "columns": {"id": "key", "question": "sentence", "options": "cities", "wrong": 3, "answer": "right"},
            "prompt": ["{question}"],
            "forms": ["cloze"],
        } | changed
        path = tmp_path / "cities.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in description.items() if v is not None}), encoding="utf-8")
        return path

    return write


def make(description: Path, folder: Path) -> None:
    write_tasks(description, own_family(description), folder)


def show(folder: Path, task: str, row: int = 0, **xling: Any) -> Any:
    (request,) = requests(task, rows=[row], metadata={"xling": xling}, include_path=[folder])
    return request


def test_cloze_data_needs_a_description_alone(describe: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    make(describe(), folder)
    names = {path.stem for path in folder.glob("xling_*.yaml")}
    assert len(names) == 1 + 7 * 4 + 1 and "xling_cities_mixup" in names
    assert "version: 1.1" in (folder / "_cities_cloze").read_text(encoding="utf-8")
    base = show(folder, "xling_cities_en", 2)
    assert base.context == "The capital 2:"
    assert len(base.continuations) == 4 and base.continuations[base.document.answer] == " Oslo-en"
    mixed = show(folder, "xling_cities_options_fr", 2)
    assert mixed.context == "The capital 2:"
    # The same candidates were drawn in both languages, and stand in the same places.
    assert [text.removesuffix("-fr") for text in mixed.continuations] == [
        text.removesuffix("-en") for text in base.continuations
    ]
    lone = show(folder, "xling_cities_gt_de", 2)
    assert [text.rsplit("-")[-1] for text in lone.continuations].count("de") == 1
    assert lone.continuations[lone.document.answer] == " Oslo-de"
    every = show(folder, "xling_cities_mixup", 2)
    languages = every.document.condition.languages
    shown = [languages["question"], *(languages[f"option_{index}"] for index in range(4))]
    assert sorted(shown) == sorted(LANGUAGES)


@pytest.mark.slow
def test_letters_with_any_number_of_options_and_the_harness_itself(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    columns = {"id": "key", "question": "sentence", "options": "cities", "answer": "right", "subject": "kind"}
    folder = tmp_path / "tasks"
    make(describe(columns=columns, prompt=None, forms=None, instruction="Choose."), folder)
    request = show(folder, "xling_cities_question_de", 1)
    assert request.context == (
        "Choose.\n\nDie Hauptstadt 1:\n"
        + "\n".join(f"{letter}. {city}-en" for letter, city in zip("ABCDEF", CITIES, strict=True))
        + "\nAntwort:"
    )
    assert request.continuations == (" A", " B", " C", " D", " E", " F") and request.document.answer == 1
    assert request.document.group == "odd"
    cloze = show(folder, "xling_cities_question_de", 1, form="cloze")
    assert cloze.context == "Choose.\n\nDie Hauptstadt 1:\nAntwort:" and cloze.continuations[1] == " Quito-en"
    # Six options and a question are more parts than there are languages.
    assert not (folder / "xling_cities_mixup.yaml").exists()
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = simple_evaluate(model="dummy", tasks=["crosslingual_cities"], task_manager=manager, log_samples=True)
    assert results is not None
    assert results["results"]["xling_cities_en"]["acc,none"] >= 0
    assert results["groups"]["crosslingual_cities::full"]["acc,none"] == pytest.approx(
        sum(results["results"][f"xling_cities_full_{code}"]["acc,none"] for code in LANGUAGES[1:]) / 4
    )
    sample = results["samples"]["xling_cities_gt_de"][0]["doc"]
    assert sample["condition"]["placement"] == "gt" and sample["condition"]["languages"]["answer"] == "de"


def test_rows_without_options_are_answered_in_text(describe: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"id": "key", "question": "sentence", "answer": "right"}
    folder = tmp_path / "tasks"
    make(describe(columns=columns, prompt=["{question}", "[fields.answer]:"], forms=None), folder)
    german = {path.stem for path in folder.glob("xling_*_de.yaml")}
    assert german == {"xling_cities_full_de", "xling_cities_question_de"}
    assert show(folder, "xling_cities_full_de", 3).document.target == "Riga-de"
    crossed = show(folder, "xling_cities_question_de", 3)
    assert crossed.context == "Die Hauptstadt 3:\nAntwort:" and crossed.document.target == "Riga-en"
    assert dict(crossed.document.condition.languages) == {"question": "de", "answer": "en"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_tasks(suffix: str, describe: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"id": "key", "question": "sentence", "options": ["o0", "o1", "o2"], "answer": "letter"}
    description = describe(rows=f"{{language}}{suffix}", columns=columns, forms=["letters"], prompt=None)
    for language in LANGUAGES:
        table = [
            {"key": row["key"], "sentence": row["sentence"], "letter": "ABC"[n % 3]}
            | {f"o{k}": f"{row['cities'][k]}, {n}" for k in range(3)}
            for n, row in enumerate(rows(language))
        ]
        path = tmp_path / f"{language}{suffix}"
        if suffix == ".parquet":
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), path)
        else:
            # A byte order mark, as spreadsheets write it.
            with path.open("w", encoding="utf-8-sig", newline="") as stream:
                writer = csv.DictWriter(stream, table[0], delimiter="\t" if suffix == ".tsv" else ",")
                writer.writeheader()
                writer.writerows(table)
    folder = tmp_path / "tasks"
    make(description, folder)
    request = show(folder, "xling_cities_full_fr", 4)
    assert request.context == "La capitale 4:\nA. Lima-fr, 4\nB. Quito-fr, 4\nC. Oslo-fr, 4\nRéponse:"
    assert request.document.answer == 1


def test_rows_of_a_dataset_with_a_configuration_a_language(describe: Callable[..., Path], tmp_path: Path) -> None:
    """As on the hub: here a folder in the hub's layout, which `datasets` reads the same way."""
    configs = [{"config_name": f"c_{code}", "data_files": f"{code}.jsonl"} for code in LANGUAGES]
    description = describe(rows={"hub": str(tmp_path / "dataset"), "config": "c_{language}", "split": "train"})
    (tmp_path / "dataset").mkdir()
    for code in LANGUAGES:
        (tmp_path / f"{code}.jsonl").rename(tmp_path / "dataset" / f"{code}.jsonl")
    card = yaml.safe_dump({"configs": configs})
    (tmp_path / "dataset" / "README.md").write_text(f"---\n{card}---\n", encoding="utf-8")
    make(description, tmp_path / "tasks")
    request = show(tmp_path / "tasks", "xling_cities_full_it", 1)
    assert request.context == "La capitale 1:" and " Quito-it" in request.continuations
    with pytest.raises(UserError, match="the rows cannot be read(.|\n)*nowhere"):
        make(describe(rows={"hub": str(tmp_path / "nowhere"), "config": "c_{language}"}), tmp_path / "other")


def test_wrong_answers_are_drawn_from_other_items_and_are_parallel(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    columns = {"id": "key", "question": "sentence", "wrong": 2, "answer": "right"}
    family = own_family(describe(columns=columns))
    assert family.check is not None and family.check() == len(CITIES)
    assert family.load is not None
    by_language = {code: family.load("cities", code, "test") for code in LANGUAGES}
    for n in range(len(CITIES)):
        plain = {tuple(option.rsplit("-")[0] for option in by_language[code][n].options) for code in LANGUAGES}
        assert len(plain) == 1 and len(set(*plain)) == 3
        row = by_language["it"][n]
        assert row.answer is not None and row.options[row.answer] == f"{CITIES[n]}-it"


def test_drawn_options_are_the_same_items_where_two_answers_are_one_word(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    """German has one word for two of the answers, and its file another order."""
    things = {"mug": "Tasse", "cup": "Tasse", "plate": "Teller", "fork": "Gabel", "spoon": "Löffel", "knife": "Messer"}
    for language, answers in (("en", things), ("de", things.values())):
        lines = [f"k{n},{language} {n}?,{answer},{language}" for n, answer in enumerate(answers)]
        lines = lines if language == "en" else lines[::-1]
        (tmp_path / f"{language}.csv").write_text("\n".join(["key,sentence,right,kind", *lines]) + "\n")
    columns = {"id": "key", "question": "sentence", "answer": "right", "wrong": 4, "subject": "kind"}
    asked = {"languages": ["en", "de"], "rows": "{language}.csv", "prompt": None, "forms": None}
    family = own_family(describe(**asked, columns=columns | {"wrong": 3}))
    assert family.check is not None and family.check() == len(things) and family.load is not None
    english, german = ({row.id: row for row in family.load("cities", code, "test")} for code in ("en", "de"))
    for identifier, row in english.items():
        assert german[identifier].options == tuple(things[option] for option in row.options)
        assert german[identifier].answer == row.answer and len(set(german[identifier].options)) == 4
        assert row.answer is not None and row.options[row.answer] == list(things)[int(identifier[1:])]
    # Of the other five answers one is the same word, so that no five can be drawn.
    with pytest.raises(UserError, match="5 wrong options are to be drawn, but there are 4(.|\n)*en.csv:2"):
        make(describe(**asked, columns=columns | {"wrong": 5}), tmp_path / "tasks")
    extra = "k9,de 9?,Topf,de\n"
    (tmp_path / "de.csv").write_text((tmp_path / "de.csv").read_text() + extra)
    with pytest.raises(UserError, match="'k9' \\(not in en\\)"):
        make(describe(**asked, columns=columns | {"wrong": 3}), tmp_path / "tasks")


@pytest.mark.parametrize(
    ("cities", "message"),
    [
        (lambda cities: cities[::-1], "unlike answers: .*'fr': 5"),
        (lambda cities: cities[:-1], "unlike numbers of options: .*'fr': 5"),
    ],
)
def test_options_to_draw_from_are_parallel(
    cities: Callable[[list[str]], list[str]], message: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    description = describe()
    changed = [row | {"cities": cities(row["cities"])} if row["right"] == "Lima-fr" else row for row in rows("fr")]
    (tmp_path / "fr.jsonl").write_text("\n".join(map(json.dumps, changed)) + "\n")
    with pytest.raises(UserError, match=message):
        make(description, tmp_path / "tasks")


def sums(given: Sequence[object], *, written: type = str, **columns: Any) -> list[int | None]:
    """The right options that are read where the options of row n are n, n+1, n+2 and n+3."""
    options = [[written(number + shift) for shift in range(4)] for number in range(len(given))]
    records = [
        OwnRow({"q": "?", "o": row, "a": answer}, f"row {number}")
        for number, (row, answer) in enumerate(zip(options, given, strict=True))
    ]
    return [row.answer for row in rows_of(records, Columns({"question": "q"}, "a", options="o", **columns), "en")]


@pytest.mark.parametrize(
    ("answers", "columns", "read"),
    [
        # Row 0 has an option 3; the last row has no option 1, so that all are numbers.
        (["3", "1", "2", "1"], {}, [3, 1, 2, 1]),
        (["1", "2", "4"], {"first_answer": 1}, [0, 1, 3]),
        # 4 is no number of an option from 0, so that all are texts.
        (["3", "4", "3"], {}, [3, 3, 1]),
        # Both can be meant in every row.
        (["1", "2", "3"], {"first_answer": 1}, [0, 1, 2]),
        (["1", "2", "3"], {"answers": "numbers"}, [1, 2, 3]),
        (["1", "2", "3"], {"answers": "texts"}, [1, 1, 1]),
        (["1", "2", "3"], {"answers": "texts", "first_answer": 1}, [1, 1, 1]),
        # Both are the same.
        (["1"], {}, [1]),
        # What is written as a number is not the text of an option in quotes.
        ([1, 2, 3], {}, [1, 2, 3]),
        ([3, 4, 3], {"written": int}, [3, 3, 1]),
        (["b", "A"], {}, [1, 0]),
    ],
)
def test_all_answers_are_read_in_one_way(answers: list[object], columns: dict[str, Any], read: list[int]) -> None:
    assert sums(answers, **columns) == read


@pytest.mark.parametrize(
    ("answers", "columns", "message"),
    [
        (
            ["1", "2", "3"],
            {},
            "the answer '2' is the text of one(.|\n)*row 1(.|\n)*answers: texts, or answers: numbers",
        ),
        ([1, 2, 3], {"written": int}, "the answer 2 is the text of one(.|\n)*row 1"),
        (["3", "0", "4"], {}, "'0' is no option's text, and the answer '4' is no(.|\n)*row 1 and row 2(.|\n)*one way"),
        (["3", "9"], {}, "'9' is none of the 4 options(.|\n)*row 1(.|\n)*text, its letter, or its number from 0"),
        (
            ["3", "4"],
            {"answers": "numbers"},
            "'4' is none of the 4 options(.|\n)*an option's letter, or its number from 0",
        ),
        (["0", "0"], {"answers": "texts"}, "'0' is none of the 4 options(.|\n)*row 1(.|\n)*give an option's text$"),
    ],
)
def test_answers_that_say_no_one_thing_are_an_error(
    answers: list[object], columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sums(answers, **columns)


def test_the_description_says_which_answers_are_texts(describe: Callable[..., Path], tmp_path: Path) -> None:
    columns = {"id": "key", "question": "sentence", "options": ["o0", "o1"], "answer": "right"}
    for language in LANGUAGES:
        lines = ["key,sentence,o0,o1,right", "a,?,1,0,0", "b,?,1,0,1"]
        (tmp_path / f"{language}.csv").write_text("\n".join(lines) + "\n")
    asked = {"rows": "{language}.csv", "columns": columns, "prompt": None, "forms": None}
    with pytest.raises(UserError, match="en.csv:2(.|\n)*answers: texts, or answers: numbers"):
        make(describe(**asked), tmp_path / "tasks")
    for answers, right in (("texts", [1, 0]), ("numbers", [0, 1])):
        family = own_family(describe(**asked, answers=answers))
        assert family.load is not None
        assert [row.answer for row in family.load("cities", "de", "test")] == right


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"promt": ["x"]}, "unknown key 'promt'(.|\n)*did you mean prompt"),
        ({"name": "Cities!"}, "no name for tasks"),
        ({"name": "mmlu"}, "one of our own families"),
        ({"languages": "en"}, "Expected `array`"),
        ({"languages": ["en", "xyzzy"]}, "unknown language .xyzzy."),
        ({"base_language": "nl"}, "none of `languages`"),
        ({"rows": "{language}.txt"}, "files of the kind '.txt'"),
        ({"rows": "{language}.csv"}, "there is no such file"),
        ({"rows": {"hub": "x", "splt": "test"}}, "unknown key 'splt'"),
        ({"columns": {"question": "sentence"}}, "lacks `question` or `answer`"),
        ({"columns": {"question": "q", "answer": "right"}}, "there is no column 'q'(.|\n)*en.jsonl:1"),
        ({"columns": {"question": "sentence", "answer": "right", "options": "kind"}}, "holds no list of options"),
        ({"columns": {"question": "sentence", "answer": "kind", "options": "cities"}}, "'odd' is none of the 6"),
        ({"columns": {"question": "sentence", "answer": "right", "options": "cities", "wrong": 9}}, "there are 5"),
        ({"columns": {"question": "sentence", "answer": "right", "wrong": 0}}, "wrong` is 0"),
        ({"columns": {"id": "kind", "question": "sentence", "answer": "right"}}, "'odd' occurs twice"),
        ({"prompt": ["{qestion}"]}, "unknown field 'qestion'(.|\n)*question"),
        ({"prompt": ["[fields.anser]:"]}, "unknown prompt word 'fields.anser'"),
        ({"forms": ["letters"]}, "the prompt shows no options"),
        ({"answers": "texts", "columns": {"question": "sentence", "answer": "right"}}, "`columns` has none"),
        ({"answers": "letters"}, "Invalid enum value 'letters'"),
        ({"forms": ["spoken"]}, "Invalid enum value 'spoken'"),
    ],
)
def test_bad_descriptions_are_one_message(
    changed: dict[str, Any], message: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    description = describe(**changed)
    with pytest.raises(UserError, match=message):
        make(description, tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()


def test_english_is_a_base_language_like_any_other(describe: Callable[..., Path], tmp_path: Path) -> None:
    """Where the data's own is another: what a user names is what is shown."""
    folder = tmp_path / "tasks"
    make(describe(base_language="de"), folder)
    assert show(folder, "xling_cities_options_fr").context == "Die Hauptstadt 0:"
    shown = show(folder, "xling_cities_options_fr", base_language="en")
    assert shown.context == "The capital 0:" and shown.document.condition.languages["question"] == "en"
    assert show(folder, "xling_cities_options_fr", base_language="it").context == "La capitale 0:"


def test_rows_without_a_cluster_depend_on_no_other() -> None:
    values = [{"q": "a", "r": "b", "from": "x"}, {"q": "c", "r": "d", "from": None}, {"q": "e", "r": "f", "from": ""}]
    columns = Columns({"question": "q"}, "r", subject="from", cluster="from")
    made = rows_of([OwnRow(row, f"row {number}") for number, row in enumerate(values)], columns, "en")
    assert [row.extra for row in made] == [{"subject": name, "cluster": name} for name in ("x", "", "")]


def test_rows_that_are_not_parallel_are_named(describe: Callable[..., Path], tmp_path: Path) -> None:
    description = describe()
    path = tmp_path / "fr.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(UserError, match="1 of 6 ids are missing(.|\n)*'k5' \\(not in fr\\)"):
        make(description, tmp_path / "tasks")
    path.write_text("\n".join([lines[0].replace('"sentence": "La capitale 0:"', '"sentence": " "'), *lines[1:]]))
    with pytest.raises(UserError, match="'sentence' is empty(.|\n)*fr.jsonl:1"):
        make(description, tmp_path / "tasks")
    path.write_text("\n".join([lines[0], "{", *lines[2:]]))
    with pytest.raises(UserError, match="the line is no JSON(.|\n)*fr.jsonl:2"):
        make(description, tmp_path / "tasks")


def test_a_folder_with_other_files_is_left_alone(describe: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    make(describe(), folder)
    # A later description with fewer languages removes what it no longer makes.
    make(describe(languages=["en", "de"]), folder)
    assert not list(folder.glob("*_fr.yaml")) and list(folder.glob("*_de.yaml"))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="notes.txt is not of these tasks"):
        make(describe(), folder)
