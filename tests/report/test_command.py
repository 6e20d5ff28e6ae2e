"""``xling report``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lm_eval_xling._cli import app
from lm_eval_xling.errors import UserError
from tests.report.runs import document, right_or_wrong, write_run
from tests.report.test_page import write_runs

runner = CliRunner()


@pytest.mark.slow
def test_report_prints_findings_and_the_page(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs")
    # What a report that was stopped leaves is no other file.
    (tmp_path / "out" / "plots").mkdir(parents=True)
    result = runner.invoke(app, ["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith(str(tmp_path / "out" / "report.html"))
    assert (tmp_path / "out" / "report.html").stat().st_size > 50_000
    # Names from data are text, not markup of the terminal.
    assert "base + q$a$<b>" in result.output.replace("\n", "")
    assert "A barrier of" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no such run folder"),
        ([".", "--out", "report"], "no results_"),
        (["runs", "--baseline", "bas"], "did you mean base"),
    ],
)
def test_bad_input_is_an_error_without_traceback(tmp_path: Path, arguments: list[str], said: str) -> None:
    if arguments[0] == "runs":
        write_runs(tmp_path / "runs")
    command = [sys.executable, "-c", "from lm_eval_xling._cli import main; main()", "report", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert said in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "report").exists()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval_xling._cli.report.find_spec", lambda name: None if name == "msgspec" else object())
    result = runner.invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, UserError) and "lm-eval-xling[report]" in str(result.exception)


def test_runs_without_a_barrier_print_their_scores(tmp_path: Path) -> None:
    rows = [right_or_wrong(document(f"item:{i}", "de", "de"), i < 3) for i in range(4)]
    write_run(tmp_path / "runs", {"xling_sentiment_de": rows}, samples=False)
    result = runner.invoke(app, ["report", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "75.0" in result.output and "xling_sentiment_de" in result.output
    assert "--log_samples" in result.output
