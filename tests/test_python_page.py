"""docs/python.md: its blocks run one after the other, with a tiny model in place of the real one and fewer items."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
SMALLER = {
    "gemma-3-270m": "small",
    "limit=100": "limit=12",
    "limit=20": "limit=4",
    '"data.ledger.people": 20': '"data.ledger.people": 2, "model": "small", "training.max_steps": 2, "validation": 0',
    '"crosslingual_ledger", ': '"crosslingual_ledger", metadata={"xling": {"people": 2}}, limit=4, ',
}


@pytest.mark.slow
def test_the_page_runs_as_it_stands(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Reading all tasks of the harness takes long, at each call.
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr("lm_eval_xling.harness.seen_folder", lambda: None)
    shutil.copytree(tiny("llama"), tmp_path / "small")
    page = PAGE
    for shown, smaller in SMALLER.items():
        assert shown in page, f"{shown} is no longer on the page"
        page = page.replace(shown, smaller)
    for name, content in re.findall(r"```\w+ file=(\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        exec(compile(block, f"docs/python.md: {block.splitlines()[0]}", "exec"), names)
    assert len(blocks) == 11
    assert names["table"].shape[0] == 25 * 12 and set(names["both"]["model"]) == {names["base"], names["changed"]}
    assert set(names["table"]["setting"]) == {"0-shot, cloze"}, "what the page averages is asked in one way"
    assert names["base"] == "small"
    assert names["page"].is_file() and (tmp_path / "pca" / "index.html").is_file()
    said = capsys.readouterr().out
    assert said.count(", 12 items\n") == 3 and "'de'" in said


@pytest.mark.slow
def test_the_block_of_the_readme_runs(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny("llama"), tmp_path / "small")
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    exec(compile(block.replace("gemma-3-270m", "small").replace("limit=100", "limit=2"), "README.md", "exec"), {})
    assert ", 2 items\n" in capsys.readouterr().out
