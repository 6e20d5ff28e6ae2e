"""Speed and peak memory of ``hf`` and ``hf-shared-prefix``, and the machine's limit, on the same prompts.

    XLING_DATA=mirror python -m tests.benchmarks.scoring --model gemma-3-270m --output build/speed
    XLING_DATA=mirror python -m tests.benchmarks.scoring --model gemma-3-270m --dtype all --output build/speed
    python -m tests.benchmarks.scoring --output build/speed --write docs/scoring.md --excerpt README.md \\
      --plot docs/images/scoring.svg
    XLING_DATA=mirror python -m tests.benchmarks.scoring --model gemma-3-270m --output build/speed --growth

The limit (``tests/benchmarks/limit.py``) is the time that the products with the weights take alone, measured in the
same process. Runs alternate, and the best of the rounds counts, because other work on the machine only ever slows a run
down. For the same reason a second is one of a processor core, but on an accelerator, which works while the core waits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from lm_eval_xling.harness import requests as task_requests
from lm_eval_xling.models import EMBEDDED_MODELS, computes_in_bfloat16, model_folder
from lm_eval_xling.records import Request
from lm_eval_xling.scoring.model import SharedPrefixLM
from lm_eval_xling.scoring.tree import ScoredSequence
from tests.benchmarks.limit import Work, limit
from tests.benchmarks.machine import machine
from tests.benchmarks.marks import write_between

TASKS = {
    "SNLI 6-shot": ("xling_nli_en", 6),
    "MMLU 5-shot": ("xling_mmlu_en", 5),
    "sentiment 2-shot": ("xling_sentiment_en", 2),
    "atlas 0-shot": ("xling_atlas_fr_es", 0),
    "MGSM 8-shot": ("xling_math_mgsm_native_en", 8),
}
NEW_TOKENS = 32
"""Tokens generated for each prompt, neither more nor fewer, so that all variants do the same work."""
BATCH, GENERATION_BATCH = 4, 16
EXCERPT = [
    ("gemma-3-270m", "float32", "SNLI 6-shot"),
    ("gemma-3-270m", "float32", "MMLU 5-shot"),
    ("gemma-3-270m", "float32", "MGSM 8-shot"),
    ("gemma-3-270m", "bfloat16", "MMLU 5-shot"),
    ("qwen2.5-coder-1.5b-instruct", "float32", "MMLU 5-shot"),
    ("qwen2.5-coder-1.5b-instruct", "bfloat16", "MMLU 5-shot"),
]
"""Rows of the table that also stand in the README."""


def workload(name: str, documents: int) -> list[Request]:
    """The first documents of a task; of MMLU, those of the subject with the most among the mirror's first 400."""
    task, shots = TASKS[name]
    if "mmlu" not in task:
        return task_requests(task, limit=documents, num_fewshot=shots)
    made = task_requests(task, limit=400, num_fewshot=shots)
    subjects = [request.document.group for request in made]
    largest = max(set(subjects), key=subjects.count)
    return [request for request in made if request.document.group == largest][:documents]


def instances(made: Sequence[Request], end: int) -> list[Instance]:
    """Requests as the harness asks them; the token ``end`` is suppressed, so that generated texts do not end."""
    if made[0].continuations:
        pairs = [(request.context, text) for request in made for text in request.continuations]
        return [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
    options = {"until": [], "max_gen_toks": NEW_TOKENS, "suppress_tokens": [end]}
    return [Instance("generate_until", {}, (request.context, options), index) for index, request in enumerate(made)]


def measured(run: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock and by the processor, and the peak memory in bytes, of one run."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    else:
        # Linux: makes VmHWM, the peak of the resident memory, start anew from what is resident now.
        Path("/proc/self/clear_refs").write_text("5")
    clock, processor = time.perf_counter(), time.process_time()
    run()
    if cuda:
        torch.cuda.synchronize()
    seconds = {"seconds": time.perf_counter() - clock, "processor": time.process_time() - processor}
    return {**seconds, "peak": float(torch.cuda.max_memory_allocated() if cuda else _resident("VmHWM"))}


def _resident(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


class Bench:
    """One model under all variants."""

    def __init__(self, name: str, device: str, dtype: str) -> None:
        folder = str(model_folder(name)) if name in EMBEDDED_MODELS else name
        self.name, self.dtype = name, dtype
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval().to(device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        common = {"pretrained": self.model, "tokenizer": self.tokenizer}
        self.hf, self.shared = HFLM(**common), SharedPrefixLM(**common)
        assert self.shared.fallback_reason is None, self.shared.fallback_reason

    def run(self, backend: HFLM, made: Sequence[Request]) -> Callable[[], object]:
        """Return a function that lets a backend answer requests."""
        asked = instances(made, self.tokenizer.eos_token_id)
        backend.batch_size_per_gpu = BATCH if made[0].continuations else GENERATION_BATCH
        return lambda: getattr(backend, asked[0].request_type)(asked, disable_tqdm=True)

    def sequences(self, made: Sequence[Request]) -> list[ScoredSequence]:
        """What the requests read and score, as the backend divides them into tokens."""
        if not made[0].continuations:
            return [ScoredSequence(self.shared.tok_encode(request.context), [0]) for request in made]
        pairs = [self.shared._encode_pair(request.context, text) for request in made for text in request.continuations]
        return [self.shared._sequence(context, continuation) for context, continuation in pairs]

    def compare(self, name: str, documents: int, hf_documents: int, rounds: int) -> dict[str, Any]:
        """Alternate the variants over one workload; the figures are of the fastest round."""
        made = workload(name, documents)
        sequences = self.sequences(made)
        work = Work.of(sequences, 0 if made[0].continuations else NEW_TOKENS)
        of_limit = limit(self.model, work)
        if not made[0].continuations:
            hf_documents = max(hf_documents, GENERATION_BATCH)
        few = made[:: max(1, len(made) // hf_documents)][:hf_documents]
        variants = {
            "hf": (self.run(self.hf, few), len(few)),
            "shared": (self.run(self.shared, made), len(made)),
        }
        self.run(self.shared, made[:2])()  # warms up, and checks the first generation
        runs: dict[str, list[dict[str, float]]] = {"limit": [], **{variant: [] for variant in variants}}
        for _ in range(rounds):
            for variant, (run, _) in variants.items():
                runs[variant].append(measured(run))
            runs["limit"].append(of_limit())
        result: dict[str, Any] = {
            "model": self.name, "dtype": self.dtype, "workload": name, "documents": len(made),
            "length": round(sum(len(sequence.tokens) for sequence in sequences) / len(sequences)),
            "tree": round(work.tokens / len(made)), "machine": machine(),
        }  # fmt: skip
        for variant, found in runs.items():
            count = variants[variant][1] if variant in variants else len(made)
            result[variant] = {
                "documents": count,
                "per_second": count / min(run["seconds"] for run in found),
                "per_processor_second": count / min(run["processor"] for run in found),
            }
            if variant in variants:
                result[variant]["peak"] = max(run["peak"] for run in found)
        return result

    def growth(self, counts: Sequence[int]) -> list[dict[str, float]]:
        """Seconds of the backend over growing numbers of SNLI documents of all languages."""
        made: list[Request] = []
        for language in ("en", "de", "es", "fr"):
            made += task_requests(f"xling_nli_{language}", num_fewshot=6)
        return [{"documents": count, **measured(self.run(self.shared, made[:count]))} for count in counts]


def speed(result: dict[str, Any], variant: str) -> float:
    """Documents per second of an accelerator, or of one processor core."""
    figures: dict[str, float] = result[variant]
    return figures["per_second" if "accelerator" in result["machine"] else "per_processor_second"]


def figure(value: float) -> str:
    """A speed with at least two digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| Model | Type | Prompts | Tokens (computed) | `hf` | `hf-shared-prefix` | Times `hf` | Limit "
        "| Of the machine's limit | Peak memory `hf` / ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        hf, shared, most = (speed(result, variant) for variant in ("hf", "shared", "limit"))
        lines.append(
            f"| {result['model']} | {result['dtype']} | {result['workload']} | {result['length']} ({result['tree']}) "
            f"| {figure(hf)} | {figure(shared)} | {shared / hf:.1f} | {figure(most)} | {shared / most:.0%} "
            f"| {result['hf']['peak'] / 2**30:.1f} / {result['shared']['peak'] / 2**30:.1f} GiB |"
        )
    return "\n".join(lines)


def excerpt(results: Sequence[dict[str, Any]]) -> str:
    """Return the README's rows: what a user would otherwise use, ours, and the share of the machine's limit."""
    found = {(result["model"], result["dtype"], result["workload"]): result for result in results}
    lines = [
        "| documents a second of one core | `lm_eval --model hf` | `xling eval` "
        "| of what the matrix products alone would allow |",
        "|---|---|---|---|",
    ]
    for key in EXCERPT:
        if key in found:
            hf, shared, most = (speed(found[key], variant) for variant in ("hf", "shared", "limit"))
            lines.append(f"| {', '.join(key)} | {figure(hf)} | {figure(shared)} | {shared / most:.0%} |")
    return "\n".join(lines)


def plot(results: Sequence[dict[str, Any]], target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "speed"  # the same figures give the same file
    from matplotlib import pyplot

    # Three of Okabe and Ito's colours, which colour-blind readers tell apart.
    bars = (
        ("hf", "hf", "#999999"),
        ("shared", "hf-shared-prefix", "#0072B2"),
        ("limit", "the machine's limit: the products alone", "#E69F00"),
    )
    names = list(dict.fromkeys(result["model"] for result in results))
    types = list(dict.fromkeys(result["dtype"] for result in results))
    size = (4.5 * len(names), 0.6 + 2.6 * len(types))
    figure, axes = pyplot.subplots(
        len(types), len(names), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (dtype, name) in zip(axes.flat, itertools.product(types, names), strict=True):
        mine = [result for result in results if (result["model"], result["dtype"]) == (name, dtype)]
        for offset, (variant, label, colour) in enumerate(bars):
            places = [index + 0.27 * (offset - 1) for index in range(len(mine))]
            axis.bar(places, [speed(result, variant) for result in mine], 0.25, label=label, color=colour)
        axis.set_xticks(range(len(mine)), [result["workload"].replace(" ", "\n", 1) for result in mine], fontsize=8)
        axis.set_yscale("log")
        axis.set_title(f"{name}, {dtype}", fontsize=10)
    figure.supylabel("documents per second and core", fontsize=10)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


def save(data: object, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(data, indent=1))
    partial.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="embedded model or path; without it, only --write and --plot")
    parser.add_argument("--workload", choices=TASKS, nargs="*", default=list(TASKS))
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--hf-documents", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "all"), default="float32",
                        help="all: float32, and bfloat16 if this machine has instructions for it")  # fmt: skip
    parser.add_argument("--growth", action="store_true", help="50 to 2,000 documents instead of the comparison")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results, one file each")
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    parser.add_argument("--excerpt", type=Path, nargs="*", default=[], help="files that get a few rows of the table")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    types = [arguments.dtype]
    if arguments.dtype == "all":
        types = ["float32", "bfloat16"] if computes_in_bfloat16() else ["float32"]
    if len(types) > 1 and arguments.model:
        # Each in a process of its own, whose peak of memory holds no other model.
        for dtype in types:
            subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.scoring", *sys.argv[1:], "--dtype", dtype], check=True
            )
        return
    for dtype in types if arguments.model else ():
        bench = Bench(arguments.model, arguments.device, dtype)
        name = Path(arguments.model).name
        if arguments.growth:
            for point in bench.growth((50, 200, 500, 1000, 2000)):
                print(json.dumps(point), flush=True)
            continue
        for workload_name in arguments.workload:
            result = bench.compare(workload_name, arguments.documents, arguments.hf_documents, arguments.rounds)
            save(result, arguments.output / f"{name}-{dtype}-{workload_name.replace(' ', '-')}.json")
            print(json.dumps(result), flush=True)
    order = {name: index for index, name in enumerate(TASKS)}
    results = [json.loads(path.read_text()) for path in sorted(arguments.output.glob("*-shot.json"))]
    results.sort(key=lambda result: (result["model"], result["dtype"] != "float32", order[result["workload"]]))
    if results:
        print(table(results))
        for target in arguments.write:
            write_between("speed", table(results), target)
        for target in arguments.excerpt:
            write_between("speed-excerpt", excerpt(results), target)
        if arguments.plot:
            plot(results, arguments.plot)


if __name__ == "__main__":
    main()
