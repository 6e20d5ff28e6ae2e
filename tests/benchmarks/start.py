"""From command to first token: seconds of evaluations of one item a task with a model that computes nothing.

The harness's own start is that of `lm_eval` with a plain task from a file; then one leaf of ours under `lm_eval` and
under `xling eval`, and all leaves. Runs alternate, each a process of its own, and the median of the processor's seconds
counts, user and system::

    XLING_DATA=mirror python -m tests.benchmarks.start --rounds 5 --write docs/scoring.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from lm_eval_xling.harness import tasks_folder
from tests.benchmarks.marks import write_between

LEAF = "xling_mmlu_mixup"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "`lm_eval`, a plain task from a file": [
                "lm_eval",
                "run",
                "--include_path",
                plain(folder),
                "--tasks",
                "plain",
            ],
            f"`lm_eval`, `{LEAF}`": ["lm_eval", "run", "--include_path", str(tasks_folder()), "--tasks", LEAF],
            f"`xling eval`, `{LEAF}`": ["lm_eval_xling", "eval", "--tasks", LEAF],
            "`xling eval`, `xling_*`": ["lm_eval_xling", "eval", "--tasks", "xling_*"],
        }
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                found[name].append(seconds([*command, "--model", "dummy", "--limit", "1"]))
    (own, *_) = found.values()
    lines = [
        "| `--model dummy --limit 1` | seconds of the processor | of the harness's own start | seconds by the clock |",
        "|---|---|---|---|",
    ]
    for name, runs in found.items():
        processor, clock = (statistics.median(times) for times in zip(*runs, strict=True))
        share = processor / statistics.median(seconds for seconds, _ in own)
        lines.append(f"| {name} | {processor:.1f} | {share:.2f} | {clock:.1f} |")
    print("\n".join(lines))
    for target in arguments.write:
        write_between("start", "\n".join(lines), target)


def plain(folder: str) -> str:
    """Write a task of the harness's own kind with two rows, and return its folder."""
    rows = Path(folder, "rows.jsonl")
    rows.write_text(json.dumps({"q": "The capital of France is", "options": ["Paris", "Rome"], "a": 0}) + "\n" * 2)
    Path(folder, "plain.yaml").write_text(
        f"task: plain\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: '{rows}'}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: options\ndoc_to_target: a\n"
    )
    return folder


def seconds(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds of the processor and by the clock."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        # Without a network the model would wait for the tokenizer that it asks the hub for.
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=output, stderr=output, env=offline)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{output.read().decode()[-2000:]}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - started


if __name__ == "__main__":
    main()
