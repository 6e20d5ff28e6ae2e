"""The folder in which every mistake of ``mistakes.tsv`` is made: good inputs, and earlier results of every command."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests import tiny

__all__ = ["contents", "damage", "set_out"]

WORDS = "one two three four five six seven eight".split()

CAPITALS = """\
name: capitals
title: Capitals, three questions
licence: CC0-1.0
languages: [en, de]
rows: capitals.{language}.jsonl
columns: {id: id, question: question, options: options, answer: answer}
"""

TRAINING = """\
model: MODEL
data: {files: [facts.jsonl]}
lora: {r: 2}
training: {max_steps: 4, warmup_steps: 0, learning_rate: 1e-2}
"""

MADE = """\
xling mix en.txt --format lines --languages en,de --unit word --with lexicon:lexicons/en-{target}.txt --out mixed.jsonl
xling probe pca --model MODEL --texts en.txt --texts de.txt --out probed
xling train facts --config facts.yaml output=trained
xling eval --model hf --model_args pretrained=MODEL --tasks xling_atlas_en_de --limit 4 --log_samples --output_path runs
xling report runs --out reported
xling tasks new capitals.yaml --to capitals_tasks
xling data import nli --from published --to mirror
"""
"""Earlier results, which no mistake may touch: each command in its turn."""


def set_out(folder: Path, published: Path, xling: Callable[[list[str]], None]) -> None:
    """Fill a folder, which is the working directory, and run the commands of ``MADE`` in it.

    Args:
        folder: the empty folder.
        published: datasets as they are published.
        xling: runs a command, given its words after ``xling``.
    """
    tiny.save("llama", folder / "MODEL")
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder / "MODEL"),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    adapted.save_pretrained(folder / "ADAPTER")
    for code in ("en", "de"):
        lines = [f"{' '.join(WORDS[shift:] + WORDS[:shift])} {code}\n" for shift in range(6)]
        (folder / f"{code}.txt").write_text("".join(lines))
        (folder / "parallel").mkdir(exist_ok=True)
        (folder / "parallel" / f"{code}.dev").write_text("".join(lines))
        rows = [
            {"id": f"i{n}", "question": f"{code} {n}?", "options": [f"{code} {n}", "x"], "answer": 0} for n in "123"
        ]
        _lines(folder / f"capitals.{code}.jsonl", rows)
        (folder / "published").mkdir(exist_ok=True)
        shutil.copy(published / f"zhang_eval/snli/snli_{code}600_test.json", folder / "published")
    (folder / "lexicons").mkdir()
    (folder / "lexicons" / "en-de.txt").write_text("".join(f"{word}\t{word}lein\n" for word in WORDS))
    (folder / "capitals.yaml").write_text(CAPITALS)
    facts = [{"id": str(n), "language": "en", "question": f"Where is {n}?", "answer": "here"} for n in range(8)]
    _lines(folder / "facts.jsonl", facts)
    pairs = [{"input": "Frage: eins\nTranslate the input from German to English:\n", "answer": "Question: one"}] * 4
    (folder / "pairs.json").write_text(json.dumps(pairs))
    (folder / "facts.yaml").write_text(TRAINING)
    for line in MADE.splitlines():
        xling(shlex.split(line)[1:])


def _lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def contents(folder: Path) -> dict[str, str]:
    """Return what stands in a folder: every file with its digest, and every folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def damage(folder: Path, changes: str) -> None:
    """Change good inputs into bad ones.

    Args:
        folder: a copy of the folder of ``set_out``.
        changes: as in the second column of ``mistakes.tsv``, parted by `` ; ``.
    """
    for change in filter(None, changes.split(" ; ")):
        verb, name, *rest = shlex.split(change)
        path = folder / name
        if verb == "remove":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif verb == "cut":
            path.write_bytes(path.read_bytes()[: -int(rest[0])])
        elif verb == "folder":
            path.mkdir(parents=True)
        elif verb == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_bytes(rest[0]))
        elif verb == "append":
            path.write_bytes(path.read_bytes() + _bytes(rest[0]))
        elif verb == "replace":
            before = path.read_bytes()
            assert _bytes(rest[0]) in before, change
            path.write_bytes(before.replace(_bytes(rest[0]), _bytes(rest[1])))
        elif verb == "nan":
            weights = load_file(path)
            weights[rest[0]] = torch.full_like(weights[rest[0]], float("nan"))
            save_file(weights, path, metadata={"format": "pt"})
        else:
            raise ValueError(change)


def _bytes(text: str) -> bytes:
    r"""The bytes that a text with escapes such as ``\n`` and ``\xff`` stands for."""
    return text.encode().decode("unicode_escape").encode("latin-1")
