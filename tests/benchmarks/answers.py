"""Answers in words beside likelihoods in the task families' READMEs: the embedded chat models, run where missing.

    XLING_DATA=mirror python -m tests.benchmarks.answers --output build/answers
    XLING_DATA=quiz python -m tests.benchmarks.answers --output build/quiz --family hp

The models give likelihoods and answer in words on the same rows under the same chat template, in float32. A run that
has finished is not repeated, and a killed one goes on. Every number comes from the harness's results files and
samples; ``xling report build/answers/MODEL`` shows both forms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.families.available import matching
from lm_eval_xling.models import model_folder
from tests.benchmarks.marks import write_between
from tests.benchmarks.scores import ROOT, cell

MODELS = {
    "smollm2-135m-instruct": "SmolLM2-135M-Instruct",
    "qwen2.5-coder-0.5b-instruct": "Qwen2.5-Coder-0.5B-Instruct",
}
ROWS = 40
LEAVES = {
    "hp": ["xling_hp_en", "xling_hp_full_de"],
    "sentiment": ["xling_sentiment_en", "xling_sentiment_de"],
    "atlas": ["xling_atlas_en_en", "xling_atlas_en_de"],
    "nli": ["xling_nli_en", "xling_nli_de"],
    "mmlu": ["xling_mmlu_en", "xling_mmlu_mixup"],
    "tofu": ["xling_tofu_real_authors_en_en", "xling_tofu_real_authors_fr_fr"],
    "qa": ["xling_qa_belebele_full_en", "xling_qa_belebele_full_de"],
    "paraphrase": ["xling_paraphrase_en", "xling_paraphrase_de"],
}
WORDS = json.dumps({"xling": {"form": "generate"}})


def evaluate(model: str, families: Sequence[str], folder: Path, *words: str) -> Path:
    """Evaluate the leaves of some families, or find their results; return the results file."""
    if not list(folder.rglob("results_*.json")):
        command = [str(Path(sys.executable).with_name("xling")), "eval", "--model", "hf", "--apply_chat_template"]
        command += ["--model_args", f"pretrained={model_folder(model)},dtype=float32", "--batch_size", "8"]
        command += ["--tasks", ",".join(leaf for family in families for leaf in LEAVES[family]), "--limit", str(ROWS)]
        command += ["--use_cache", str(folder.with_name("cache")), "--output_path", str(folder), "--log_samples"]
        subprocess.run([*command, *words], check=True)
    (found,) = folder.rglob("results_*.json")
    return found


def most_frequent(results: Path, leaf: str) -> str:
    """Return the first word that most answers begin with, and how many do."""
    (samples,) = results.parent.glob(f"samples_{leaf}_*.jsonl")
    answers = [json.loads(line)["filtered_resps"][0] for line in samples.read_text(encoding="utf-8").splitlines()]
    first = Counter((answer.split() or ["(nothing)"])[0].strip("*.:,()\"'`|") for answer in answers)
    word, count = first.most_common(1)[0]
    return f"{word.replace('|', '')} {count} of {len(answers)}"


def lines(model: str, family: str, likely: Path, said: Path) -> list[str]:
    """Return a line a leaf."""
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (likely, said))
    table = []
    for leaf in LEAVES[family]:
        counts = {found["n-samples"][leaf]["effective"] for found in (one, other)}
        assert len(counts) == 1, f"{leaf}: other rows in the two forms"
        cells = [cell(one["results"][leaf], "acc")]
        cells += [cell(other["results"][leaf], "acc"), f"{other['results'][leaf]['answered,none']:.3f}"]
        cells += [most_frequent(said, leaf)]
        table.append(f"| {MODELS[model]} | `{leaf}` | {counts.pop()} | {' | '.join(cells)} |")
    return table


def form(family: str) -> str:
    """Return the form of the likelihoods."""
    owner, leaf = matching(LEAVES[family])[LEAVES[family][0]]
    return owner.forms[leaf.form].name


def text(family: str, table: list[str], version: str) -> str:
    """Return the sentence, and the table under it."""
    heads = ["model", "leaf", "rows", f"`{form(family)}`: `acc`", "`generate`: `acc`", "`answered`", "most begin with"]
    return "\n".join(
        [
            f"The first {ROWS} rows of each leaf, under the model's chat template, float32, lm_eval {version}:",
            f"likelihoods (`{form(family)}`) beside answers in words (`generate`), ± standard error",
            "(`tests/benchmarks/answers.py` runs it and writes this table):",
            "",
            f"| {' | '.join(heads)} |",
            "|---" * len(heads) + "|",
            *table,
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the harness's results")
    parser.add_argument("--model", choices=MODELS, nargs="*", default=list(MODELS))
    parser.add_argument("--family", choices=LEAVES, nargs="*", default=list(LEAVES))
    arguments = parser.parse_args()
    tables: dict[str, list[str]] = {family: [] for family in arguments.family}
    told: Mapping[str, Any] = {}
    for model in arguments.model:
        folder = arguments.output / model
        likely = evaluate(model, arguments.family, folder / f"likelihoods-{ROWS}")
        said = evaluate(model, arguments.family, folder / f"words-{ROWS}", "--metadata", WORDS)
        for family, table in tables.items():
            table += lines(model, family, likely, said)
        told = json.loads(said.read_text(encoding="utf-8"))
    for family, table in tables.items():
        print(text(family, table, told["lm_eval_version"]))
        write_between("answers", text(family, table, told["lm_eval_version"]), ROOT / "tasks" / family / "README.md")


if __name__ == "__main__":
    main()
