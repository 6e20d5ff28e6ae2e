"""How the time and memory of every probe grow with the number of items, to 10,000, on a small random model.

The model is small so that what is not the model counts: texts, files, bands, tables and pictures. Each run is a process
of its own, from prompts to page; seconds are the processor's, and memory is the peak of what the run itself allocated
beyond model and prompts, without pages of its memory-mapped files::

    python -m tests.benchmarks.probe_growth --items 100 1000 10000 --probes pca mexa
    python -m tests.benchmarks.probe_growth --write docs/probes.md
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lm_eval_xling import probes
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from tests import tiny
from tests.benchmarks.marks import write_between

WORDS = "one two three four five six seven eight nine ten".split()
WITH_FACTS = ("patch", "steer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--probes", nargs="+", choices=list(probes.PROBES), default=list(probes.PROBES))
    parser.add_argument("--write", type=Path, nargs="*", default=[], help="files between whose marks the table goes")
    parser.add_argument("--one", action="store_true", help="one run in this process, result as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.probes[0], arguments.items[0])))
        return
    lines = ["| seconds of the processor, memory in MB |" + "".join(f" {count:,} items |" for count in arguments.items)]
    lines.append("|---|" + "---|" * len(arguments.items))
    print("\n".join(lines), flush=True)
    for name in arguments.probes:
        cells = []
        for count in arguments.items:
            command = [sys.executable, "-m", "tests.benchmarks.probe_growth", "--one", "--probes", name]
            command += ["--items", str(count)]
            # One thread: threads that wait for work also take the processor's time.
            alone = {**os.environ, "OMP_NUM_THREADS": "1"}
            output = subprocess.run(command, env=alone, stdout=subprocess.PIPE, check=True).stdout
            found = json.loads(output.splitlines()[-1])
            cells.append(f" {found['seconds']:.1f} s, {found['memory'] / 1e6:.0f} |")
        lines.append(f"| `{name}` |" + "".join(cells))
        print(lines[-1], flush=True)
    for target in arguments.write:
        write_between("probe-growth", "\n".join(lines), target)


def measure(name: str, count: int) -> dict[str, float]:
    """Run one probe on so many items; return seconds of the processor, and bytes allocated at most meanwhile."""
    languages = ["en"] if name in ("logit-lens", "similarity") else ["en", "de"]
    made = [prompt for language in languages for prompt in prompts(language, count, facts=name in WITH_FACTS)]
    with tempfile.TemporaryDirectory() as folder:
        model = ProbedModel(str(save(Path(folder, "model"))))
        before, start = allocated(), time.process_time()
        with Peak(allocated) as peak:
            probes.run(name, model, made, Path(folder, "run"), **settings(name))
        return {"seconds": time.process_time() - start, "memory": peak.value - before}


def prompts(language: str, count: int, *, facts: bool) -> list[Prompt]:
    """Return random texts of some ten words, or questions about subjects of their own, the same in every language."""
    draw = random.Random(0)
    made = []
    for number in range(count):
        words = draw.choices(WORDS, k=draw.randint(5, 9))
        text = " ".join(words if language == "en" else [f"{word}lein" for word in words]) + "."
        if facts:
            subject = f"Land {number}"
            asked: dict[str, Any] = {"subject": subject, "choices": (" a", " b", " c"), "relation": "capital"}
            made.append(Prompt(str(number), language, f"{text} {subject}:", answer=number % 3, **asked))
        else:
            made.append(Prompt(str(number), language, text))
    return made


def settings(name: str) -> dict[str, Any]:
    """Return what a probe cannot do without."""
    if name == "similarity":
        return {"lexicons": {("en", "de"): {word: (f"{word}lein",) for word in WORDS}}}
    if name == "steer":
        return {"parallel": {"en": tuple(WORDS), "de": tuple(f"{word}lein" for word in WORDS)}}
    return {}


def save(folder: Path) -> Path:
    """Write a random model, wider than the tests' and still so small that it takes the lesser part of the time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tiny.VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=4096,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def allocated() -> int:
    """Return the bytes of this process that are no pages of files (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


class Peak:
    """The greatest value of a function inside a block, looked at fifty times a second."""

    def __init__(self, look: Callable[[], int]) -> None:
        self.value = look()
        self._look = look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.value = max(self.value, self._look())


if __name__ == "__main__":
    main()
