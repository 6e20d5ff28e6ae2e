"""Where the time of ``hf-shared-prefix`` goes, and what stands between it and the machine's limit.

    XLING_DATA=mirror OMP_NUM_THREADS=1 python -m tests.benchmarks.shares --model gemma-3-270m --write docs/scoring.md

One run of each workload, in seconds of the processor, each counted for the innermost part of the program that spends
them. Products with the weights are divided in three: what the limit counts (``tests/benchmarks/limit.py``), the
products of padding, and the rest, which is lost because batches are smaller than those of the limit.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import AttentionInterface

from lm_eval_xling.scoring import execution, model, prefix_attention
from tests.benchmarks.limit import Work, limit
from tests.benchmarks.marks import write_between
from tests.benchmarks.scoring import NEW_TOKENS, TASKS, Bench, workload


class Clock:
    """Seconds of the processor by part, each counted once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack: list[str] = []
        self._since = 0.0

    def enter(self, part: str) -> None:
        self._count()
        self._stack.append(part)

    def leave(self) -> None:
        self._count()
        self._stack.pop()

    def _count(self) -> None:
        now = time.process_time()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, counted as a part."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return counted

    @contextmanager
    def counting(self, backend: model.SharedPrefixLM) -> Iterator[None]:
        """Count the parts of everything that a backend does inside the block."""
        with ExitStack() as undo:
            head = backend.model.get_output_embeddings()
            for module in backend.model.modules():
                if (part := _part(module, head)) is not None:
                    undo.callback(module.register_forward_pre_hook(lambda *_, part=part: self.enter(part)).remove)
                    undo.callback(module.register_forward_hook(lambda *_: self.leave()).remove)

            for owner, name, part, function in (
                (model, "make_plan", "planning", model.make_plan),
                (model.SharedPrefixLM, "_encode_all", "tokenizing", self._listed(model.SharedPrefixLM._encode_all)),
                (model.SharedPrefixLM, "tok_encode", "tokenizing", model.SharedPrefixLM.tok_encode),
                (execution.Executor, "_read", "log-softmax", execution.Executor._read),
            ):
                undo.enter_context(mock.patch.object(owner, name, self.around(part, function)))
            attend = self.around("attention", prefix_attention._attend)
            AttentionInterface.register(prefix_attention.NAME, attend)
            undo.callback(AttentionInterface.register, prefix_attention.NAME, prefix_attention._attend)
            self.enter("other")
            try:
                yield
            finally:
                self.leave()

    @staticmethod
    def _listed(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: iter(list(function(*args)))


def _part(module: torch.nn.Module, head: torch.nn.Module) -> str | None:
    name = type(module).__name__
    if module is head:
        return "head"
    if isinstance(module, torch.nn.Linear):
        return "layers"
    if isinstance(module, torch.nn.Embedding):
        return "embedding"
    if name.endswith("Norm"):
        return "norms"
    if name.endswith("MLP") or hasattr(module, "act_fn"):
        return "activations"
    if name.endswith(("DecoderLayer", "Attention", "RotaryEmbedding")):
        return "rotations, residual sums"
    return None


def shares(bench: Bench, name: str, documents: int) -> dict[str, float]:
    """Seconds of each part of one workload, the limit's among them."""
    made = workload(name, documents)
    run = bench.run(bench.shared, made)
    bench.run(bench.shared, made[:2])()  # warms up, and checks the first generation
    clock = Clock()
    with clock.counting(bench.shared):
        run()
    work = Work.of(bench.sequences(made), 0 if made[0].continuations else NEW_TOKENS)
    of_limit = min(limit(bench.model, work)()["processor"] for _ in range(2))
    seconds = dict(clock.seconds)
    products = seconds.pop("layers") + seconds.pop("head")
    return {"limit": of_limit, "products in smaller batches": products - of_limit, **seconds}


def table(found: dict[str, dict[str, float]]) -> str:
    parts = list(dict.fromkeys(part for seconds in found.values() for part in seconds))
    lines = [f"| | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    for part in parts:
        cells = [f"{seconds.get(part, 0.0) / sum(seconds.values()):.1%}" for seconds in found.values()]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="embedded model or path")
    parser.add_argument("--workload", choices=TASKS, nargs="*", default=list(TASKS))
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    arguments = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    bench = Bench(arguments.model, "cpu", arguments.dtype)
    found = {}
    for name in arguments.workload:
        found[name] = shares(bench, name, arguments.documents)
        print(f"{name}: {sum(found[name].values()):.2f} s of the processor", flush=True)
    print(table(found))
    for target in arguments.write:
        write_between(f"shares-{arguments.dtype}", table(found), target)


if __name__ == "__main__":
    main()
