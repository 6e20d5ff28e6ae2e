"""examples/notebook.py runs from its first cell to its last in a kernel, with a tiny model and few items."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

SOURCE = (Path(__file__).resolve().parents[1] / "examples" / "notebook.py").read_text(encoding="utf-8")
SMALLER = {
    '"gemma-3-270m"': '"MODEL"',
    "LIMIT = 100": "LIMIT = 12",
    "PEOPLE = 20": "PEOPLE = 3",
    '"data.ledger.people": PEOPLE': '"data.ledger.people": PEOPLE, "training.max_steps": 2',
}
# Reading all tasks of the harness takes long, at each call.
SETUP = """
import functools
import lm_eval.tasks
import lm_eval_xling.harness
lm_eval.tasks.TaskManager = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)
lm_eval_xling.harness.seen_folder = lambda: None
"""


@pytest.mark.slow
def test_the_notebook_runs_from_an_evaluation_to_a_report(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(tiny("llama"), tmp_path / "MODEL")
    source = SOURCE
    for shown, smaller in SMALLER.items():
        assert shown in source, f"{shown} is no longer in the notebook"
        source = source.replace(shown, smaller)
    notebook = jupytext.reads(source, fmt="py:percent")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SETUP))
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    for name in ("barrier.png", "taught.png", "changes.png"):
        assert (tmp_path / name).stat().st_size > 5_000, name
    assert (tmp_path / "report" / "report.html").is_file()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    values = [output["data"] for output in outputs if output.output_type == "execute_result"]
    tables = [value for value in values if "<table" in value.get("text/html", "")]
    assert len(tables) == 3, "the results, the accuracies and the barrier are shown as tables"
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 3, "the notebook shows what it draws"
