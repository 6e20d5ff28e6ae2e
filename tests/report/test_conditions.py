"""The condition of a document, in the shape of this release and of earlier ones, and in words."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.report.conditions import combined, condition_of, condition_of_leaf, in_words
from lm_eval_xling.report.reading import read_runs
from tests.report.runs import document, flat, flattened, generated, right_or_wrong, sample, write_run
from tests.report.test_comparing import BASE, matrix, report_of, tasks


def read(doc: dict[str, Any]) -> Any:
    keys = ("condition", "placement", "question_language", "answer_language", "languages")
    return condition_of(*(doc.get(key) for key in keys), form="letters")


def placed(placement: str, asked: str, spoken: str, answer: int = 0) -> dict[str, Any]:
    """A document of MMLU; ``spoken`` names the languages of its options."""
    languages = spoken.split()
    return document(
        "i", asked, "", answer=answer, family="mmlu", placement=placement, form="letters", option_languages=languages
    )


def mmlu(placement: str, asked: str, spoken: str, right: int, items: int = 20) -> list[dict[str, Any]]:
    docs = [{**placed(placement, asked, spoken, answer=0), "id": f"mmlu/{i}"} for i in range(items)]
    return [right_or_wrong(doc, index < right) for index, doc in enumerate(docs)]


@pytest.mark.parametrize(
    ("placement", "asked", "spoken", "words"),
    [
        ("en", "en", "en en en en", "all in English"),
        ("full", "de", "de de de de", "all in German"),
        ("question", "fr", "en en en en", "question in French, options in English"),
        ("options", "en", "zh zh zh zh", "question in English, options in Chinese"),
        ("gt", "en", "de en en en", "right option in German, the rest in English"),
        ("gt_question", "de", "de en en en", "question and right option in German, wrong options in English"),
        ("onewrong", "en", "en it en en", "one wrong option in Italian, the rest in English"),
        ("threewrong", "en", "en es es es", "wrong options in Spanish, the rest in English"),
        ("mixup", "de", "en fr it es", "each part in another language"),
        # With French as the base language the name would say something wrong.
        ("gt", "fr", "en fr fr fr", "question in French, answer in English"),
    ],
)
def test_both_shapes_are_read_alike_and_said_in_words(placement: str, asked: str, spoken: str, words: str) -> None:
    doc = placed(placement, asked, spoken)
    condition = read(doc)
    assert condition == read(flat(doc)) and condition.placement == placement and condition.form == "letters"
    assert condition.question == asked and condition.options == tuple(spoken.split())
    assert condition.answer == spoken.split()[0]
    assert in_words(condition) == words


def test_pairs_of_languages_in_words() -> None:
    assert in_words(read(document("i", "fr", "es"))) == "question in French, answer in Spanish"
    assert in_words(read(document("i", "sw", "sw"))) == "all in Swahili"
    assert in_words(read({"condition": {"placement": "", "form": "generate", "languages": {}}})) == ""
    parts = {"question": "en", "answer": "en", "context": "de"}
    passage = read({"condition": {"placement": "context", "form": "letters", "languages": parts}})
    assert in_words(passage) == "context in German, question in English, answer in English"
    switched = {"question": "mul", "answer": "en"}
    mixed = read({"condition": {"placement": "", "form": "generate", "languages": switched}})
    assert in_words(mixed) == "question in several languages, answer in English" and not mixed.is_pair


@pytest.mark.parametrize(
    ("translator", "made_by"),
    [
        (None, ""),
        ("lexicon:0123", " by a lexicon"),
        ("apertium:0123", " by Apertium"),
        ("ct2:0123", " by a translation model"),
    ],
)
def test_where_code_switched_pieces_come_from_in_words(translator: str | None, made_by: str) -> None:
    how = {"matrix": "en", "embedded": "de", "share": 30, "unit": "word", "translator": translator}
    # Without a translator none is logged.
    logged = {name: value for name, value in how.items() if value is not None}
    languages = {"question": "mul", "answer": "en"}
    switched = {"placement": "full", "form": "letters", "languages": languages, "switched": {"question": logged}}
    assert (
        in_words(read({"condition": switched})) == f"question in English with 30 % German{made_by}, answer in English"
    )


def test_parts_that_vary_are_several_languages() -> None:
    one, two = (read(placed("gt", "en", spoken, answer=at)) for at, spoken in ((0, "de en en"), (2, "en en de")))
    both = combined([one, two])
    assert both.options == ("mul", "en", "mul") and (both.question, both.answer) == ("en", "de")
    assert not both.is_pair and not one.is_pair and both.codes == ("de", "en")
    assert in_words(both) == "right option in German, the rest in English"


def test_leaves_of_older_results() -> None:
    """What runs without samples are read by; a placement that mixes languages is no pair of languages."""
    gt, _ = condition_of_leaf({"family": "mmlu", "placement": "gt", "language": "de"})
    assert not gt.is_pair and (gt.question, gt.answer) == ("en", "de")
    wrong, _ = condition_of_leaf({"family": "mmlu", "placement": "onewrong", "language": "de"})
    assert not wrong.is_pair and not wrong.is_english and (wrong.question, wrong.answer) == ("en", "en")
    full, _ = condition_of_leaf({"family": "mmlu", "placement": "full", "language": "de"})
    assert full.is_pair and (full.question, full.answer) == ("de", "de")
    math, variant = condition_of_leaf({"family": "math", "dataset": "mgsm", "question": "de", "steps": True})
    assert (math.question, variant) == ("de", "mgsm, steps")


def test_runs_of_both_shapes_give_one_report(tmp_path: Path) -> None:
    made = tasks(matrix(), group="capital")
    for index, rows in enumerate(made.values()):
        for item, row in enumerate(rows):
            row["doc"]["cluster"] = f"country {item // 3}" if index else f"Land {item // 3}"
    write_run(tmp_path / "new", made, model_args=BASE)
    write_run(tmp_path / "old", {t: [flattened(r) for r in rows] for t, rows in made.items()}, model_args=BASE)
    new, old = report_of(tmp_path / "new"), report_of(tmp_path / "old")
    assert new.barriers[0].paired is not None and new.barriers[0].paired.units == 20
    for field in dataclasses.fields(new):
        if field.name != "runs":
            assert repr(getattr(new, field.name)) == repr(getattr(old, field.name)), field.name


def test_a_run_of_ours_that_says_no_condition_is_refused(tmp_path: Path) -> None:
    silent = [right_or_wrong(document(f"i{i}", "en", "en"), True) for i in range(4)]
    for row in silent:
        del row["doc"]["condition"]
    write_run(tmp_path / "silent", {"xling_atlas_en_en": silent, "xling_atlas_de_en": silent}, model_args=BASE)
    with pytest.raises(UserError, match="do not say in which condition"):
        read_runs([tmp_path / "silent"])
    told = [right_or_wrong(document(f"i{i}", "en", "en"), True) for i in range(4)]
    write_run(tmp_path / "told", {"xling_atlas_en_en": told}, model_args="pretrained=org/other")
    made = report_of(tmp_path)
    assert [row.model for row in made.scores] == ["other"]
    (note,) = made.notes
    assert note.kind == "refused" and "xling_atlas_de_en" in note.where and "xling_atlas_en_en" in note.where


def test_a_cell_shows_only_what_its_condition_says(tmp_path: Path) -> None:
    """Without the English task no other one stands in its cell, whatever its right options are in."""
    made = {
        "xling_mmlu_full_de": mmlu("full", "de", "de de de de", 9),
        "xling_mmlu_gt_de": mmlu("gt", "en", "de en en en", 7),
        "xling_mmlu_onewrong_de": mmlu("onewrong", "en", "en de en en", 5),
        "xling_mmlu_options_de": mmlu("options", "en", "de de de de", 11),
        "xling_mmlu_question_de": mmlu("question", "de", "en en en en", 13),
        "xling_mmlu_threewrong_de": mmlu("threewrong", "en", "en de de de", 3),
    }
    for name, rows in (("new", made), ("old", {task: [flattened(r) for r in rows] for task, rows in made.items()})):
        write_run(tmp_path / name, rows, model_args=BASE)
        scores = report_of(tmp_path / name).scores
        cells = {(row.question_language, row.answer_language): row.score.estimate for row in scores if row.in_matrix}
        assert cells == {("de", "de"): 9 / 20, ("en", "de"): 11 / 20, ("de", "en"): 13 / 20}


def test_a_context_in_a_third_language_is_no_cell(tmp_path: Path) -> None:
    def passage(name: str, context: str, asked: str, answered: str) -> dict[str, list[dict[str, Any]]]:
        docs = [document(f"b{i}", asked, answered, family="qa", placement=name, form="letters") for i in range(12)]
        for doc in docs:
            doc["condition"]["languages"]["context"] = context
        return {f"xling_qa_{name}": [right_or_wrong(doc, True) for doc in docs]}

    made = passage("context_de", "de", "en", "en") | passage("full_de", "de", "de", "de")
    made |= passage("options_de", "en", "en", "de") | passage("question_de", "en", "de", "en")
    made |= passage("full_en", "en", "en", "en")
    write_run(tmp_path, made, model_args=BASE)
    shown = {row.task for row in report_of(tmp_path).scores if row.in_matrix}
    # Full and options follow different layouts of the context; English is of both.
    assert "xling_qa_context_de" not in shown and "xling_qa_full_en" in shown


def test_datasets_and_splits_of_one_family_are_not_mixed(tmp_path: Path) -> None:
    def rows(stem: str, asked: str, right: int, group: str, first: int = 0) -> list[dict[str, Any]]:
        ids = [f"{stem}/{i}" for i in range(first, 12)]
        docs = [document(i, asked, asked, family="qa", placement="", form="generate", group=group) for i in ids]
        return [generated(doc, "x", exact_match=float(index < right)) for index, doc in enumerate(docs)]

    made = {f"xling_qa_xquad_{c}_{c}": rows("xquad", c, n, "") for c, n in (("en", 12), ("de", 6))}
    made |= {f"xling_qa_belebele_{c}": rows("belebele", c, n, "") for c, n in (("en", 6), ("de", 3))}
    # A split that is part of another has its items, and its conditions.
    made |= {f"xling_qa_forget05_{c}": rows("full", c, n, "forget05") for c, n in (("en", 9), ("de", 4))}
    made |= {f"xling_qa_forget01_{c}": rows("full", c, n, "forget01", 6) for c, n in (("en", 6), ("de", 2))}
    write_run(tmp_path, made, model_args=BASE)
    report = report_of(tmp_path)
    barriers = {row.setting: (row.reference, row.condition, row.barrier) for row in report.barriers}
    assert barriers == {
        "0-shot, generate, xquad": ("xquad_en_en", "xquad_de_de", 0.5),
        "0-shot, generate, belebele": ("belebele_en", "belebele_de", 0.25),
        "0-shot, generate, forget05": ("forget05_en", "forget05_de", pytest.approx(5 / 12)),
        "0-shot, generate, forget01": ("forget01_en", "forget01_de", pytest.approx(4 / 6)),
    }


def test_words_stand_beside_the_codes(tmp_path: Path) -> None:
    made = {"xling_mmlu_en": mmlu("en", "en", "en en en en", 15)}
    for code, right in (("de", 9), ("fr", 7)):
        made[f"xling_mmlu_gt_{code}"] = mmlu("gt", "en", f"{code} en en en", right)
    write_run(tmp_path, made, model_args=BASE)
    words = {row.condition: row.words for row in report_of(tmp_path).conditions}
    assert words == {
        "en": "all in English",
        "gt_de": "right option in German, the rest in English",
        "gt_fr": "right option in French, the rest in English",
        "gt (mean of 2)": "right option in another language, the rest in English (mean of 2)",
    }


def test_forms_of_one_model_are_compared(tmp_path: Path) -> None:
    """Letters against generated answers, of which two cannot be read, by hand."""
    right = {"en": ("1111111100", "1111110?00"), "de": ("1110000000", "110000?000")}
    made: dict[str, list[dict[str, Any]]] = {}
    for code, (letters, said) in right.items():
        docs = [
            document(f"m{i}", code, code, family="mmlu", placement="en" if code == "en" else "full", form="letters")
            for i in range(10)
        ]
        made[f"xling_mmlu_full_{code}"] = [right_or_wrong(d, m == "1") for d, m in zip(docs, letters, strict=True)]
        made[f"xling_mmlu_full_{code}_generate"] = []
        for doc, mark in zip(docs, said, strict=True):
            languages = dict(doc["condition"]["languages"])
            doc = {**doc, "condition": {**doc["condition"], "form": "generate", "languages": languages}}
            scores = {"acc": float(mark == "1"), "answered": float(mark != "?")}
            scores |= {} if mark == "?" else {"acc_answered": float(mark == "1")}
            made[f"xling_mmlu_full_{code}_generate"].append(generated(doc, mark, **scores))
    write_run(tmp_path, made, model_args=BASE)
    report = report_of(tmp_path)
    assert {row.setting for row in report.scores} == {"0-shot, letters", "0-shot, generate"}
    # Forms have a table of their own, so that nothing is said to be left out.
    assert not [note for note in report.notes if note.kind == "refused"]
    english, german = sorted(report.formats, key=lambda row: row.condition != "full_en")
    assert (english.first, english.second, english.condition, english.second_condition) == (
        "letters",
        "generate",
        "full_en",
        "full_en_generate",
    )
    assert (english.first_score, english.second_score, english.answered) == (0.8, 0.6, 0.9)
    assert english.score_if_answered == pytest.approx(6 / 9) and english.barriers is None
    assert np.isnan(english.first_barrier)
    assert english.paired.difference.estimate == pytest.approx(0.2) and english.paired.only_first == 2
    assert (german.first_score, german.second_score) == (0.3, 0.2)
    assert (german.first_barrier, german.second_barrier) == pytest.approx((0.5, 0.4))
    assert german.barriers is not None and german.barriers.difference.estimate == pytest.approx(0.1)
    (row,) = [row for row in report.barriers if row.setting == "0-shot, generate"]
    assert row.barrier == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("family", "leaf", "given"),
    [
        ("hp", "mixup", [{"seed": 1}, {"seed": 2}]),
        ("hp", "full_de", [{"switched": 30}, {"switched": 60}]),
        ("hp", "en", [{"missing": "drop"}, {}]),
        # All items of the ledger are invented by its seed, as those of own data are drawn by theirs.
        ("ledger", "taught_de_de", [{"seed": 3}, {"seed": 4}]),
        ("mine", "onewrong_de", [{"seed": 1}, {}]),
    ],
)
def test_forms_are_compared_in_one_condition(
    tmp_path: Path, family: str, leaf: str, given: list[dict[str, Any]]
) -> None:
    """Two draws in two forms: each form meets the other's own draw, whatever else the forms' parameters say."""
    task, asked = f"xling_{family}_{leaf}", "mul" if leaf == "mixup" else leaf[-2:]
    for form, number in product(("letters", "generate"), range(2)):
        docs = [document(f"m{i}", asked, asked, family=family, placement=leaf, form=form) for i in range(10)]
        if share := given[number].get("switched"):
            how = {"matrix": "de", "embedded": "en", "share": share, "unit": "chunk"}
            docs = [{**doc, "condition": {**doc["condition"], "switched": {"question": how}}} for doc in docs]
        right = 2 + 5 * number + (form == "letters")
        own = {**given[number], "form": form, **({"option_ids": "1-4"} if form == "letters" else {})}
        rows = [right_or_wrong(doc, index < right) for index, doc in enumerate(docs)]
        generation = {"do_sample": False} if form == "generate" else {}
        folder = tmp_path / f"{form}{number}"
        write_run(
            folder,
            {task: rows},
            model_args=BASE,
            config={"gen_kwargs": generation},
            change=lambda results, own=own: results["configs"][task]["metadata"].update(xling=own),
        )
    report = report_of(tmp_path)
    assert {(row.first_score, row.second_score) for row in report.formats} == {(0.3, 0.2), (0.8, 0.7)}
    assert len(report.formats) == 2
    # The form is named once in a setting.
    assert not [row.setting for row in report.scores if "form=" in row.setting]


def test_scores_of_an_older_run_and_a_newer_one_are_compared(tmp_path: Path) -> None:
    def scored(placement: str, asked: str, spoken: str) -> list[dict[str, Any]]:
        docs = [{**placed(placement, asked, spoken), "id": f"m{i}", "prompt": f"{i}?"} for i in range(12)]
        return [sample({**doc, "choices": list("ABCD")}, [0.0, -1.0, -2.0, -3.0]) for doc in docs]

    made = {
        "xling_mmlu_en": scored("en", "en", "en en en en"),
        "xling_mmlu_full_de": scored("full", "de", "de de de de"),
    }
    write_run(tmp_path / "old", {t: [flattened(r) for r in rows] for t, rows in made.items()}, model_args=BASE)
    write_run(tmp_path / "new", made, model_args=f"{BASE},peft=runs/qa")
    report = report_of(tmp_path)
    assert {row.setting for row in report.scores} == {"0-shot, letters"} and len(report.changes) == 3


@pytest.mark.parametrize(
    ("task", "placement", "version", "said", "left"),
    [
        ("xling_hp_en", "en", 1.0, {"form": "letters"}, ""),
        ("xling_hp_full_de", "full", 1.0, {"option_ids": "A-D", "languages": ["German"], "switched": 0}, ""),
        ("xling_hp_full_de", "full", 1.0, {"option_ids": "1-4", "switched": 0}, "option_ids=1-4"),
        ("xling_hp_mixup", "mixup", 1.0, {"seed": 0, "languages": ["en", "fr", "de", "es", "it"]}, ""),
        ("xling_hp_mixup", "mixup", 1.0, {"seed": 1}, "seed=1"),
        ("xling_ledger_taught_de_de", "de_de", 1.0, {"people": 20, "option_ids": "A-D"}, ""),
        # Of another version, and of a release that knew other parameters, what a leaf does by itself is not known.
        ("xling_hp_en", "en", 0.9, {"option_ids": "A-D"}, "option_ids=A-D"),
        ("xling_hp_en", "en", 1.0, {"option_ids": "A-D", "gone": 1}, "gone=1 option_ids=A-D"),
        ("xling_mine_full_de", "full", 1.0, {"form": "letters", "seed": 0, "base_language": "fr"}, ""),
        ("xling_mine_full_de", "full", 1.0, {"seed": 2, "base_language": "en"}, "base_language=en seed=2"),
    ],
)
def test_what_a_leaf_does_anyway_may_be_said(
    tmp_path: Path, task: str, placement: str, version: float, said: dict[str, Any], left: str
) -> None:
    """A run that names a leaf's own parameters is in the condition and the setting of a run that names none."""
    family = task.split("_")[1]
    docs = [document(f"m{i}", "de", "de", family=family, placement=placement, form="letters") for i in range(10)]
    (tmp_path / "tasks").mkdir()
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nlanguages: [fr, de]\nbase_language: fr\nrows: '{language}.jsonl'\n"
        "columns: {question: question, options: options, answer: answer}\n"
    )

    def write(folder: str, model: str, parameters: dict[str, Any] | None) -> None:
        def change(results: dict[str, Any]) -> None:
            config = results["configs"][task]
            results["versions"][task] = config["metadata"]["version"] = version
            config["metadata"] |= {"config_source": str(tmp_path / "tasks" / f"{task}.yaml")}
            config["metadata"] |= {} if parameters is None else {"xling": parameters}
            config["dataset_kwargs"] |= {"description": "../mine.yaml"} if family == "mine" else {}

        write_run(
            tmp_path / folder, {task: [right_or_wrong(doc, True) for doc in docs]}, model_args=model, change=change
        )

    write("base", BASE, None)
    write("adapted", f"{BASE},peft=runs/qa", said)
    report = report_of(tmp_path)
    assert bool(report.changes) == (left == "")
    plain, named = sorted(report.scores, key=lambda row: row.model)
    parts = [part for part in (named.task.partition(" ")[2], named.setting.partition("letters, ")[2]) if part]
    assert sorted(" ".join(parts).split()) == left.split()
    assert plain.setting == "0-shot, letters" and plain.task == task
