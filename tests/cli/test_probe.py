"""``xling probe`` from the command line, on a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lm_eval_xling._cli import app
from lm_eval_xling.errors import UserError
from tests.probes.conftest import adapter

__all__ = ["adapter"]  # a fixture

WORDS = "one two three four five six seven eight nine ten".split()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for code in ("en", "de", "th"):
        lines = [f"{' '.join(WORDS[shift:] + WORDS[:shift])} {code}" for shift in range(6)]
        (tmp_path / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "lexicons").mkdir()
    (tmp_path / "lexicons" / "en-de.txt").write_text("".join(f"{word}\t{word}lein\n" for word in WORDS))
    labels = {"en": ["positive", "negative"], "th": ["บวก", "ลบ"]}
    rows = [
        {"id": str(n), "language": "th", "text": f"ข้อความ {n}", "labels": labels, "answer": n % 2} for n in range(6)
    ]
    (tmp_path / "th.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [
        {
            "id": n,
            "language": code,
            "text": f"{code} {word}:",
            "subject": word,
            "choices": [" a", " bc"],
            "answer": n % 2,
        }
        for code in ("en", "de", "th")
        for n, word in enumerate(WORDS[:6])
    ]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (tmp_path / "parallel").mkdir()
    for code in ("en", "de", "th"):
        (tmp_path / "parallel" / f"{code}.dev").write_bytes((tmp_path / f"{code}.txt").read_bytes())
    return tmp_path


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["probe", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def arguments(probe: str, files: Path) -> list[object]:
    return {
        "logit-lens": ["--texts", files / "th.jsonl"],
        "pca": ["--texts", files / "en.txt", "--texts", files / "de.txt", "--texts", files / "th.txt"],
        "similarity": ["--texts", files / "en.txt", "--lexicons", files / "lexicons", "--ratio", 0.4],
        "mexa": ["--parallel", files / "parallel"],
        "patch": ["--texts", files / "facts.jsonl"],
        "steer": ["--texts", files / "facts.jsonl", "--parallel", files / "parallel"],
        "neurons": ["--parallel", files / "parallel", "--held-out", 3],
    }[probe]


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["logit-lens", "pca", "similarity", "mexa", "patch", "steer", "neurons"])
def test_a_run_is_numbers_pictures_and_a_page(
    probe: str, files: Path, tiny: Callable[[str], Path], adapter: Callable[..., Path]
) -> None:
    out = files / "out"
    wanted = [probe, "--model", tiny("llama"), "--peft", adapter("tuned", strength=0.5), "--out", out]
    output = call(*wanted, *arguments(probe, files))
    assert output.strip().endswith(str(out / "index.html"))
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["probe"] == probe and manifest["adapters"]["tuned"]["sha256"]
    rows = [json.loads(line) for line in (out / "measures.jsonl").read_text().splitlines()]
    assert {(row["variant"], row["minus"]) for row in rows} == {("base", None), ("tuned", None), ("tuned", "base")}
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((out / "figures").glob("*.png"))) >= 3
    assert list(out.glob("*.parquet")) and not list(out.glob(".*"))
    # The same call again computes nothing and writes the same.
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    call(*wanted, *arguments(probe, files))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_files(files: Path, tiny: Callable[[str], Path]) -> None:
    def command(out: Path) -> list[str]:
        options = ["--model", str(tiny("llama")), "--batch-tokens", "1", "--out", str(out)]
        return [
            sys.executable,
            "-m",
            "lm_eval_xling",
            "probe",
            "logit-lens",
            "--texts",
            f"en={files / 'long.txt'}",
            *options,
        ]

    (files / "long.txt").write_text("".join(f"{number} {' '.join(WORDS * 9)}\n" for number in range(300)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(files / "whole"), check=True, capture_output=True, env=environment)
    killed = subprocess.Popen(command(files / "killed"), stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        journals = list((files / "killed").glob("activations/*.done"))
        if journals and journals[0].stat().st_size > 100:
            break
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (journal,) = (files / "killed").glob("activations/*.done")
    assert 0 < len(journal.read_text().split()) < 200, "the kill came while batches were running"
    assert not (files / "killed" / "measures.jsonl").exists()
    subprocess.run(command(files / "killed"), check=True, capture_output=True, env=environment)
    for name in (
        "measures.jsonl",
        "observations.jsonl",
        "measures.parquet",
        "figures/language-share.svg",
        "index.html",
    ):
        assert (files / "killed" / name).read_bytes() == (files / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["logit-lens"], "give either --task or --texts"),
        (["logit-lens", "--task", "xling_atlas_en_de", "--texts", "x"], "give either --task or --texts"),
        (["logit-lens", "--task", "xling_sentimentt_de"], "did you mean"),
        (["logit-lens", "--task", "xling_atlas_en_de", "--metadata", "{"], "not JSON"),
        (["pca", "--texts", "en.txt", "--pooling", "middle"], "unknown pooling 'middle'"),
        (["pca", "--texts", "none.txt"], "name says no language"),
        (["mexa", "--parallel", "parallel", "--pivot", "blorp"], "unknown language 'blorp'"),
        (["mexa", "--parallel", "parallel", "--dtype", "int8"], "unknown dtype"),
        (["similarity", "--texts", "en.txt", "--lexicons", "none"], "no lexicon here"),
    ],
)
def test_bad_calls_are_messages(
    wanted: list[str], message: str, files: Path, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    call_ = ["probe", *wanted, "--model", str(tiny("llama")), "--out", "out"]
    result = CliRunner().invoke(app, call_)
    assert isinstance(result.exception, UserError), result.output
    assert message in str(result.exception)
    assert not (files / "out" / "measures.jsonl").exists()


def test_help_of_every_probe_has_examples() -> None:
    for probe in ("logit-lens", "pca", "similarity", "mexa", "patch", "steer"):
        output = CliRunner().invoke(app, ["probe", probe, "--help"], terminal_width=200).output
        assert "Examples" in output and f"xling probe {probe} --model gemma-3-270m" in output
