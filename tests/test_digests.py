"""Every leaf asks and scores as before: digests of all requests and of the scores of fixed answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lm_eval_xling.harness import task_names
from lm_eval_xling.leaf_task import LeafTask
from tests.generators import digests
from tests.selection import REAL_DATA

FIXTURES = Path(__file__).with_name("fixtures")


@pytest.fixture
def environment(full_mirror: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**full_mirror, "XLING_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_no_leaf_asks_or_scores_otherwise(raw_data: Path) -> None:
    """After a wanted change: ``XLING_DIGESTS=write`` with this test, a raised task version, a line in the README."""
    known = FIXTURES / ("request_digests_real.json" if raw_data == REAL_DATA else "request_digests.json")
    found = digests.digests()
    if os.environ.get("XLING_DIGESTS") == "write":
        known.write_text(json.dumps(found, ensure_ascii=False, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    assert digests.changed(json.loads(known.read_text(encoding="utf-8")), found) == []
    assert set(task_names()) < set(found)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
@pytest.mark.parametrize("changed", ["requests", "scores"])
def test_a_changed_request_or_score_changes_its_digest(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["xling_atlas_fr_es", "xling_nli_sw"]
    before = digests.digests(names)
    method = "doc_to_text" if changed == "requests" else "process_results"
    original = getattr(LeafTask, method)

    def other(self: LeafTask, *arguments: Any, **more: Any) -> Any:
        made = original(self, *arguments, **more)
        if self.config.task != "xling_nli_sw":
            return made
        return f"{made} " if changed == "requests" else {**made, "acc": 1 - made["acc"]}

    monkeypatch.setattr(LeafTask, method, other)
    lines = digests.changed(before, digests.digests(names))
    # Other prompts also have other log-likelihoods.
    assert f"xling_nli_sw: other {changed}" in lines
    assert all(line.startswith("xling_nli_sw") for line in lines)
