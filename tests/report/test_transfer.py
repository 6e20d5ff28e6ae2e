"""What was taught in some languages and is known in others, from runs that the tests wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lm_eval_xling.report.transfer import write_transfer
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
    rows = {row.what: row for row in write_transfer(tmp_path, ["en"])}
    kept = [i for i in range(12) if i != 5]
    right, people = np.array([float(i % 4 > 0) for i in kept]), np.array([i // 3 for i in kept])
    assert rows["en_de"].taught == bootstrap_mean(right, people)
    assert (rows["en_de"].items, rows["en_de"].never) == (11, None)


def test_one_person_alone_has_no_bounds(tmp_path: Path) -> None:
    docs = [document(f"f{i}", "en", "en", family="ledger", placement="taught_en_en", cluster="one") for i in range(3)]
    write_run(tmp_path, {"xling_ledger_taught_en_en": [right_or_wrong(doc, True) for doc in docs]})
    write_transfer(tmp_path, ["en"])

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    content = json.loads((tmp_path / "transfer.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["rows"][0]["taught"] == {"estimate": 1.0, "low": None, "high": None}
