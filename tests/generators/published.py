"""What the papers' released scripts make of rows that we wrote: their own code, run once on a checkout of each.

Run as ``python -m tests.generators.published CHUA ZHANG``, folders of google-research/crosslingual-knowledge-barriers
at 62d79fe and of Shimao-Zhang/LLM-Multilingual-Learner at 5605459. Their code stays there; so do the demonstrations of
the second, which has no licence: demonstrations of ours stand in their place, and of the whole there is a digest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["DEMONSTRATIONS", "SCRIPTS", "digest"]

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "published"

DEMONSTRATIONS = 'A demonstration of ours.\nWord: "label"             \nAnother.\nWord: "other"'
"""What stands in place of a script's own demonstrations; one of those has spaces at the end of a line, too."""

SCRIPTS = {
    "sentiment": {
        "english": "emotion_eval_2shot_enout.py",
        "native": "emotion_eval_2shot.py",
        "agnostic": "emotion_eval_2shot_irrelative.py",
    },
    "nli": {"english": "snli_eval_6shot_enout.py"},
    "paraphrase": {"english": "paws_eval_4shot_enout.py"},
}
"""Script by dataset and labels."""

_COLUMNS = {"sentiment": ["input"], "nli": ["premise", "hypothesis"], "paraphrase": ["sentence1", "sentence2"]}


def digest(texts: Sequence[str]) -> str:
    """The first sixteen digits of the sha256 of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def main() -> None:
    """Write ``outputs.json``."""
    chua, zhang = map(Path, sys.argv[1:])
    rows = json.loads((FOLDER / "rows.json").read_text(encoding="utf-8"))
    outputs = {
        "mmlu": dict(_mmlu(chua, rows["mmlu"])),
        "hp": dict(_quiz(chua)),
        "translation": dict(_translation(chua, rows["flores"])),
        **{task: dict(_classification(zhang, task, rows[task])) for task in SCRIPTS},
    }
    text = json.dumps(outputs, ensure_ascii=False, indent=1) + "\n"
    (FOLDER / "outputs.json").write_text(text, encoding="utf-8")


def _mmlu(chua: Path, rows: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    import pandas

    sys.path.insert(0, str(chua / "MMLU"))
    plain = importlib.import_module("dataset.mmlu").MMLUProcessor
    translating = importlib.import_module("dataset.mmlu_en_trans").MMLUEnTransInstructProcessor
    frames = {
        (split, language): pandas.DataFrame(rows[split][language])
        for split in ("dev", "test")
        for language in rows[split]
    }

    def prompts(maker: Any, language: str, shots: int, demos: str) -> list[list[str]]:
        test, dev = frames["test", language], frames["dev", demos]
        return [list(maker.gen_test_prompt(shots, test, dev, i, rows["subject"])) for i in range(len(test))]

    letters, numbers = ["A", "B", "C", "D"], ["1", "2", "3", "4"]
    for language in rows["test"]:
        for sentence in (-1, 0, 1):
            yield f"{language} 0-shot {sentence}", prompts(plain(letters, sentence), language, 0, "en")
        yield f"{language} 5-shot", prompts(plain(letters), language, 5, "en")
        yield f"{language} 5-shot same", prompts(plain(letters), language, 5, language)
    yield "de 2-shot numbers", prompts(plain(numbers), "de", 2, "en")
    maker = translating(letters, 2, data_dir="")
    # The script reads the English demonstrations from a file of its own.
    module = sys.modules["dataset.mmlu_en_trans"]
    module.pd = SimpleNamespace(read_csv=lambda *_, **__: frames["dev", "en"])  # type: ignore[attr-defined]
    yield "mul translate", prompts(maker, "mul", 5, "mul")


def _quiz(chua: Path) -> Iterator[tuple[str, Any]]:
    tree = ast.parse((chua / "HP" / "evaluate.py").read_text(encoding="utf-8"))
    kept = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name == "prepare_prompts")
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "instructions")
    ]
    space = _run(kept, {})
    for language in space["instructions"]:
        path = FOLDER.parent / "hp" / f"quiz_{language}.jsonl"
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        yield language, [space["prepare_prompts"](record, space["instructions"][language]) for record in records]


def _translation(chua: Path, rows: list[list[str]]) -> Iterator[tuple[str, Any]]:
    tree = ast.parse((chua / "Translation" / "translate_gpt.py").read_text(encoding="utf-8"))
    kept = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name == "translate_text")
        or (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) in ("LANG_DICT", "MODEL_ENDPOINTS"))
    ]
    space = _run(kept, {"Dict": dict, "OpenAI": object})
    asked: list[dict[str, Any]] = []

    def create(**arguments: Any) -> Any:
        asked.append({key: value for key, value in arguments.items() if key != "model"})
        return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content=""))])

    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    names = space["LANG_DICT"]
    for source, target in (("en", "fr"), ("fr", "en")):
        asked.clear()
        for row in rows:
            space["translate_text"]("gpt-4", client, row[source == "fr"], names[source], names[target])
        yield f"{source}_{target}", list(asked)


def _classification(zhang: Path, task: str, rows: list[Any]) -> Iterator[tuple[str, Any]]:
    columns = _COLUMNS[task]
    cells = [row if isinstance(row, list) else [row] for row in rows]
    inputs = {column: [row[index] for row in cells] for index, column in enumerate(columns)}
    for labels, script in SCRIPTS[task].items():
        tree = ast.parse((zhang / script).read_text(encoding="utf-8"))
        dictionaries = {"prompt_prefix", *_answers("native"), *_answers("agnostic")}
        kept = [n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) in dictionaries]
        space = _run(kept, {})
        # The chain of `if target_lang == …: input = […]`.
        chain = next(
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.body[0]).startswith("input = [")
        )
        prefixes = space["prompt_prefix"]
        for language in prefixes:
            with_ours = _prompts(chain, dict.fromkeys(prefixes, DEMONSTRATIONS), language, inputs)
            with_theirs = _prompts(chain, prefixes, language, inputs)
            answers = [space[name] for name in _answers(labels) if name in space]
            words = [known[language if labels == "native" else "en"] for known in answers]
            yield f"{language} {labels}", {"prompts": with_ours, "digest": digest(with_theirs), "labels": words}


def _answers(labels: str) -> list[str]:
    end = "_irrelative" if labels == "agnostic" else ""
    return [f"{name}_answers{end}" for name in ("positive", "neutral", "negative")]


def _prompts(chain: ast.If, prefixes: Mapping[str, str], language: str, inputs: Mapping[str, list[str]]) -> list[str]:
    made: list[str] = _run([chain], {"prompt_prefix": prefixes, "target_lang": language, "inputs": inputs})["input"]
    return made


def _run(nodes: list[Any], space: dict[str, Any]) -> dict[str, Any]:
    module = ast.Module(body=nodes, type_ignores=[])
    exec(compile(ast.fix_missing_locations(module), "script", "exec"), space)
    return space


if __name__ == "__main__":
    main()
