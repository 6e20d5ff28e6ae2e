"""Time, memory and page size of reports over more and more runs of all of MMLU, to 10 million scored continuations.

    python -m tests.benchmarks.report [--runs 10 40 143] [--items 14042] [--options 5] [--dir build/report]

Runs are written in the harness's form, eight placements a model; each line carries the whole prompt once an option, as
real samples do (143 runs are 11 GB, which stay in the folder). The reports are then made by the command of the README,
each in a process of its own, over the first of these runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PLACEMENTS = ["en", "mixup", "full_de", "question_de", "options_de", "gt_de", "onewrong_de", "threewrong_de"]
WORDS = "which of the following statements about a closed system in thermal equilibrium is always true when".split()


def write_runs(folder: Path, runs: int, items: int, options: int) -> None:
    """Write the runs, one task each."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, items)
    letters = "ABCDEFGHIJ"[:options]
    for run in range(runs):
        placement = PLACEMENTS[run % len(PLACEMENTS)]
        task, date = f"xling_mmlu_{placement}", f"2026-01-{1 + run % 28:02d}T00-00-00.{run:06d}"
        model = f"org/model-{run // len(PLACEMENTS)}"
        own = folder / model.replace("/", "__")
        own.mkdir(parents=True, exist_ok=True)
        right_of, digest = 0, hashlib.sha256()
        edge = 0.8 if placement == "en" else 0.2
        scores = rng.normal(0, 1, (items, options)).round(6)
        with (own / f"samples_{task}_{date}.jsonl").open("w", encoding="utf-8") as stream:
            for item in range(items):
                answer = item % options
                scores[item, answer] += edge - hard[item]
                right = int(scores[item].argmax() == answer)
                right_of += right
                line = sample(item, answer, placement, scores[item], right, letters)
                digest.update((line["doc_hash"] + line["prompt_hash"] + line["target_hash"]).encode())
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        results = {
            "results": {task: {"alias": task, "acc,none": right_of / items, "acc_stderr,none": 0.004}},
            "configs": {
                task: {"metric_list": [{"metric": "acc", "aggregation": "mean"}], "metadata": {"version": 1.0}}
            },
            "versions": {task: 1.0},
            "n-shot": {task: 0},
            "higher_is_better": {task: {"acc": True}},
            "n-samples": {task: {"original": items, "effective": items}},
            "config": {"model": "hf", "model_args": {"pretrained": model}, "limit": None},
            "lm_eval_version": "0.4.13",
            "task_hashes": {task: digest.hexdigest()},
        }
        (own / f"results_{date}.json").write_text(json.dumps(results), encoding="utf-8")


def sample(item: int, answer: int, placement: str, scores: np.ndarray, right: int, letters: str) -> dict:
    """One line of samples, about 5,000 characters, as MMLU's are without demonstrations."""
    question = " ".join(WORDS[(item + k) % len(WORDS)] for k in range(45)) + f" ({item})?"
    texts = [" ".join(WORDS[(item * 7 + k + n) % len(WORDS)] for k in range(9)) for n in range(len(letters))]
    prompt = f"{question}\n" + "\n".join(f"{a}. {t}" for a, t in zip(letters, texts, strict=True)) + "\nAnswer:"
    lone = {"gt_de": answer, "onewrong_de": (answer + 1) % len(letters)}.get(placement, -1)
    languages = {f"option_{n}": "de" if n == lone or placement == "full_de" else "en" for n in range(len(letters))}
    digest = hashlib.sha256(f"{placement} {prompt}".encode()).hexdigest()
    asked = "de" if placement in ("full_de", "question_de") else "en"
    return {
        "doc_id": item,
        "doc": {
            "id": f"mmlu/test/{item}",
            "family": "mmlu",
            "condition": {
                "placement": placement.removesuffix("_de"),
                "form": "letters",
                "languages": {"question": asked, "answer": languages[f"option_{answer}"], **languages},
            },
            "pool": f"subject {item % 57}",
            "cluster": "",
            "group": f"subject {item % 57}",
            "description": "",
            "prompt": prompt,
            "choices": list(letters),
            "answer": answer,
            "fields": {"question": question, "options": texts},
        },
        "target": str(answer),
        "arguments": {f"gen_args_{n}": {"arg_0": prompt, "arg_1": f" {a}"} for n, a in enumerate(letters)},
        "resps": [[[str(s), "False"]] for s in scores],
        "filtered_resps": [[str(s), "False"] for s in scores],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": digest,
        "prompt_hash": digest,
        "target_hash": digest,
        "acc": float(right),
    }


def main() -> None:
    """Write the runs unless they are there, make the reports, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 40, 143])
    parser.add_argument("--items", type=int, default=14_042)
    parser.add_argument("--options", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path("build/report"))
    arguments = parser.parse_args()
    whole = arguments.dir / f"runs-{max(arguments.runs)}x{arguments.items}x{arguments.options}"
    if not whole.exists():
        written = whole.with_suffix(".part")
        shutil.rmtree(written, ignore_errors=True)
        write_runs(written, max(arguments.runs), arguments.items, arguments.options)
        written.rename(whole)
    print("| runs | items | continuations | samples, GB | seconds | of the processor | peak memory, GB | page, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for count in arguments.runs:
        with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
            runs, out = Path(folder, "runs"), Path(folder, "report")
            size = link_first(whole, runs, count)
            command = [sys.executable, "-m", "lm_eval_xling", "report", str(runs), "--baseline", "model-0"]
            started = time.perf_counter()
            process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)  # of this process alone, not of all before it
            if status:
                raise SystemExit("the report failed")
            items = count * arguments.items
            print(
                f"| {count} | {items:,} | {items * arguments.options:,} | {size / 1e9:.2f} "
                f"| {time.perf_counter() - started:.0f} | {used.ru_utime + used.ru_stime:.0f} "
                f"| {used.ru_maxrss / 1e6:.2f} | {(out / 'report.html').stat().st_size / 1e6:.1f} |",
                flush=True,
            )


def link_first(whole: Path, folder: Path, count: int) -> int:
    """Link the files of the first runs into a folder; return their size in bytes."""
    size = 0
    for path in whole.rglob("*.json*"):
        if int(path.stem.rpartition(".")[2]) < count:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(path, folder / path.parent.name / path.name)
            size += path.stat().st_size
    return size


if __name__ == "__main__":
    main()
