"""The crosslingual knowledge barrier of a small real model on a laptop: no hub, no GPU, about ten minutes.

Runs `lm_eval` on the 25 question language × answer language leaves of xling_atlas with Gemma-3-270M, prints the
matrix of accuracies, and writes the harness's results and samples, a heat map and a report page to ./demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lm_eval_xling.embedded import model_folder
from lm_eval_xling.languages import LANGUAGES

OUT = Path("demo")
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
    console.print(f"finished after {(time.monotonic() - started) / 60:.1f} minutes")


def evaluate(model: Path) -> None:
    """Run `xling eval`, which is the harness's own command line with the tasks in sight."""
    command = ["xling", "eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    command += ["--tasks", ",".join(LEAVES), "--batch_size", "16", "--output_path", str(OUT), "--log_samples"]
    console.print("running:", " ".join(command), soft_wrap=True, markup=False)
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=True)


def read_scores() -> dict[tuple[str, str], tuple[float, float]]:
    """Return accuracy and standard error by question and answer language, of the newest run."""
    newest = max(OUT.rglob("results_*.json"), key=lambda path: path.stat().st_mtime)
    results = json.loads(newest.read_text(encoding="utf-8"))["results"]
    cells = ((asked, answered) for asked in CODES for answered in CODES)
    return {
        (asked, answered): (scores["acc,none"], scores["acc_stderr,none"])
        for asked, answered in cells
        for scores in [results[f"xling_atlas_{asked}_{answered}"]]
    }


def print_matrix(scores: dict[tuple[str, str], tuple[float, float]]) -> None:
    """Print the matrix: question languages down, answer languages across."""
    names = [LANGUAGES[code].name for code in CODES]
    table = Table("question \\ answer", *names, title="Accuracy ± standard error")
    for asked in CODES:
        row = (scores[asked, answered] for answered in CODES)
        table.add_row(LANGUAGES[asked].name, *(f"{value:.2f} ± {error:.2f}" for value, error in row))
    console.print(table)


if __name__ == "__main__":
    main()
