"""What tasks ask and score in lm-evaluation-harness; also a script of its own, with the harness and without us.

The script is run by its path, so that nothing here may import from this package.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from itertools import islice
from typing import Any

from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

__all__ = ["HashedAnswers", "complaint", "evaluated_tasks"]

_DEMONSTRATIONS = 2
"""How many are shown as well where a task has some but shows none unless asked to."""

_SEED = 1234
"""The harness's own seed of demonstrations."""

_TESTED = 10
"""Documents of a task that the harness's own tests look at."""


class HashedAnswers(LM):  # type: ignore[misc]
    """A model whose answers depend on every byte that it is sent; a third of its texts are the reference answer."""

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return log-likelihoods in [-64, 0)."""
        return [(-64 * (_number(request.args) + 1) / 2**48, False) for request in requests]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return log-likelihoods in [-64, 0)."""
        return [value for value, _ in self.loglikelihood(requests)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return some of the context's words, or the reference answer, so that scores are not all of wrong answers."""
        made = []
        for request in requests:
            words, number = request.args[0].split(), _number(request.args)
            some = " ".join(words[-12 - number % 7 : len(words) - number % 5])
            made.append(some if number % 3 else str(request.doc["target"]))
        return made


def _number(arguments: Any) -> int:
    return int.from_bytes(hashlib.sha256(_text(arguments).encode()).digest()[:6], "big")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def evaluated_tasks(manager: TaskManager, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each task, what it asks and scores, or the error that it ends in.

    A task that has demonstrations and shows none unless asked to is evaluated with some as well.

    Args:
        manager: knows the tasks.
        names: of the tasks.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    for name in names:
        try:
            own = manager.load([name])["tasks"][name].config.num_fewshot
            shots = (None,) if own is not None else (None, _DEMONSTRATIONS)
            yield {"task": name, "runs": [_evaluated(manager, name, number) for number in shots]}
        except Exception as error:
            # One broken task must not hide what the others say.
            yield {"task": name, "error": f"{type(error).__name__}: {error}"}


def _evaluated(manager: TaskManager, name: str, shots: int | None) -> dict[str, Any]:
    """Return digests of the requests and the scores, document by document, and their aggregates."""
    loaded = manager.load([name])
    task = loaded["tasks"][name]
    task.set_config(key="num_fewshot", value=task.config.num_fewshot or 0 if shots is None else shots)
    task.set_fewshot_seed(seed=_SEED)
    # Not `simple_evaluate`, which lists what is installed each time.
    results = evaluate(lm=HashedAnswers(), task_dict=loaded, bootstrap_iters=0)
    scores = results["results"][name].items()
    return {
        "shots": shots,
        "documents": [
            {
                "requests": hashlib.sha256(_text(sample["arguments"]).encode()).hexdigest(),
                "scores": {metric: sample[metric] for metric in sample["metrics"]},
                "sent": len(sample["arguments"]),
            }
            for sample in results["samples"][name]
        ],
        "scores": {metric.removesuffix(",none"): value for metric, value in scores if metric.endswith(",none")},
    }


def complaint(task: Any) -> str | None:
    """Return what the harness's own tests of tasks (`tests/test_tasks.py`) would say against one, or ``None``."""
    # They load the dataset once more, with what the configuration says of it.
    task.download(task.config.dataset_kwargs)
    documents = list(islice(task.eval_docs, _TESTED))
    for row, document in enumerate(documents):
        text = task.doc_to_text(document)
        if not isinstance(text, str):
            return f"row {row}: doc_to_text gives {text!r}"
        if task.config.target_delimiter.isspace() and text[-1:].isspace():
            return f"row {row}: doc_to_text ends in white space, and the target delimiter is white space"
        choices = task.doc_to_choice(document) if task.OUTPUT_TYPE == "multiple_choice" else [""]
        if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
            return f"row {row}: doc_to_choice gives {choices!r}"
        target = task.doc_to_target(document)
        if not isinstance(target, int | str):
            return f"row {row}: doc_to_target gives {target!r}"
        task.construct_requests(doc=document, ctx=text)
    task.build_all_requests(rank=1, limit=_TESTED, world_size=1)
    return None if documents else "there are no documents"


class _Blocked(MetaPathFinder):
    """Refuses this package, wherever it is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "lm_eval_xling":
            raise ModuleNotFoundError(f"{name} must not be needed here", name=name)


def _main(folder: str, groups: Sequence[str], names: Sequence[str]) -> None:
    # What libraries print must not stand between the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        sys.meta_path.insert(0, _Blocked())
        manager = TaskManager(include_path=folder, include_defaults=False)
        known = manager.load(list(groups)).get("groups", {}) if groups else {}
        stream.write(_text({"groups": sorted(known)}) + "\n")
        for found in evaluated_tasks(manager, names):
            if "error" not in found:
                found["complaint"] = complaint(manager.load([found["task"]])["tasks"][found["task"]])
            stream.write(_text(found) + "\n")
            stream.flush()


if __name__ == "__main__":
    _main(sys.argv[1], *json.loads(sys.stdin.read()))
