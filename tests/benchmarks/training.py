"""Question alignment with our recipe against a plain ``transformers.Trainer`` with the standard collator.

The same pairs in the same order, model, adapters and optimiser; every run is a process of its own, the two kinds
alternate, and losses are compared step by step. The limit (``tests/benchmarks/limit.py``) is the time that the products
with the frozen weights take alone, forward and backward, at the places that need them, measured in the same process::

    python -m tests.benchmarks.training --pairs snli_de_train_question_first2000.json --output build/train
    python -m tests.benchmarks.training --output build/train --write docs/training.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.models import computes_in_bfloat16
from tests.benchmarks.machine import machine
from tests.benchmarks.marks import write_between
from tests.benchmarks.scoring import save

BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, help="file in the published format; without it, only --write")
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--precision", choices=("fp32", "bf16", "all"), default="fp32",
                        help="all: fp32, and bf16 if this machine has instructions for it")  # fmt: skip
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps a run; the first is not timed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results, one file each")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    parser.add_argument("--only", choices=("plain", "ours"), help="one run in this process, result as JSON")
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(measure(arguments.only, arguments)))
        return
    types = [arguments.precision]
    if arguments.precision == "all":
        types = ["fp32", "bf16"] if computes_in_bfloat16() else ["fp32"]
    for precision in types if arguments.pairs else ():
        save(compare(precision, arguments), arguments.output / f"{Path(arguments.model).name}-{precision}.json")
    results = [json.loads(path.read_text()) for path in sorted(arguments.output.glob("*.json"))]
    results.sort(key=lambda result: (result["model"], result["precision"] != "fp32"))
    print(table(results))
    for target in arguments.write:
        write_between("training-speed", table(results), target)


def compare(precision: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate the two kinds of run; the figures are medians."""
    runs: dict[str, list[dict[str, Any]]] = {"plain": [], "ours": []}
    words = ["--pairs", str(arguments.pairs), "--model", arguments.model, "--precision", precision]
    words += ["--steps", str(arguments.steps), "--output", str(arguments.output)]
    for number in range(arguments.rounds):
        for kind in ("plain", "ours") if number % 2 == 0 else ("ours", "plain"):
            command = [sys.executable, "-m", "tests.benchmarks.training", *words, "--only", kind]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            runs[kind].append(json.loads(output.splitlines()[-1]))
            print(f"round {number + 1}: {kind}: {runs[kind][-1]['tokens_per_second']:.1f} tokens/s", file=sys.stderr)
    losses = list(zip(runs["plain"][0]["losses"], runs["ours"][0]["losses"], strict=True))
    result: dict[str, Any] = {
        "model": arguments.model, "precision": precision, "rounds": arguments.rounds, "steps": len(losses),
        "loss_difference": max(abs(plain - ours) for plain, ours in losses), "machine": machine(),
    }  # fmt: skip
    for kind, found in runs.items():
        # The share is of the processor's time, because the clock also counts other work on the machine.
        for name in ("tokens_per_second", "of_limit", "peak_mib"):
            result[f"{kind}_{name}"] = statistics.median(run[name] for run in found)
        speeds = [run["tokens_per_second"] for run in found]
        result[f"{kind}_range"] = [min(speeds), max(speeds)]
    return result


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the results in Markdown."""
    lines = [
        "| Model | Precision | `Trainer`, tokens/s | `xling train align`, tokens/s | Times "
        "| Of the machine's limit, `Trainer` / ours | Peak memory, `Trainer` / ours "
        "| Greatest difference of a step's loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        cells = []
        for kind in ("plain", "ours"):
            low, high = result[f"{kind}_range"]
            cells.append(f"{result[f'{kind}_tokens_per_second']:.0f} ({low:.0f} to {high:.0f})")
        times = result["ours_tokens_per_second"] / result["plain_tokens_per_second"]
        lines.append(
            f"| {Path(result['model']).name} | {result['precision']} | {' | '.join(cells)} | {times:.1f} "
            f"| {result['plain_of_limit']:.0%} / {result['ours_of_limit']:.0%} "
            f"| {result['plain_peak_mib'] / 1024:.1f} / {result['ours_peak_mib'] / 1024:.1f} GiB "
            f"| {result['loss_difference']:.1e} |"
        )
    return "\n".join(lines)


def measure(kind: str, arguments: argparse.Namespace, *watching: Any) -> dict[str, Any]:
    """Train for a few steps; return tokens per second, losses and peak memory of this process.

    Args:
        kind: "plain" or "ours".
        arguments: of the command line.
        watching: further callbacks of transformers.
    """
    from transformers import Trainer, TrainerCallback, set_seed

    from lm_eval_xling.pairs import pair_questions, published_questions
    from lm_eval_xling.training import fitting
    from lm_eval_xling.training.configuration import AlignmentConfig, load_config
    from lm_eval_xling.training.supervised_loss import IGNORED
    from lm_eval_xling.training.tokenizing import encode_pairs
    from lm_eval_xling.training.trainable import load_model, load_tokenizer
    from tests.benchmarks.limit import training_limit

    class Clock(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.at: list[tuple[float, float]] = []
            self.losses: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.at.append((time.perf_counter(), time.process_time()))

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                self.losses.append(logs["loss"])

    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            AlignmentConfig,
            None,
            [
                f"model={arguments.model}",
                f"precision={arguments.precision}",
                f"output={folder}/run",
                "validation=0",
                f"training.max_steps={arguments.steps}",
                f"training.per_device_train_batch_size={BATCH}",
                "training.gradient_accumulation_steps=1",
                "training.logging_steps=1",
                "training.learning_rate=2e-4",
                "training.save_strategy=no",
                "training.disable_tqdm=true",
            ],
        )
        config.output.mkdir()
        questions = published_questions([arguments.pairs])
        (source,) = set(questions) - {"en"}
        pairs = pair_questions(questions, [source], "en", limit=BATCH * arguments.steps)
        tokenizer = load_tokenizer(config)
        examples = encode_pairs(pairs, tokenizer, config.data.cutoff)
        clock = Clock()
        set_seed(42)
        model, config = load_model(config, fitting.training_arguments(config).device)
        if kind == "plain":
            from transformers import DataCollatorForSeq2Seq

            rows = [{name: example[name] for name in ("input_ids", "labels")} for example in examples]
            trainer = Trainer(
                model=model,
                args=fitting.training_arguments(config),
                data_collator=DataCollatorForSeq2Seq(tokenizer),
                train_dataset=rows,
                callbacks=[clock, *watching],
            )
            trainer.train()
        else:
            fitting.fit(model, tokenizer, config, examples, [], {}, callbacks=[clock, *watching])
    peak = peak_memory()
    # The order is random, and every pair is seen once: the mean length makes tokens of steps.
    share = (len(clock.at) - 1) / arguments.steps
    tokens = sum(len(example["input_ids"]) for example in examples) * share
    places = sum(label != IGNORED for example in examples for label in example["labels"][1:]) * share
    least = training_limit(model.get_base_model(), tokens, places)["processor"]
    seconds, processor = (last - first for first, last in zip(clock.at[0], clock.at[-1], strict=True))
    return {
        "tokens_per_second": tokens / seconds,
        "of_limit": least / processor,
        "losses": clock.losses,
        "peak_mib": peak,
    }


def peak_memory() -> float:
    """Return the largest resident set of this process, in MiB (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


if __name__ == "__main__":
    main()
