"""Where the time of ``xling train align`` goes, and what stands between it and the machine's limit.

torch's profiler counts every operation from the second step on, forward and backward, for the operation alone. The
weights' products are divided in two: what the limit counts (``tests/benchmarks/limit.py``), and what they take beyond
that, those of the adapters among them. Each run is a process of its own, so that no model stays beside the next::

    OMP_NUM_THREADS=1 python -m tests.benchmarks.training_shares --pairs snli_de_train_question_first2000.json \\
      --models gemma-3-270m qwen2.5-coder-1.5b-instruct --write docs/training.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from lm_eval_xling.models import computes_in_bfloat16
from tests.benchmarks.marks import write_between
from tests.benchmarks.shares import table
from tests.benchmarks.training import measure

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
COPIES = ("aten::copy_", "aten::_to_copy", "aten::clone", "aten::cat", "aten::fill_", "aten::zero_")


class Profile(TrainerCallback):  # type: ignore[misc]
    """Every operation from the end of the first step to the end of training."""

    def __init__(self) -> None:
        self.profile: profile | None = None

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self.profile is None:
            self.profile = profile(activities=[ProfilerActivity.CPU])
            self.profile.start()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        assert self.profile is not None
        self.profile.stop()

    def parts(self) -> dict[str, float]:
        """Return the share of each kind of operation, the largest first."""
        assert self.profile is not None
        times: Counter[str] = Counter()
        for event in self.profile.key_averages():
            times[kind_of(event.key)] += event.self_cpu_time_total
        return {kind: spent / times.total() for kind, spent in times.most_common()}


def kind_of(operation: str) -> str:
    """Return the row of the table that an operation counts for."""
    if operation in PRODUCTS:
        return "products"
    if "scaled_dot_product" in operation:
        return "attention"
    if operation in COPIES:
        return "copies and changes of type"
    if operation.startswith("aten::"):
        return "norms, activations, rotations, sums"
    return "autograd, optimiser, Python"


def shares(arguments: argparse.Namespace) -> dict[str, float]:
    """Train in this process; return the shares, the limit's among them."""
    watching = Profile()
    of_limit = measure("ours", arguments, watching)["of_limit"]
    parts = watching.parts()
    return {"limit": of_limit, "products beyond it": parts.pop("products") - of_limit, **parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="file in the published format")
    parser.add_argument("--models", nargs="+", default=["gemma-3-270m"])
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps a run; the first is not counted")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="one run in this process, result as JSON")
    arguments = parser.parse_args()
    if arguments.precision:
        (arguments.model,) = arguments.models
        print(json.dumps(shares(arguments)))
        return
    found = {}
    for model in arguments.models:
        for precision in ("fp32", "bf16") if computes_in_bfloat16() else ("fp32",):
            command = [sys.executable, "-m", "tests.benchmarks.training_shares", "--pairs", str(arguments.pairs)]
            command += ["--models", model, "--precision", precision, "--steps", str(arguments.steps)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[f"{Path(model).name}, {precision}"] = json.loads(output.splitlines()[-1])
    print(table(found))
    for target in arguments.write:
        write_between("training-shares", table(found), target)


if __name__ == "__main__":
    main()
