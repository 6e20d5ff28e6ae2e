"""The first screen: the barrier's size, whether it is real, what changed, and the line of guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.overview import overviews
from tests.report.runs import document, generated, write_run
from tests.report.test_comparing import ADAPTED, BASE, cell, matrix, report_of, tasks


def test_size_certainty_change_and_chance(tmp_path: Path) -> None:
    before, after = matrix(), matrix(boost=0.2, seed=1)
    write_run(tmp_path / "base", tasks(before), model_args=BASE)
    write_run(tmp_path / "adapted", tasks(after), model_args=ADAPTED)
    report = report_of(tmp_path)
    (card,) = overviews(report)
    base, adapted = card.headlines
    rows = {(row.model, row.condition): row for row in report.barriers}
    row = rows["base", "different languages (mean of 6)"]
    assert row.paired is not None and row.paired.adjusted_p < 0.05
    assert base.barrier == f"{row.barrier * 100:.1f}" and base.certain and base.verdict.startswith("Real: p")
    assert "60 items" in base.verdict and base.change == ""
    assert base.interval == f"{row.paired.difference.low * 100:.1f} to {row.paired.difference.high * 100:.1f}"
    # Reference and condition of the headline, then those of the largest barrier.
    assert [bar.is_reference for bar in base.bars] == [True, False, True, False]
    assert [bar.width for bar in base.bars[:2]] == pytest.approx([row.reference_score * 100, row.score * 100])
    worst = min((scores.mean(), pair) for pair, scores in before.items())[0]
    assert base.bars[3].width == pytest.approx(worst * 100)
    mean = rows["base", "all other pairs (mean of 8)"].barrier * 100
    against_english = f"From all in English to all other pairs (mean of 8): {mean:.1f} points ("
    assert base.largest.startswith(against_english) and ". Largest of 8: question in " in base.largest
    assert card.chance == 25.0 and "guessing, 25.0" in card.axis
    change = next(r for r in report.changes if r.what == "barrier" and r.condition == row.condition)
    assert f"barrier {change.before * 100:.1f} → {change.after * 100:.1f}" in adapted.change
    assert adapted.changed == (change.paired is not None and change.paired.adjusted_p < 0.05)


def test_what_is_not_shown_is_not_called_real(tmp_path: Path) -> None:
    right = np.arange(30) < 20
    write_run(tmp_path / "few", tasks({("en", "en"): right, ("de", "en"): np.roll(right, 1)}), model_args=BASE)
    (headline,) = overviews(report_of(tmp_path / "few"))[0].headlines
    assert headline.verdict.startswith("Not shown: p = 1.000. 30 items would show ") and not headline.certain
    turned = tasks({("en", "en"): ~np.ones(30, dtype=bool), ("de", "en"): np.ones(30, dtype=bool)})
    write_run(tmp_path / "turned", turned, model_args=BASE)
    (headline,) = overviews(report_of(tmp_path / "turned"))[0].headlines
    assert headline.verdict.startswith("Real, and the other way round: p < .001") and headline.barrier == "−100.0"
    write_run(tmp_path / "dumb", tasks({("en", "en"): right, ("de", "en"): ~right}), model_args=BASE, samples=False)
    (headline,) = overviews(report_of(tmp_path / "dumb"))[0].headlines
    assert headline.verdict.startswith("Untested") and headline.interval == ""


def test_scores_that_never_differ_show_no_detectable_effect(tmp_path: Path) -> None:
    right = np.arange(30) < 20
    run = tasks({("en", "en"): right, ("de", "en"): right})
    for samples in run.values():
        for sample in samples:
            sample["acc"] = 0.5
    write_run(tmp_path, run, model_args=BASE)
    report = report_of(tmp_path)
    (headline,) = overviews(report)[0].headlines
    assert headline.verdict == "Not shown: p = 1.000. 30 items, which all differ by the same." and not headline.certain
    assert any("All items differ by the same" in finding.text for finding in findings(report))


def test_too_few_items_are_said_to_be(tmp_path: Path) -> None:
    right = np.arange(4) < 4
    write_run(tmp_path, tasks({("en", "en"): right, ("de", "en"): ~right}), model_args=BASE)
    report = report_of(tmp_path)
    (headline,) = overviews(report)[0].headlines
    assert headline.verdict == "Untested: 4 items are too few." and headline.interval == "" and not headline.certain
    assert any("untested, because 4 items are too few" in finding.text for finding in findings(report))


def test_all_models_are_shown_in_one_condition(tmp_path: Path) -> None:
    """The placement of the headline is chosen by name: the largest of several would be large by chance."""
    for model, weak in (("one", "full"), ("two", "question")):
        made = {"xling_mmlu_en": cell("en", "en", np.ones(40, dtype=bool), family="mmlu", placement="en")}
        for placement in ("full", "question"):
            for code in ("de", "fr"):
                answered = code if placement == "full" else "en"
                right = np.arange(40) < (10 if placement == weak else 30)
                made[f"xling_mmlu_{placement}_{code}"] = cell(code, answered, right, family="mmlu", placement=placement)
        write_run(tmp_path / model, made, model_args=f"pretrained=org/{model}")
    (card,) = overviews(report_of(tmp_path))
    assert [line.barrier for line in card.headlines] == ["75.0", "25.0"]
    assert {line.bars[1].label for line in card.headlines} == {"all in another language (mean of 2)"}


def test_findings_of_two_forms_name_theirs(tmp_path: Path) -> None:
    made = tasks({("en", "en"): np.ones(12, dtype=bool), ("de", "en"): np.zeros(12, dtype=bool)})
    for asked, right in (("en", 1.0), ("de", 0.0)):
        docs = [document(f"item:{i}", asked, "en", form="generate") for i in range(12)]
        made[f"xling_atlas_{asked}_en_generate"] = [generated(doc, "x", acc=right) for doc in docs]
    write_run(tmp_path, made, model_args=BASE)
    report = report_of(tmp_path)
    assert {finding.setting for finding in findings(report)} == {"0-shot, cloze", "0-shot, generate"}
    # Nothing can be guessed where text is generated.
    assert [np.isnan(card.chance) for card in overviews(report)] == [False, True]
