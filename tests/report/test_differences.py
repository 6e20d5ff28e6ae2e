"""Barriers of two models beside each other, from samples that the tests wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lm_eval_xling.report.rendering import render
from tests.report.runs import write_run
from tests.report.test_comparing import ADAPTED, BASE, cell, matrix, report_of, tasks


def test_the_difference_is_that_of_the_change_and_needs_no_baseline(tmp_path: Path) -> None:
    write_run(tmp_path / "base", tasks(matrix()), model_args=BASE)
    write_run(tmp_path / "adapted", tasks(matrix(boost=0.2, seed=1)), model_args=ADAPTED)
    write_run(tmp_path / "other", tasks(matrix(seed=2)), model_args="pretrained=org/stranger")
    made = report_of(tmp_path)
    pairs = {(row.first, row.second) for row in made.differences}
    assert pairs == {("base", "base + qa"), ("base", "stranger"), ("base + qa", "stranger")}
    ours = {row.condition: row for row in made.differences if (row.first, row.second) == ("base", "base + qa")}
    changes = {row.condition: row for row in made.changes if row.what == "barrier"}
    assert ours.keys() == changes.keys() and len(ours) == 10
    for condition, change in changes.items():
        row = ours[condition]
        assert change.paired is not None and row.n == 60 and row.why == ""
        assert row.difference == change.paired.difference
        assert (row.first_barrier.estimate, row.second_barrier.estimate) == (change.before, change.after)


def test_only_common_items_are_subtracted(tmp_path: Path) -> None:
    cells = {("en", "en"): np.ones(40, dtype=bool), ("de", "en"): np.arange(40) < 10}
    write_run(tmp_path / "base", tasks(cells), model_args=BASE)
    fewer = {pair: right[:20] for pair, right in cells.items()}
    write_run(tmp_path / "other", tasks(fewer), model_args="pretrained=org/other")
    (row,) = report_of(tmp_path).differences
    assert row.n == 20 and row.difference.estimate == 0.0
    assert row.first_barrier.estimate == row.second_barrier.estimate == 0.5


def test_other_prompts_give_both_barriers_and_the_reason(tmp_path: Path) -> None:
    cells = {("en", "en"): np.ones(40, dtype=bool), ("de", "en"): np.arange(40) < 10}
    write_run(tmp_path / "base", tasks(cells), model_args=BASE)
    made = tasks(cells)
    made["xling_atlas_de_en"] = cell("de", "en", np.arange(40) < 20, prompt="asked in other words:")
    write_run(tmp_path / "other", made, model_args="pretrained=org/other")
    (row,) = report_of(tmp_path).differences
    assert (row.first_barrier.estimate, row.second_barrier.estimate) == (0.75, 0.5)
    assert row.why == "40 of 40 prompts differ" and np.isnan(row.difference.estimate)


def test_one_model_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    write_run(tmp_path / "base", tasks(matrix()), model_args=BASE)
    report = report_of(tmp_path)
    assert report.differences == () and 'id="compare"' not in render(report, [], [])
