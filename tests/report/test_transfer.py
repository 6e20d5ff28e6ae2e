"""What was taught in some languages and is known in others, from runs that the tests wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from lm_eval_xling.report.transfer import Teaching, write_transfer
from lm_eval_xling.statistics import bootstrap_mean
from tests.report.runs import document, right_or_wrong, sample, write_run


def test_items_without_a_number_are_left_out(tmp_path: Path) -> None:
    """A model whose weights are broken in places gives no numbers there."""
    made = {}
    for pair in ("en_en", "en_de"):
        asked, answered = pair.split("_")
        docs = [
            document(f"f{i}", asked, answered, family="ledger", placement=f"taught_{pair}", cluster=f"person {i // 3}")
            for i in range(12)
        ]
        rows = [right_or_wrong(doc, i % 4 > 0) for i, doc in enumerate(docs)]
        rows[5] = sample(docs[5], [float("nan"), -1.0, -2.0, -3.0])
        made[f"xling_ledger_taught_{pair}"] = rows
    write_run(tmp_path, made, model_args="pretrained=org/base")
    rows = {row.what: row for row in write_transfer(tmp_path, Teaching(["en"], {f"f{i}" for i in range(12)}))}
    kept = [i for i in range(12) if i != 5]
    right, people = np.array([float(i % 4 > 0) for i in kept]), np.array([i // 3 for i in kept])
    assert rows["en_de"].taught == bootstrap_mean(right, people)
    assert (rows["en_de"].items, rows["en_de"].never) == (11, None)


def test_one_person_alone_has_no_bounds(tmp_path: Path) -> None:
    docs = [document(f"f{i}", "en", "en", family="ledger", placement="taught_en_en", cluster="one") for i in range(3)]
    write_run(tmp_path, {"xling_ledger_taught_en_en": [right_or_wrong(doc, True) for doc in docs]})
    write_transfer(tmp_path, Teaching(["en"], {f"f{i}" for i in range(3)}))

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    content = json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["rows"][0]["taught"] == {"estimate": 1.0, "low": None, "high": None}


def test_facts_of_the_half_that_were_not_taught_do_not_count(tmp_path: Path) -> None:
    made = {}
    for half in ("taught", "never"):
        docs = [
            document(f"{half}-{i}", "en", "en", family="ledger", placement=f"{half}_en_en", cluster=f"{half} {i}")
            for i in range(4)
        ]
        made[f"xling_ledger_{half}_en_en"] = [right_or_wrong(doc, i < 2) for i, doc in enumerate(docs)]
    write_run(tmp_path, made)
    row = write_transfer(tmp_path, Teaching(["en"], {"taught-0", "taught-2", "taught-3"}))[0]
    assert row.taught is not None and row.never is not None
    assert (row.what, row.items, row.taught.estimate) == ("as it was taught", 3, pytest.approx(1 / 3))
    assert row.never.estimate == 0.5


@pytest.mark.parametrize("answers", ["crossed", "drawn"])
def test_no_pair_is_as_it_was_taught_where_answers_had_another_language(
    tmp_path: Path, answers: Literal["crossed", "drawn"]
) -> None:
    made = {}
    for pair in ("en_en", "en_fr", "de_fr"):
        doc = document("f", *pair.split("_"), family="ledger", placement=f"taught_{pair}", cluster="one")
        made[f"xling_ledger_taught_{pair}"] = [right_or_wrong(doc, True)]
    write_run(tmp_path, made)
    taught = Teaching(["en", "fr"], {"f"}, answers)
    assert [(row.what, row.pairs) for row in write_transfer(tmp_path, taught)][:3] == [
        ("both in one of the languages taught", 1),
        ("question and answer in two of the languages taught", 1),
        ("question in another language", 1),
    ]
    assert json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"))["answers"] == answers
