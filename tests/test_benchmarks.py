"""Every benchmark runs, at its smallest: a table that cannot be made again is not a measurement."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import scoring
from tests.benchmarks.probe_growth import save
from tests.conftest import FIXTURES
from tests.generators.rows import write_published

pytestmark = pytest.mark.slow

QUESTIONS = ("Where is the bank?", "Who sings?", "What is new?", "Why not?", "When is noon?", "Is it cold?")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, mirror_of: Callable[[Path], Path]) -> str:
    """Mirror of rows that we wrote, for every leaf."""
    folder = write_published(tmp_path_factory.mktemp("written"))
    shutil.copytree(FIXTURES / "mmlu_mixup", folder / "mmlu_mixup")
    return str(mirror_of(folder))


@pytest.fixture
def run(data: str, tmp_path: Path) -> Callable[..., str]:
    """Run one module and return what it prints."""

    def made(name: str, *words: object) -> str:
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", *map(str, words)]
        environment = {**os.environ, "XLING_DATA": data, "XLING_CACHE": str(tmp_path / "cache")}
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr[-3000:]
        return process.stdout

    return made


def marked(path: Path, *names: str) -> Path:
    path.write_text("".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in names), encoding="utf-8")
    return path


def cells(table: str) -> list[list[str]]:
    """Rows of the first table of a text, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_scoring(run: Callable[..., str], model: Path, tmp_path: Path) -> None:
    page, picture = marked(tmp_path / "page.md", "speed"), tmp_path / "speed.svg"
    workloads = ["SNLI 6-shot", "atlas 0-shot", "MGSM 8-shot"]
    words = ["--model", model, "--workload", *workloads, "--documents", 2, "--hf-documents", 1, "--rounds", 1]
    run("scoring", *words, "--output", tmp_path / "results", "--write", page, "--plot", picture)
    rows = cells(page.read_text(encoding="utf-8"))
    assert [row[2] for row in rows] == workloads
    assert all(float(row[5]) > 0 and float(row[7]) > 0 for row in rows)
    assert "MGSM" in picture.read_text(encoding="utf-8")
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").iterdir()]
    assert all(result["machine"]["threads"] > 0 and result["shared"]["peak"] > 0 for result in results)


def test_the_excerpt_has_the_tables_figures() -> None:
    key = scoring.EXCERPT[0]
    result: dict[str, Any] = dict(zip(("model", "dtype", "workload"), key, strict=True), machine={})
    speeds = {"hf": 0.25, "shared": 20.0, "limit": 40.0}
    result |= {name: {"per_processor_second": value, "per_second": 1.0} for name, value in speeds.items()}
    other = {**result, "model": "another"}
    assert cells(scoring.excerpt([other, result])) == [[", ".join(key), "0.25", "20", "50%"]]


def test_shares(run: Callable[..., str], model: Path, tmp_path: Path) -> None:
    page = marked(tmp_path / "page.md", "shares-float32")
    run("shares", "--model", model, "--workload", "SNLI 6-shot", "--documents", 2, "--write", page)
    rows = cells(page.read_text(encoding="utf-8"))
    assert {"limit", "attention", "norms", "tokenizing"} <= {row[0] for row in rows}
    assert sum(float(row[1].strip("%")) for row in rows) == pytest.approx(100, abs=1)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """File of question pairs in the published format."""
    path = tmp_path / "snli_de_train_question.json"
    made = [
        {"input": f"{question[:-1]} denn?\n\nTranslate the input from German to English:", "answer": question}
        for question in QUESTIONS * 2
    ]
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def test_training(run: Callable[..., str], model: Path, pairs: Path, tmp_path: Path) -> None:
    page = marked(tmp_path / "page.md", "training-speed")
    words = ["--pairs", pairs, "--model", model, "--steps", 2, "--rounds", 1]
    run("training", *words, "--output", tmp_path / "results", "--write", page)
    ((name, precision, plain, ours, *_, difference),) = cells(page.read_text(encoding="utf-8"))
    assert (name, precision) == (model.name, "fp32")
    assert float(plain.split()[0]) > 0 and float(ours.split()[0]) > 0
    assert float(difference) < 1e-4


def test_training_shares(run: Callable[..., str], model: Path, pairs: Path, tmp_path: Path) -> None:
    page = marked(tmp_path / "page.md", "training-shares")
    run("training_shares", "--pairs", pairs, "--models", model, "--steps", 2, "--write", page)
    rows = {part: [float(share.rstrip("%")) for share in found] for part, *found in cells(page.read_text("utf-8"))}
    assert {"limit", "products beyond it", "attention"} < set(rows)
    for shares in zip(*rows.values(), strict=True):
        assert sum(shares) == pytest.approx(100, abs=0.5)


def test_start(run: Callable[..., str], tmp_path: Path) -> None:
    page = marked(tmp_path / "page.md", "start")
    run("start", "--rounds", 1, "--write", page)
    assert len(cells(page.read_text(encoding="utf-8"))) == 4


def test_probes(run: Callable[..., str], model: Path) -> None:
    assert "greatest difference of a probability" in run("probes", "--model", model, "--prompts", 4, "--loop", 2)


def test_probe_growth(run: Callable[..., str], tmp_path: Path) -> None:
    page = marked(tmp_path / "page.md", "probe-growth")
    run("probe_growth", "--items", 10, "--probes", "pca", "--write", page)
    ((name, *_),) = cells(page.read_text(encoding="utf-8"))
    assert name == "`pca`"


def test_translation(run: Callable[..., str]) -> None:
    assert len(cells(run("translation", "--shape", "small", "--texts", 4, "--rounds", 1))) == 3


def test_report(run: Callable[..., str], tmp_path: Path) -> None:
    rows = cells(run("report", "--runs", 2, 4, "--items", 20, "--dir", tmp_path))
    assert [row[1] for row in rows] == ["40", "80"]


def test_machine(run: Callable[..., str]) -> None:
    assert json.loads(run("machine"))["cores"] > 0
