"""The crosslingual knowledge barrier of a small real model on a laptop: no hub, no GPU, about five minutes.

Asks Gemma-3-270M for the capitals of 111 countries in the 25 pairs of question language and answer language of
xling_atlas, prints the matrix of accuracies, and writes the harness's results and samples, a heat map and a report
page with paired statistics to ./demo.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.models import model_folder
from lm_eval_xling.report import write_report
from lm_eval_xling.report.plots import heat_map

OUT = Path("demo")
HEAT_MAP = OUT / "barrier.png"
CODES = ("en", "fr", "de", "es", "it")
LEAVES = [f"xling_atlas_{asked}_{answered}" for asked in CODES for answered in CODES]
console = Console()


def main() -> None:
    """Convert the model, evaluate, print, draw."""
    started = time.monotonic()
    model = model_folder("gemma-3-270m", say=console.print)
    evaluate(model)
    scores = read_scores()
    print_matrix(scores)
    draw(scores)
    console.print("writing the report")
    page = write_report([OUT / "results"], OUT / "report")
    console.print(f"results and samples: {OUT / 'results'}\nheat map: {HEAT_MAP}\nreport: {page}")
    console.print(f"finished after {(time.monotonic() - started) / 60:.1f} minutes")


def evaluate(model: Path) -> None:
    """Run `xling eval`, which is the harness's own command line with the tasks in sight."""
    command = ["xling", "eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    command += ["--tasks", ",".join(LEAVES), "--metadata", json.dumps({"xling": {"relations": ["capital"]}})]
    command += ["--batch_size", "16", "--output_path", str(OUT / "results"), "--log_samples"]
    console.print("running:", shlex.join(command), soft_wrap=True, markup=False)
    if code := subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=False).returncode:
        sys.exit(code)  # the command has said why


def read_scores() -> dict[tuple[str, str], tuple[float, float]]:
    """Return accuracy and standard error by question and answer language, of the newest run."""
    newest = max((OUT / "results").rglob("results_*.json"), key=lambda path: path.stat().st_mtime)
    results = json.loads(newest.read_text(encoding="utf-8"))["results"]
    cells = ((asked, answered) for asked in CODES for answered in CODES)
    return {
        (asked, answered): (scores["acc,none"], scores["acc_stderr,none"])
        for asked, answered in cells
        for scores in [results[f"xling_atlas_{asked}_{answered}"]]
    }


def print_matrix(scores: dict[tuple[str, str], tuple[float, float]]) -> None:
    """Print the matrix: question languages down, answer languages across."""
    table = Table("question", *CODES, title="Accuracy ± standard error, by answer language")
    for asked in CODES:
        row = (scores[asked, answered] for answered in CODES)
        table.add_row(LANGUAGES[asked].name, *(f"{value:.2f} ± {error:.2f}" for value, error in row))
    console.print(table)


def draw(scores: dict[tuple[str, str], tuple[float, float]]) -> None:
    """Write the heat map."""
    grid = np.array([[scores[asked, answered] for answered in CODES] for asked in CODES])
    names = [LANGUAGES[code].name for code in CODES]
    title = "Capitals of 111 countries, Gemma-3-270M: accuracy"
    heat_map(grid[..., 0], grid[..., 1], names, names, HEAT_MAP, title=title)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        console.print(f"demo: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
