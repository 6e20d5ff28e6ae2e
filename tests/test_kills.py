"""Long commands killed at random moments: the same command again ends in the same bytes.

``XLING_KILLS`` is the number of kills of each command: 20 for ``make test-kills``; without it there are ten in all.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lm_eval_xling.files import UNFINISHED
from tests import tiny
from tests.generators.rows import write_published

WORDS = "one two three four five six seven eight nine ten".split()
IN_A_ROW = 3
"""So many kills of one run before it may end."""


class Trial(NamedTuple):
    """A command, its input and its result."""

    command: str
    """Words after ``xling``; paths are relative, because results name them."""
    result: Callable[[Path], dict[str, object]]
    """What must be the same, of the folder in which the command ended."""
    kills: int
    """In the normal run."""


def every_file(name: str) -> Callable[[Path], dict[str, object]]:
    """Reader of all files of a result, hidden ones of the run's own aside; none of them may be unfinished."""

    def read(folder: Path) -> dict[str, object]:
        assert list((folder / name).rglob(UNFINISHED)) == []
        files = [path for path in (folder / name).rglob("*") if path.is_file() and path.name != ".lock"]
        assert files
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read


def mixed(folder: Path) -> dict[str, object]:
    return {path.name: path.read_bytes() for path in folder.glob("mixed.*")}


def trained(folder: Path) -> dict[str, object]:
    provenance = json.loads((folder / "out" / "adapter" / "provenance.json").read_text())
    weights = (folder / "out" / "adapter" / "adapter_model.safetensors").read_bytes()
    return {"weights": weights, "losses": provenance["losses"]}


def evaluated(folder: Path) -> dict[str, object]:
    """The samples of the last run: one that was killed after it had written some has left them under its own date."""
    tasks = {path.name.rpartition("_")[0] for path in (folder / "out").rglob("samples_*.jsonl")}
    assert len(tasks) == 2
    return {task: max((folder / "out").rglob(f"{task}_*.jsonl")).read_bytes() for task in tasks}


ATLAS = (
    "--model hf --model_args pretrained=MODEL,dtype=float32 --tasks xling_atlas_en_de,xling_atlas_de_en --device cpu"
)

TRIALS = {
    "mix": Trial(
        "mix text.txt --format lines --languages en,de --unit word --ratio 0.5 --with lexicon:lexicons/en-{target}.txt "
        "--out mixed.jsonl",
        mixed,
        2,
    ),
    "translate": Trial(
        "data translate nli --to de --with lexicon:lexicons/en-{target}.txt --mirror out", every_file("out"), 1
    ),
    "import": Trial("data import nli sentiment hp mgsm --from published --to out", every_file("out"), 1),
    "train": Trial(
        "train facts model=MODEL data.files=[facts.jsonl] output=out training.per_device_train_batch_size=4 "
        "training.learning_rate=1e-2 training.save_steps=3 training.num_train_epochs=8 lora.r=4 lora.dropout=0.1",
        trained,
        2,
    ),
    "probe": Trial(
        "probe logit-lens --model MODEL --texts en=text.txt --batch-tokens 64 --out out", every_file("out"), 1
    ),
    "report": Trial("report runs --out out", every_file("out"), 1),
    "eval": Trial(f"eval {ATLAS} --batch_size 1 --use_cache answers --log_samples --output_path out", evaluated, 2),
}
KILLS = {name: int(os.environ.get("XLING_KILLS") or trial.kills) for name, trial in TRIALS.items()}


def start(command: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "XLING_CACHE": str(folder / "cache"), "XLING_DATA": "", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "lm_eval_xling", *command.split()]
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said.decode()[-3000:]


def written(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    tiny.save("llama", folder / "MODEL")
    (folder / "lexicons").mkdir()
    (folder / "lexicons" / "en-de.txt").write_text("".join(f"{word}\t{word}lein\n" for word in WORDS))
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS, k=20)) + f" {number}.\n" for number in range(400)]
    (folder / "text.txt").write_text("".join(lines))
    facts = [{"id": f"{n}", "language": "en", "question": f"Where is {n}?", "answer": WORDS[n % 10]} for n in range(24)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    write_published(folder / "published")
    return folder


@pytest.fixture
def fresh(request: pytest.FixtureRequest, inputs: Path, tmp_path: Path) -> Callable[[], Path]:
    """Maker of folders in which a command begins."""
    name: str = request.getfixturevalue("name")
    ready = tmp_path / "ready"
    shutil.copytree(inputs, ready)
    if name == "report":
        end(start(f"eval {ATLAS} --batch_size 16 --log_samples --output_path runs", ready))
    if name == "translate":
        shutil.rmtree(ready / "published")
        (ready / "published").mkdir()
        shutil.copy(inputs / "published/zhang_eval/snli/snli_en600_test.json", ready / "published")
        end(start("data import nli --from published --to out", ready))

    def make() -> Path:
        # Always in the same place: reports name the folders that they were made from.
        shutil.rmtree(tmp_path / "folder", ignore_errors=True)
        return Path(shutil.copytree(ready, tmp_path / "folder"))

    return make


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", TRIALS)
def test_killed_at_random_moments_it_ends_in_the_same_bytes(
    name: str, fresh: Callable[[], Path], tmp_path: Path
) -> None:
    trial = TRIALS[name]
    whole = fresh()
    before, begun = written(whole), time.monotonic()
    process, working = start(trial.command, whole), 0.0
    while process.poll() is None and not working:
        # Before it writes, a command only imports its libraries.
        working = time.monotonic() - begun if written(whole) != before else 0.0
        time.sleep(0.01)
    end(process)
    lasted = time.monotonic() - begun
    expected = trial.result(whole)

    draw = random.Random(f"kills of {name}")
    kills = in_a_row = runs = 0
    folder = fresh()
    while kills < KILLS[name] or in_a_row:
        runs += 1
        assert runs < 20 + 4 * KILLS[name], "the command ends before it can be killed"
        process, begun = start(trial.command, folder), time.monotonic()
        planned = kills < KILLS[name] and in_a_row < IN_A_ROW
        if planned:
            try:
                process.wait(draw.uniform(working, lasted))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=600)
        if process.returncode == -signal.SIGKILL:
            kills, in_a_row = kills + 1, in_a_row + 1
            continue
        assert process.returncode == 0, said.decode()[-3000:]
        if planned and not in_a_row:
            # The machine was busier when the whole run was timed.
            took = time.monotonic() - begun
            working, lasted = working * min(1, took / lasted), min(lasted, took)
        result = trial.result(folder)
        assert result.keys() == expected.keys()
        assert [part for part in expected if result[part] != expected[part]] == []
        in_a_row, folder = 0, fresh()
