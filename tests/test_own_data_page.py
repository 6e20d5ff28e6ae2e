"""docs/own-data.md: its files and commands, run as they stand with a tiny model."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_runs_as_it_stands(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    for name, content in re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    (commands,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    printed = []
    assert len(commands.splitlines()) == 5
    for command in commands.splitlines():
        words = shlex.split(command.replace("MODEL", str(tiny("llama"))))
        assert words[0] == "xling"
        finished = subprocess.run(
            [sys.executable, "-m", "lm_eval_xling", *words[1:]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr[-3000:]
        printed.append(finished.stdout)
    assert "3 items, 8 tasks in capitals_tasks" in printed[0]
    assert "C. Oslo" in printed[1] and "⟨the model goes on here⟩" in printed[1]
    assert (tmp_path / "report").is_dir() and (tmp_path / "adapter" / "adapter").is_dir()
    report = next((tmp_path / "report").glob("*.json")).read_text(encoding="utf-8")
    assert "capitals" in report and "gt" in report
