"""Words a second of `xling mix` with Apertium, from an empty cache, in one process and in as many as there are cores.

WikiText-2 (validation, from the mirror that XLING_DATA names), sentences, each in English, Spanish or Italian; Italian
goes through Spanish. The processor's seconds are those of all programs together::

    XLING_DATA=mirror python -m tests.benchmarks.mixing --limit 10
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="catalog:wikitext/validation/text")
    parser.add_argument("--languages", default="en,es,it")
    parser.add_argument("--with", dest="translator", default="apertium")
    parser.add_argument("--limit", type=int, help="documents; all without it")
    arguments = parser.parse_args()
    print(
        "| processes | words | of them translated | seconds | of the processor | translated words a second | a core |"
    )
    print("|---|---|---|---|---|---|---|")
    corpora = set()
    for processes in sorted({1, os.cpu_count() or 1}):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "mixed.jsonl")
            words = [arguments.corpus, "--out", str(out), "--cache", f"{folder}/cache.sqlite"]
            words += ["--languages", arguments.languages, "--with", arguments.translator, "--processes", str(processes)]
            words += [] if arguments.limit is None else ["--limit", str(arguments.limit)]
            started = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "lm_eval_xling", "mix", *words], stdout=sys.stderr)
            _, status, used = os.wait4(process.pid, 0)
            seconds, processor = time.perf_counter() - started, used.ru_utime + used.ru_stime
            if status:
                raise SystemExit("the mixing failed")
            corpora.add(out.read_bytes())
            found = json.loads(out.with_name("mixed.manifest.json").read_bytes())["statistics"]
        translated = round(found["words"] * (1 - found["share"]["en"]))
        print(
            f"| {processes} | {found['words']:,} | {translated:,} | {seconds:.0f} | {processor:.0f} "
            f"| {translated / seconds:,.0f} | {translated / processor:,.0f} |",
            flush=True,
        )
    if len(corpora) > 1:
        raise SystemExit("the number of processes changed the corpus")


if __name__ == "__main__":
    main()
