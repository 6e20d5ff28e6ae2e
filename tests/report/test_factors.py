"""What goes with the barrier: the regression over languages, from samples that the tests wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Interval
from lm_eval_xling.report import read_report, write_report
from lm_eval_xling.report.evaluations import EvaluatedModel
from lm_eval_xling.report.factors import FEWEST_LANGUAGES, factor_rows
from lm_eval_xling.report.schema import LanguageRow, Report
from lm_eval_xling.report.token_counts import _of_document, local_tokenizer, tokens_per_word
from tests.report.runs import document, right_or_wrong, write_run
from tests.report.test_comparing import BASE, cell, report_of

CODES = "bg bn de es hi ja nl ru sw th tr yo".split()
ITEMS = 100


def barrier_of(code: str) -> float:
    """What the written runs lose in a language: .02 a class of resources, .10 for another script."""
    language = LANGUAGES[code]
    assert language.resource is not None
    return 0.02 * (5 - language.resource) + 0.1 * (language.script != "Latn")


def right(loss: float) -> list[bool]:
    return [bool(mark) for mark in np.arange(ITEMS) < round(ITEMS * (0.9 - loss))]


def report(folder: Path, codes: list[str]) -> Report:
    made = {"xling_atlas_en_en": cell("en", "en", right(0.0))}
    made |= {f"xling_atlas_en_{code}": cell("en", code, right(barrier_of(code))) for code in codes}
    write_run(folder, made, model_args=BASE)
    return report_of(folder)


def test_the_properties_get_what_they_add(tmp_path: Path) -> None:
    made = report(tmp_path, CODES)
    assert {row.language for row in made.languages} == set(CODES)
    assert all(row.barrier.estimate == pytest.approx(barrier_of(row.language), abs=1e-9) for row in made.languages)
    found = {row.factor: row for row in made.factors}
    expected = {"not in Latin script": 0.1, "not Indo-European": 0.0, "one class of resources less": 0.02}
    assert {factor: row.effect.estimate for factor, row in found.items()} == pytest.approx(expected, abs=1e-9)
    assert {row.layout for row in made.factors} == {"answer"}
    assert {row.languages for row in made.factors} == {len(CODES)}
    assert all(row.explained == pytest.approx(1.0) for row in made.factors)


def test_layouts_are_regressed_apart_and_pairs_of_two_languages_not_at_all(tmp_path: Path) -> None:
    made = {"xling_atlas_en_en": cell("en", "en", right(0.0)), "xling_atlas_de_fr": cell("de", "fr", right(0.5))}
    for code in CODES:
        made[f"xling_atlas_en_{code}"] = cell("en", code, right(barrier_of(code)))
        made[f"xling_atlas_{code}_en"] = cell(code, "en", right(0.1 + 0.0001 * len(made)))
        made[f"xling_atlas_{code}_{code}"] = cell(code, code, right(0.3))
    write_run(tmp_path, made, model_args=BASE)
    rows = report_of(tmp_path).factors
    script = {row.layout: row.effect.estimate for row in rows if row.factor == "not in Latin script"}
    assert script.keys() == {"answer", "question", "question and answer"}
    assert script["answer"] == pytest.approx(0.1, abs=1e-9)
    assert abs(script["question and answer"]) < 1e-9


def test_few_languages_are_not_regressed(tmp_path: Path) -> None:
    made = report(tmp_path, CODES[: FEWEST_LANGUAGES - 1])
    assert len(made.languages) == FEWEST_LANGUAGES - 1
    assert made.factors == ()


def test_a_property_that_the_languages_do_not_tell_apart_is_left_out(tmp_path: Path) -> None:
    latin = [code for code, language in LANGUAGES.items() if language.script == "Latn" and code != "en"][:14]
    assert {row.factor for row in report(tmp_path, latin).factors} == {
        "not Indo-European",
        "one class of resources less",
    }


def test_languages_outside_the_table_have_no_properties(tmp_path: Path) -> None:
    made = {"xling_atlas_en_en": cell("en", "en", right(0.0))}
    for code in ("gl", "de"):
        docs = [document(f"item:{n}", "en", code, answer=n % 4) for n in range(ITEMS)]
        made[f"xling_atlas_en_{code}"] = [right_or_wrong(doc, True) for doc in docs]
    write_run(tmp_path, made, model_args=BASE)
    assert [row.language for row in report_of(tmp_path).languages] == ["de"]


def test_page_pictures_and_tables_show_them(tmp_path: Path) -> None:
    report(tmp_path / "runs", CODES)
    page = write_report(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8")
    assert "What goes with the barrier: script, family, resources, tokens a word" in page
    assert "another script, another family" in page
    assert list((tmp_path / "out/plots").glob("*languages_answer*.png"))
    lines = (tmp_path / "out/languages.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(CODES)
    assert read_report(tmp_path / "out").factors


def test_a_language_of_several_conditions_counts_once() -> None:
    def row(code: str, seed: int) -> LanguageRow:
        language = LANGUAGES[code]
        assert language.resource is not None
        barrier = Interval(barrier_of(code) + 0.01 * seed, 0.0, 1.0)
        known = (code, language.script, language.family, language.resource, barrier)
        return LanguageRow("model", "mmlu", "0-shot", "answer", f"onewrong_{code} seed={seed}", *known)

    assert factor_rows([row(code, seed) for code in CODES[:5] for seed in range(3)]) == []
    assert {found.languages for found in factor_rows([row(code, seed) for code in CODES for seed in range(3)])} == {12}


def test_a_property_of_one_language_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    rows = report(tmp_path, "bg cs de es fr it nl pl pt ru sv tr".split()).factors
    assert {row.factor for row in rows} == {"not in Latin script", "one class of resources less"}
    assert all(np.isfinite([row.effect.low, row.effect.high, row.p_value]).all() for row in rows)


def words_of_pieces(word: int) -> Any:
    """A tokenizer that cuts every word into so many tokens, whatever its letters."""
    return lambda texts, add_special_tokens: {"input_ids": [[0] * (word * len(text.split())) for text in texts]}


def test_tokens_a_word_are_counted_in_the_texts_of_the_language() -> None:
    assert tokens_per_word(words_of_pieces(3), ["two words", "two words", "", "one"], "de") == 3.0
    # Thai has no spaces between words: ICU's dictionary finds five.
    assert tokens_per_word(words_of_pieces(10), ["ฉันไปโรงเรียนทุกวัน"], "th") == pytest.approx(10 / 5, rel=0.3)
    assert np.isnan(tokens_per_word(words_of_pieces(1), [], "de"))


def test_tokens_a_word_of_the_models_own_tokenizer(tmp_path: Path, tiny: Callable[[str], Path]) -> None:
    made = {"xling_atlas_en_en": cell("en", "en", right(0.0))}
    for number, code in enumerate(CODES):
        docs = [
            document(f"item:{n}", "en", code, answer=n % 4, choices=[f"{'ab' * (number + 1)}{i}" for i in range(4)])
            for n in range(ITEMS)
        ]
        marks = right(0.05 * (number + 1))
        made[f"xling_atlas_en_{code}"] = [right_or_wrong(doc, mark) for doc, mark in zip(docs, marks, strict=True)]
    write_run(tmp_path / "local", made, model_args=f"pretrained={tiny('llama')}")
    rows = report_of(tmp_path / "local")
    counts = {row.language: row.tokens_per_word for row in rows.languages}
    tokenizer = local_tokenizer(EvaluatedModel("m", str(tiny("llama"))))
    expected = {
        code: len(tokenizer("ab" * (number + 1) + "0", add_special_tokens=False)["input_ids"])
        for number, code in enumerate(CODES)
    }
    assert counts == pytest.approx(expected) and len(set(counts.values())) > 5
    assert "one token a word more" in {row.factor for row in rows.factors}
    assert not [note for note in rows.notes if "tokens a word" in note.text]
    write_run(tmp_path / "elsewhere", made, model_args="pretrained=org/elsewhere")
    rows = report_of(tmp_path / "elsewhere")
    assert all(np.isnan(row.tokens_per_word) for row in rows.languages)
    assert "one token a word more" not in {row.factor for row in rows.factors} and rows.factors
    (note,) = [note for note in rows.notes if "tokens a word" in note.text]
    assert (note.kind, note.where) == ("missing", "elsewhere")


def test_texts_in_a_language_are_no_mixture() -> None:
    mixed = document("a", "de", "en", prompt="Frage", options=4)
    assert _of_document(mixed, "de") == ["Frage"]
    assert _of_document(mixed, "en") == mixed["choices"]
    # With its options listed, a prompt is in two languages.
    listed = {**mixed, "options": mixed["choices"], "choices": ["A", "B", "C", "D"]}
    assert _of_document(listed, "de") == ["Frage"]
    listed["prompt"] = " ".join(["Frage", *mixed["choices"]])
    assert _of_document(listed, "de") == [] and _of_document(listed, "en") == mixed["choices"]
    context = {
        **mixed,
        "condition": {**mixed["condition"], "languages": {"question": "de", "answer": "en", "context": "en"}},
    }
    assert _of_document(context, "de") == []
