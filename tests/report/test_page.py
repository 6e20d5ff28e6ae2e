"""The written report: files, round trip, and the page in a real browser, with hostile text in the samples."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.report import read_report, write_report
from lm_eval_xling.report.comparing import compare
from lm_eval_xling.report.gallery import draw
from lm_eval_xling.report.plots import heat_map
from lm_eval_xling.report.reading import read_runs
from lm_eval_xling.report.wording import Words
from tests.report.browser import CHROMIUM, Browser
from tests.report.runs import document, right_or_wrong, write_run

HOSTILE = (
    """</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">"""
    """'"{{ 7*7 }}{% raw %}<!--&amp;\u2028"""
)
LANGUAGES = ("en", "de", "ar")


def write_runs(folder: Path) -> None:
    for seed, (name, arguments) in enumerate(
        [("base", "pretrained=org/base"), ("qa", "pretrained=org/base,peft=runs/q$a$<b>")]
    ):
        rng = np.random.default_rng(seed)
        made: dict[str, list[dict[str, Any]]] = {}
        for q in LANGUAGES:
            for a in LANGUAGES:
                rows = []
                for i in range(40):
                    doc = document(f"item:{i}", q, a, answer=i % 4, group=("capital", "=cmd()", HOSTILE)[i % 3])
                    if q == "ar":
                        doc["prompt"] = f"ما هي عاصمة {i}؟"
                    if i == 0:
                        doc |= {"prompt": f"{HOSTILE} {q}", "choices": [HOSTILE, *doc["choices"][1:]]}
                    rows.append(right_or_wrong(doc, bool(rng.uniform() < (0.9 if q == a else 0.4))))
                made[f"xling_atlas_{q}_{a}"] = rows
        write_run(folder / name, made, model_args=arguments)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_runs(root / "runs")
    return write_report([root / "runs"], root / "out")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs the Debian package chromium: the page is not tried in a browser")
    browser = Browser()
    yield browser
    browser.close()


@pytest.mark.slow
def test_files(page: Path) -> None:
    folder = page.parent
    assert page.name == "report.html"
    assert not list(folder.rglob("*.part"))
    pictures = {path.stem for path in (folder / "plots").glob("*.png")}
    assert pictures == {path.stem for path in (folder / "plots").glob("*.svg")}
    assert {name.split("_")[3] for name in pictures} == {
        "matrix",
        "barriers",
        "change",
        "languages",
        "slope",
        "agreement",
    }
    subjects = list(csv.DictReader((folder / "subjects.csv").open(encoding="utf-8", newline="")))
    # A cell that a spreadsheet would run is made text.
    assert {row["subject"] for row in subjects} == {"capital", "'=cmd()", HOSTILE}
    assert float(subjects[0]["paired_difference_low"]) <= float(subjects[0]["paired_difference"])


def test_json_reads_back_and_fits_its_schema(page: Path) -> None:
    path = page.parent / "report.json"
    report = read_report(path)
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert raw["schema_version"] == report.schema_version == 2
    assert len(report.barriers) == len(raw["barriers"]) > 8
    assert report.barriers[0].paired is not None
    assert report.barriers[0].paired.difference.low == raw["barriers"][0]["paired"]["difference"]["low"]
    schema = json.loads((page.parent / "report.schema.json").read_text(encoding="utf-8"))
    definition = schema["$defs"]["BarrierRow"]
    assert set(definition["required"]) == set(raw["barriers"][0])
    assert definition["properties"]["barrier"]["type"] == ["number", "null"]


def test_undefined_numbers_are_null_and_come_back_as_nan(tmp_path: Path) -> None:
    write_run(
        tmp_path / "runs", {"xling_atlas_en_en": [right_or_wrong(document("a", "en", "en"), True)]}, samples=False
    )
    write_report([tmp_path / "runs"], tmp_path / "out")
    path = tmp_path / "out" / "report.json"
    path.write_text(re.sub(r'"low": [0-9.]+', '"low": null', path.read_text()))
    assert np.isnan(read_report(path).scores[0].score.low)
    path.write_text('{"schema_version": 99}')
    with pytest.raises(UserError, match="schema version 99"):
        read_report(path)
    path.write_text("[1,")
    with pytest.raises(UserError, match="not a report"):
        read_report(path)


@pytest.mark.parametrize(
    ("task", "samples", "reason"),
    [
        ("xling_mine_fr", False, "samples are missing, which say what can be compared"),
        ("xling_mine_fr", True, "a family needs its English task"),
        ("arc_easy", False, "a family needs its English task"),
    ],
)
def test_the_page_says_why_there_is_no_barrier(tmp_path: Path, task: str, samples: bool, reason: str) -> None:
    write_run(tmp_path / "runs", {task: [right_or_wrong(document("a", "fr", "fr"), True)]}, samples=samples)
    text = write_report([tmp_path / "runs"], tmp_path / "out").read_text(encoding="utf-8")
    assert f"No barrier can be computed from these runs: {reason}" in text


@pytest.mark.slow
def test_the_same_runs_give_the_same_report(page: Path, tmp_path: Path) -> None:
    again = write_report([page.parent.parent / "runs"], tmp_path / "again")
    for name in ("report.json", "barriers.csv", "report.html"):
        assert (again.parent / name).read_bytes() == (page.parent / name).read_bytes()


@pytest.mark.slow
def test_results_in_memory_give_the_report_of_their_files(tmp_path: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    from lm_eval_xling.harness import tasks_folder

    names = ["xling_atlas_en_en", "xling_atlas_de_en"]
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    results = lm_eval.simple_evaluate("dummy", tasks=names, limit=6, task_manager=manager, log_samples=True)
    given = set(results)
    report = read_report(write_report(results, str(tmp_path / "out")).parent)
    assert set(results) == given
    (barrier,) = [row for row in report.barriers if row.scope == "task"]
    scores = [results["results"][name]["acc,none"] for name in names]
    assert (barrier.reference_score, barrier.score) == pytest.approx(tuple(scores)) and barrier.paired is not None
    # What it was made from stays beside it, and gives the same again.
    again = read_report(write_report([str(tmp_path / "out" / "evaluated")], tmp_path / "again").parent)
    assert again.barriers == report.barriers
    with pytest.raises(UserError, match="not the results of an evaluation"):
        write_report({"samples": {}}, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_out_must_be_a_folder(page: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="a folder is needed"):
        write_report([page.parent.parent / "runs"], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_nothing_of_the_data_is_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text and "<script>window" not in text and "<b>.csv" not in text
    # The subject stands in a cell and in a filter, escaped; the template engine did not run it.
    assert "&lt;/script&gt;&lt;script&gt;window.pwned=1" in text and "{{ 7*7 }}" in text
    # Scripts: three kinds of data, and the page's own as the last.
    assert text.count("</script>") == text.count("<script") == 4


@pytest.mark.slow
def test_the_page_works_in_a_browser(page: Path, browser: Browser, tmp_path: Path) -> None:
    browser.open(page)
    # Reading the items' data is slow: not before somebody comes near them, with two models beside each other or not.
    assert browser.run("document.querySelectorAll('.versus').length") > 0
    assert browser.run("document.querySelectorAll('#list details').length") == 0
    visible = "[...document.querySelectorAll('{}')].filter(e => !e.hidden).length"
    rows = 'details.table[data-family="atlas"] tbody tr'
    # Sorting: a click on "barrier" puts the smallest first, a second one the largest.
    table = "document.querySelector('details.table[data-family]')"
    column = f"[...{table}.querySelectorAll('tbody tr')].map(r => Number(r.cells[5].dataset.value))"
    button = "document.querySelectorAll('details.table[data-family] th button')[5].click()"
    browser.run(button)
    values = browser.run(column)
    assert values == sorted(values) and values[0] < values[-1]
    browser.run(button)
    assert browser.run(column) == sorted(values, reverse=True)
    # The first screen: size, certainty, change, chance and n of both models.
    cards = browser.run("document.querySelector('.card').innerText")
    for said in ("points barrier", "Real: p\u00a0<\u00a0.001, 40 items.", "Against base: barrier", "guessing, 25.0"):
        assert said in cards, cards
    assert browser.run("document.querySelectorAll('.card .headline').length") == 2
    # Filtering by model, language and subject.
    everything = browser.run(visible.format(rows))
    select = "const s = document.querySelector('select[name=language]'); s.value = 'de';"
    browser.run(f"(() => {{{select} s.dispatchEvent(new Event('change', {{bubbles: true}}))}})()")
    german = browser.run(visible.format(rows))
    assert 0 < german < everything
    names = browser.run(
        f"[...document.querySelectorAll('{rows}')].filter(e => !e.hidden).map(e => e.dataset.languages)"
    )
    assert all(name == "" or "de" in name.split() for name in names)
    browser.run("document.getElementById('filters').reset()")
    wait_for(browser, f"{visible.format(rows)} === {everything}")
    # Drill-down: the list is made when it comes into view; an opened item shows its texts and what was chosen.
    browser.run("document.getElementById('items').scrollIntoView()")
    wait_for(browser, "document.querySelectorAll('#list details').length === 40")
    browser.run("document.querySelector('#list details').open = true")
    wait_for(browser, "document.querySelectorAll('#list details[open] .condition').length === 9")
    shown = browser.run("document.querySelector('#list details[open] .condition .question').textContent")
    assert shown == f"{HOSTILE} en"
    wait_for(browser, "document.querySelectorAll('#list details[open] .condition:nth-of-type(1) .chip').length === 2")
    models = browser.run(
        "[...document.querySelectorAll('#list details[open] .condition:nth-of-type(1) .chip')].map(e => e.textContent)"
    )
    assert sorted(models) == ["base", "base + q$a$<b>"]
    # Search finds an item by its text, and Arabic stands right to left.
    search = "const s = document.getElementById('search'); s.value = 'عاصمة 7؟';"
    browser.run(f"(() => {{{search} s.dispatchEvent(new Event('input'))}})()")
    wait_for(browser, "document.querySelectorAll('#list details').length === 1")
    browser.run("document.querySelector('#list details').open = true")
    wait_for(browser, "document.querySelector('.condition [dir=rtl]') !== null")
    assert browser.run("getComputedStyle(document.querySelector('.condition p[lang=ar]')).direction") == "rtl"
    # Two models beside each other: B's barrier minus A's, the other way round when they change places.
    line = "document.querySelector('.versus tbody tr').cells"
    assert "B's barrier is" in browser.run("document.querySelector('.versus p').textContent")
    assert browser.run("document.querySelectorAll('.versus figure svg circle').length") == 11
    forth = browser.run(f"[...{line}].map(e => e.textContent)")
    choose = "(() => {{const s = document.getElementById('compare-{}'); s.value = '{}'; {}}})()"
    browser.run(choose.format("first", 1, ""))
    browser.run(choose.format("second", 0, "s.dispatchEvent(new Event('change', {bubbles: true}))"))
    back = browser.run(f"[...{line}].map(e => e.textContent)")
    assert (back[1], back[2]) == (forth[2], forth[1]) and back[3] != forth[3]
    assert back[3].lstrip("+−") == forth[3].lstrip("+−") and back[3] != "+0.0"
    browser.run(choose.format("first", 0, "s.dispatchEvent(new Event('change', {bubbles: true}))"))
    assert browser.run("document.getElementById('compared').textContent") == "Choose two different models."
    assert browser.run("document.querySelector('#list details').open"), "choosing models shuts what is open"
    # A link to an item that the page does not have says so; another one leads to its item, open, whatever is filtered.
    browser.run("location.hash = '#item=0/lost%'")
    wait_for(browser, "document.getElementById('found').textContent.startsWith('Item lost% is not on this page')")
    browser.run("location.hash = '#item=0/item%3A7'")
    wait_for(browser, "document.querySelector('#list details[open]')?.dataset.id === 'item:7'")
    assert browser.run("document.querySelector('#list details[open] a').hash") == "#item=0/item%3A7"
    # A figure becomes a picture without leaving the page.
    browser.run("HTMLAnchorElement.prototype.click = function () { window.saved = this; }")
    browser.run("document.querySelector('figure button').click()")
    wait_for(browser, "window.saved !== undefined")
    assert browser.run("saved.download").startswith("atlas_0-shot_cloze_matrix_base")
    assert browser.run("saved.href").startswith("data:image/png;base64,")
    assert browser.run("saved.href.length") > 10_000
    assert browser.run("window.pwned") is None
    assert browser.problems == []
    browser.screenshot(tmp_path / "page.png")


@pytest.mark.slow
def test_the_page_fits_a_phone_and_both_themes(page: Path, browser: Browser, tmp_path: Path) -> None:
    grounds = {}
    for dark in (False, True):
        browser.open(page, width=390, height=800, dark=dark)
        assert browser.run("document.documentElement.scrollWidth") == 390
        grounds[dark] = browser.run("getComputedStyle(document.body).backgroundColor")
        ink = browser.run("getComputedStyle(document.querySelector('figure svg')).color")
        assert ink != grounds[dark]
    assert grounds[False] == "rgb(255, 255, 255)" and grounds[True] != grounds[False]
    assert browser.pdf(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.problems == []


def wait_for(browser: Browser, condition: str) -> None:
    deadline = time.monotonic() + 120
    while not browser.run(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


def test_heat_map_writes_a_picture_and_leaves_gaps_blank(tmp_path: Path) -> None:
    from PIL import Image

    scores = np.array([[0.9, 0.5], [np.nan, 0.7]])
    figure = heat_map(
        scores, np.full((2, 2), 0.05), ["en", "fr"], ["en", "fr"], tmp_path / "map.png", title="a $x$ model"
    )
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.width > 200 and picture.height > 200
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == [".90", "±.05", ".50", "±.05", ".70", "±.05"]
    assert not list(tmp_path.glob(".*"))


def test_errors_of_ten_and_more_are_whole_numbers_too() -> None:
    figure = heat_map(np.array([[50.0, 0.5]]), np.array([[20.05, 0.05]]), ["a"], ["b", "c"])
    assert {text.get_text() for text in figure.axes[0].texts} == {"50.00", "±20.05", ".50", "±.05"}


def test_pictures_of_long_and_like_names_are_files_of_their_own(tmp_path: Path) -> None:
    """Names are cut and rid of signs that file systems refuse; no picture is written over another."""
    names = ["org/a model", "org/a_model", "org/A_model", "org/" + "m" * 150 + "1", "org/" + "m" * 150 + "2"]
    for number, name in enumerate(names):
        made = {f"xling_atlas_{q}_{a}": [] for q in ("en", "de") for a in ("en", "de")}
        for task, rows in made.items():
            asked, answered = task.split("_")[2:]
            rows += [right_or_wrong(document(f"i{i}", asked, answered), i % 3 > number % 2) for i in range(6)]
        write_run(tmp_path / "runs" / str(number), made, model_args=f"pretrained={name}")
    evaluations, notes = read_runs([tmp_path / "runs"])
    plots = draw(compare(evaluations, notes, baselines={})[0], tmp_path / "plots")
    files = [plot.file for plot in plots if plot.title.startswith("Score")]
    assert len({name.casefold() for name in files}) == len(files) == len(names)
    assert {path.stem for path in (tmp_path / "plots").glob("*.png")} == {plot.file for plot in plots}
    assert max(map(len, files)) <= 120


def test_conditions_that_are_called_alike_have_bars_of_their_own() -> None:
    words = Words({("mmlu", "mixup"): "each part", ("mmlu", "mixup seed=3"): "each part", ("mmlu", "en"): "all"})
    assert words.distinct("mmlu", ["mixup", "en"]) == {"mixup": "each part", "en": "all"}
    assert words.distinct("mmlu", ["mixup", "mixup seed=3", "en"]) == {
        "mixup": "each part · mixup",
        "mixup seed=3": "each part · mixup seed=3",
        "en": "all",
    }
