"""Question alignment with our recipe against a plain ``transformers.Trainer`` with the standard collator.

The same pairs in the same order, model, adapters and optimiser; every run is a process of its own, the two kinds
alternate, and losses are compared step by step. The limit (``tests/benchmarks/limit.py``) is the time that the products
with the frozen weights take alone, forward and backward, at the places that need them, measured in the same process::

    python -m tests.benchmarks.training --pairs snli_de_train_question_first2000.json --steps 12 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="file in the published format")
    parser.add_argument("--model", default="gemma-3-270m")
    parser.add_argument("--steps", type=int, default=12, help="optimiser steps a run; the first is not timed")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--only", choices=("plain", "ours"), help="one run in this process, result as JSON")
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(measure(arguments.only, arguments)))
        return
    runs: dict[str, list[dict[str, Any]]] = {"plain": [], "ours": []}
    for number in range(arguments.rounds):
        for kind in ("plain", "ours") if number % 2 == 0 else ("ours", "plain"):
            output = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.training", *sys.argv[1:], "--only", kind],
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
            runs[kind].append(json.loads(output.splitlines()[-1]))
            print(f"round {number + 1}: {kind}: {runs[kind][-1]['tokens_per_second']:.1f} tokens/s", file=sys.stderr)
    print(table(runs, arguments.model))


def table(runs: dict[str, list[dict[str, Any]]], model: str) -> str:
    """Return the result in Markdown."""
    speed = {kind: statistics.median(run["tokens_per_second"] for run in found) for kind, found in runs.items()}
    memory = {kind: statistics.median(run["peak_mib"] for run in found) for kind, found in runs.items()}
    # Of the processor, because the clock also counts other work on the machine.
    share = {kind: statistics.median(run["of_limit"] for run in found) for kind, found in runs.items()}
    losses = list(zip(runs["plain"][0]["losses"], runs["ours"][0]["losses"], strict=True))
    difference = max(abs(plain - ours) for plain, ours in losses)
    rows = [
        f"| {name} | {speed[kind]:.0f} | {min(r['tokens_per_second'] for r in runs[kind]):.0f} to "
        f"{max(r['tokens_per_second'] for r in runs[kind]):.0f} | {share[kind]:.0%} | {memory[kind]:.0f} |"
        for kind, name in (("plain", "`transformers.Trainer`"), ("ours", "`xling train align`"))
    ]
    return "\n".join(
        [
            f"| {model}, batch {BATCH} | tokens/s (median) | range | of the limit, processor time | peak memory, MiB |",
            "|---|---|---|---|---|",
            *rows,
            f"| ratio | {speed['ours'] / speed['plain']:.2f} | | | {memory['ours'] / memory['plain']:.2f} |",
            "",
            f"Greatest difference of the loss of a step: {difference:.1e} over {len(losses)} steps.",
        ]
    )


def measure(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train for a few steps; return tokens per second, losses and peak memory of this process."""
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
        model, config = load_model(config)
        if kind == "plain":
            from transformers import DataCollatorForSeq2Seq

            rows = [{name: example[name] for name in ("input_ids", "labels")} for example in examples]
            trainer = Trainer(
                model=model,
                args=fitting.training_arguments(config),
                data_collator=DataCollatorForSeq2Seq(tokenizer),
                train_dataset=rows,
                callbacks=[clock],
            )
            trainer.train()
        else:
            fitting.fit(model, tokenizer, config, examples, [], {}, callbacks=[clock])
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
