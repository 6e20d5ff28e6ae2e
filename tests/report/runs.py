"""Runs in the harness's form with scores of our choosing; ``test_reading`` compares the form with real output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

DATE = "2026-01-02T03-04-05.000001"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def document(
    item: str,
    asked: str,
    answered: str,
    *,
    answer: int = 0,
    options: int = 4,
    family: str = "atlas",
    placement: str | None = None,
    form: str = "cloze",
    option_languages: Sequence[str] | None = None,
    cluster: str = "",
    group: str = "",
    **more: Any,
) -> dict[str, Any]:
    """A document as this release logs it."""
    spoken = list(option_languages or [answered] * options)
    return {
        "id": item,
        "family": family,
        "condition": {
            "placement": f"{asked}_{answered}" if placement is None else placement,
            "form": form,
            "languages": {
                "question": asked,
                "answer": answered if option_languages is None else spoken[answer],
                **{f"option_{index}": code for index, code in enumerate(spoken)},
                # As the harness's datasets log a part that other items of the leaf have.
                "context": None,
            },
        },
        "pool": group,
        "cluster": cluster,
        "group": group,
        "description": "",
        "prompt": f"{asked} question of {item}:",
        "choices": [f"{code} option {index} of {item}" for index, code in enumerate(spoken)],
        "answer": answer,
        "fields": None,
        **more,
    }


def flat(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The same document as releases logged it that had no ``condition``."""
    condition = doc["condition"]
    parts = {part: code for part, code in condition["languages"].items() if code is not None}
    rest = {key: doc[key] for key in doc if key not in ("condition", "pool", "cluster", "group", "fields")}
    return {
        **rest,
        **({"options": doc["choices"]} if "choices" in doc else {}),
        "placement": condition["placement"],
        "question_language": parts.pop("question"),
        "answer_language": parts.pop("answer"),
        "languages": parts,
        "subject": doc["group"],
        **({"author": doc["cluster"]} if doc["cluster"] else {}),
    }


def sample(doc: Mapping[str, Any], scores: Sequence[float], **metrics: float) -> dict[str, Any]:
    """A multiple-choice sample; ``acc`` follows from the scores unless it is given."""
    acc = float(max(range(len(scores)), key=lambda index: scores[index]) == doc["answer"])
    return {
        "doc_id": 0,
        "doc": dict(doc),
        "target": str(doc["answer"]),
        "arguments": {
            f"gen_args_{i}": {"arg_0": doc["prompt"], "arg_1": f" {c}"} for i, c in enumerate(doc["choices"])
        },
        "resps": [[[str(score), "False"]] for score in scores],
        "filtered_resps": [[str(score), "False"] for score in scores],
        "filter": "none",
        "metrics": ["acc", *metrics],
        "doc_hash": sha(json.dumps(doc, sort_keys=True)),
        "prompt_hash": sha(doc["prompt"]),
        "target_hash": sha(str(doc["answer"])),
        **({"acc": acc} | metrics),
    }


def right_or_wrong(doc: Mapping[str, Any], right: bool) -> dict[str, Any]:
    """A sample whose best option is the right one, or the one after it."""
    scores = [-2.0 - index for index in range(len(doc["choices"]))]
    scores[doc["answer"] if right else (doc["answer"] + 1) % len(scores)] = -1.0
    return sample(doc, scores)


def generated(doc: Mapping[str, Any], said: str, **metrics: float) -> dict[str, Any]:
    """A sample of generated text."""
    return {
        **sample({**doc, "answer": 0, "choices": []}, [0.0]),
        "doc": dict(doc),
        "target": str(doc.get("target", doc.get("answer"))),
        "arguments": {"gen_args_0": {"arg_0": doc["prompt"], "arg_1": {"until": ["\n"]}}},
        "resps": [[said]],
        "filtered_resps": [said],
        "metrics": list(metrics),
        **metrics,
    }


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sample with the document of an older release."""
    return {**row, "doc": flat(row["doc"])}


def _dataset(task: str, doc: Mapping[str, Any]) -> dict[str, Any]:
    if "condition" not in doc:
        return {"leaf": _leaf(doc)}
    return {"family": doc["family"], "leaf": task.removeprefix(f"xling_{doc['family']}_")}


def _leaf(doc: Mapping[str, Any]) -> dict[str, Any]:
    """What an older leaf's YAML said of itself, which the harness copied into the results."""
    if doc.get("family") == "atlas" and doc.get("placement") != "mixup" and "question_language" in doc:
        return {key: doc[key] for key in ("family", "question_language", "answer_language")} | {"form": "cloze"}
    return {key: doc[key] for key in ("family", "placement") if key in doc}


def write_run(
    folder: Path,
    tasks: Mapping[str, Sequence[dict[str, Any]]],
    *,
    model_args: Any = "pretrained=org/base,dtype=float32",
    date: str = DATE,
    shots: int = 0,
    samples: bool = True,
    config: Mapping[str, Any] | None = None,
    change: Callable[[dict[str, Any]], None] = lambda results: None,
) -> Path:
    """Write results and samples of some tasks as ``lm_eval --log_samples`` does; returns the results file."""
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "results": {},
        "configs": {},
        "versions": {},
        "n-shot": {},
        "higher_is_better": {},
        "n-samples": {},
        "config": {
            "model": "hf",
            "model_args": model_args,
            "limit": None,
            "gen_kwargs": {},
            "random_seed": 0,
            "numpy_seed": 1234,
            "torch_seed": 1234,
            "fewshot_seed": 1234,
            **(config or {}),
        },
        "lm_eval_version": "0.4.13",
        "chat_template_sha": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "task_hashes": {},
    }
    for task, rows in tasks.items():
        metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
        values = {name: [row[name] for row in rows if name in row] for name in metrics}
        means = {name: sum(scores) / len(scores) for name, scores in values.items()}
        results["results"][task] = {"name": task, "alias": task, "sample_len": len(rows)}
        for name, mean in means.items():
            results["results"][task] |= {
                f"{name},none": mean,
                f"{name}_stderr,none": float(np.std(values[name], ddof=1)) / len(values[name]) ** 0.5
                if values[name][1:]
                else "N/A",
            }
        results["configs"][task] = {
            "task": task,
            "doc_to_text": "{{prompt}}",
            "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in metrics],
            "num_fewshot": shots,
            "dataset_kwargs": _dataset(task, rows[0]["doc"]),
            "metadata": {"version": 1.0},
        }
        results["versions"][task] = 1.0
        results["n-shot"][task] = shots
        results["higher_is_better"][task] = dict.fromkeys(metrics, True)
        results["n-samples"][task] = {"original": len(rows), "effective": len(rows)}
        results["task_hashes"][task] = sha("".join(r["doc_hash"] + r["prompt_hash"] + r["target_hash"] for r in rows))
        if samples:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            (folder / f"samples_{task}_{date}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    change(results)
    path = folder / f"results_{date}.json"
    path.write_text(json.dumps(results, ensure_ascii=False, indent=2), encoding="utf-8")
    return path
