"""The only module that knows how lm-evaluation-harness finds us: everything that YAML reaches by ``!function``.

A leaf's YAML names a family and what distinguishes the leaf::

    custom_dataset: !function lm_eval_xling.harness.documents
    dataset_kwargs: {leaf: {family: mmlu, placement: question, language: de}}
    test_split: documents
    process_docs: !function lm_eval_xling.harness.evaluated
    fewshot_config:
      split: documents
      process_docs: !function lm_eval_xling.harness.demonstrations
      sampler: !function lm_eval_xling.harness.SameSubject

Evaluated documents and demonstrations share one split, because the harness shows a sampler the document that is
being evaluated only when both splits have the same name.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.samplers import ContextSampler

from lm_eval_xling.catalog.mirror import VARIABLE
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.parameters import parse
from lm_eval_xling.metrics.answers import best_exact_match, best_f1
from lm_eval_xling.metrics.corpus import chrf_plus_plus, signatures
from lm_eval_xling.metrics.fidelity import fidelity_scores
from lm_eval_xling.metrics.numbers import final_number
from lm_eval_xling.metrics.tofu import (
    choice_probability,
    normalised_probability,
    rouge_l_recall,
    truth_ratio,
    truthfulness,
)
from lm_eval_xling.records import Document, Request
from lm_eval_xling.scoring.request_cache import keep_requests_apart

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "OLDEST",
    "SameSubject",
    "accuracy_by_category",
    "check_version",
    "chrf_plus_plus",
    "demonstrations",
    "documents",
    "evaluated",
    "extraction_scores",
    "given_answer_scores",
    "is_visible",
    "number_scores",
    "requests",
    "task_names",
    "recall_scores",
    "sacrebleu_signatures",
    "tasks_folder",
    "translated_accuracy",
    "translation_scores",
]

OLDEST = "0.4.12"
"""Oldest release of the harness for which the tests pass."""

_SPLIT = "documents"


def documents(
    *, leaf: Mapping[str, Any], xling: Mapping[str, Any] | None = None, **model_arguments: Any
) -> dict[str, Dataset]:
    """Return the dataset of a leaf task (``custom_dataset``).

    Args:
        leaf: the leaf's ``dataset_kwargs.leaf``: ``family`` and what the family's module asks for.
        xling: the parameters of ``--metadata '{"xling": {…}}'``.
        model_arguments: everything else that the harness merges into the metadata: above all the model arguments,
            of which a family with the parameter ``tokenizer`` gets the model's tokenizer.

    Raises:
        UserError: an unknown parameter, or data that is missing or damaged.
    """
    check_version()
    keep_requests_apart(xling, model_arguments)
    # `--tasks 'xling_*'` matches a leaf by its name and by its family's tag, and the harness builds it twice.
    tokenizer = model_arguments.get("tokenizer") or model_arguments.get("pretrained")
    own = tokenizer if isinstance(tokenizer, str) else None
    dataset = _documents(json.dumps(leaf), json.dumps(xling), own, os.environ.get(VARIABLE))
    return {_SPLIT: dataset}


@cache
def _documents(leaf_json: str, xling_json: str, tokenizer: str | None, mirror: str | None) -> Dataset:
    """The documents of a leaf; ``mirror`` is the variable's value, so that another mirror is read anew."""
    from datasets import Dataset

    leaf, xling = json.loads(leaf_json), json.loads(xling_json)
    family = import_module(f"lm_eval_xling.families.{leaf['family']}")
    parameters = parse(family.Parameters, xling, task=f"xling_{leaf['family']}")
    if hasattr(parameters, "resolved"):
        parameters = parameters.resolved()
    if hasattr(parameters, "tokenizer") and parameters.tokenizer is None:
        parameters = replace(parameters, tokenizer=tokenizer)
    made = family.documents(leaf, parameters)
    if not made.evaluated:
        raise UserError("no documents are left to evaluate", where=f"leaf {dict(leaf)}, parameters {parameters}")
    rows = [{**document, "role": "evaluated"} for document in made.evaluated]
    rows += [{**document, "role": "demonstration"} for document in made.demonstrations]
    return Dataset.from_list(rows)


def evaluated(dataset: Dataset) -> Dataset:
    """Return the documents that are scored (``process_docs``)."""
    return dataset.select(range(_count_evaluated(dataset)))


def demonstrations(dataset: Dataset) -> Dataset:
    """Return the pool of demonstrations (``fewshot_config.process_docs``)."""
    first = _count_evaluated(dataset)
    return dataset.select(range(first, len(dataset)) if first < len(dataset) else [])


def _count_evaluated(dataset: Dataset) -> int:
    return list(dataset["role"]).count("evaluated")


class SameSubject(ContextSampler):  # type: ignore[misc]
    """Demonstrations of the evaluated document's subject: the first n of the pool, never the document itself."""

    def sample(
        self, n: int, eval_doc: Document | None = None, df: Sequence[Document] | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return n demonstrations.

        Raises:
            UserError: if the subject has fewer than n.
        """
        if n == 0:
            return []
        assert eval_doc is not None, "the few-shot split has the name of the test split, so the harness passes it"
        if not hasattr(self, "_by_subject"):
            self._by_subject: dict[str, list[Document]] = defaultdict(list)
            for document in self.df:
                self._by_subject[document["subject"]].append(document)
        pool = self._by_subject.get(eval_doc["subject"], [])
        chosen = [document for document in pool[: n + 1] if document["id"] != eval_doc["id"]][:n]
        if len(chosen) < n:
            raise UserError(
                f"{n} demonstrations were asked for, but there are {len(chosen)}",
                where=f"family {eval_doc['family']}, subject {eval_doc['subject']}",
                fix=f"pass --num_fewshot {len(chosen)}",
            )
        return chosen


def accuracy_by_category(document: Document, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Return ``acc``, and the same value under the name of the document's category (``process_results``)."""
    scores = [log_likelihood for log_likelihood, _ in results]
    accuracy = float(scores.index(max(scores)) == document["answer"])
    return {"acc": accuracy, f"acc_{document['category']}": accuracy}


def translated_accuracy(document: Document, results: Sequence[str]) -> dict[str, float]:
    """Return ``acc`` of the letter that the generated text gives after its own "Answer:" (``process_results``)."""
    letters = "".join(document["choices"])
    found = re.search(rf"Answer:\s*([{letters}])\b", results[0])
    right = found is not None and found.group(1) == document["choices"][document["answer"]]
    return {"acc": float(right), f"acc_{document['category']}": float(right)}


def number_scores(document: Document, results: Sequence[str]) -> dict[str, float]:
    """Return ``exact_match`` of the number that the answer ends in, and the metrics of its language."""
    found = final_number(results[0], document["answer_language"], document["marker"])
    right = found is not None and found == Decimal(document["target"])
    return {"exact_match": float(right), **_language_scores(results[0], document["answer_language"], right)}


def extraction_scores(document: Document, results: Sequence[str]) -> dict[str, float]:
    """Return ``exact_match`` and ``f1`` over the gold answers, and the metrics of the answer's language."""
    language = document["answer_language"]
    right = best_exact_match(results[0], document["answers"], language)
    return {
        "exact_match": right,
        "f1": best_f1(results[0], document["answers"], language),
        **_language_scores(results[0], language, bool(right)),
    }


def translation_scores(document: Document, results: Sequence[str]) -> dict[str, Any]:
    """Return the pair of reference and translation for every corpus score, and the metrics of its language."""
    pair = (document["target"], results[0])
    scores = dict.fromkeys(("bleu", "chrf", "chrf++", "sacrebleu"), pair)
    return {**scores, **_language_scores(results[0], document["answer_language"])}


def sacrebleu_signatures(pairs: Sequence[tuple[str, str]]) -> str:
    """Return sacrebleu's signatures in place of a score, so that they stand in the results."""
    return signatures()


def given_answer_scores(document: Document, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Return TOFU's metrics of given answers, per token where the tokens were counted, and always per byte.

    Real authors and world facts have options: there ``probability`` is relative to all of them, and ``acc`` says
    whether the right one is the likeliest.
    """
    scores = [log_likelihood for log_likelihood, _ in results]
    # The answer is scored with the space before it.
    lengths = {"_bytes": [len(f" {choice}".encode()) for choice in document["choices"]]}
    if document["tokens"]:
        lengths[""] = document["tokens"]
    has_options = document["split"] in ("real_authors", "world_facts")
    metrics = {"acc": float(scores.index(max(scores)) == document["answer"])} if has_options else {}
    if document.get("options"):
        # Letters were scored, which say nothing of an answer's probability.
        return metrics
    for unit, sizes in lengths.items():
        each = [normalised_probability(score, size) for score, size in zip(scores, sizes, strict=True)]
        answer = document["answer"]
        metrics[f"probability{unit}"] = choice_probability(each, answer) if has_options else each[answer]
        if document["wrong"]:
            ratio = truth_ratio(each[document["right"]], [each[index] for index in document["wrong"]])
            metrics[f"truth_ratio{unit}"] = ratio
            metrics[f"truthfulness{unit}"] = truthfulness(ratio)
    return metrics


def recall_scores(document: Document, results: Sequence[str]) -> dict[str, float]:
    """Return the ROUGE-L recall of the generated answer, and the metrics of its language."""
    language = document["answer_language"]
    recall = rouge_l_recall(results[0], document["target"], language)
    return {"rouge_l_recall": recall, **_language_scores(results[0], language)}


def _language_scores(text: str, language: str, right: bool | None = None) -> dict[str, float]:
    """Return the metrics of the answer's language, or none of them where lingua is not installed."""
    if find_spec("lingua") is None:
        # The answers are generated by now: an error would lose them.
        _say_once("language_fidelity is left out: pip install 'lm-eval-xling[langid]'")
        return {}
    return fidelity_scores(text, language, right)


@cache
def _say_once(message: str) -> None:
    logging.getLogger(__name__).warning(message)


def check_version() -> None:
    """Raise a UserError where the installed harness is older than the tasks need."""
    from packaging.version import Version

    installed = version("lm_eval")
    if Version(installed) < Version(OLDEST):
        raise UserError(
            f"lm_eval {installed} is too old: the tasks need {OLDEST}", fix=f"pip install 'lm_eval>={OLDEST}'"
        )


def _inside() -> Path | None:
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "tasks", "xling")


def is_visible() -> bool:
    """Tell whether the harness finds the tasks in its own folder, without a flag."""
    inside = _inside()
    return inside is not None and (inside / "atlas").is_dir()


def tasks_folder() -> Path:
    """Return the folder of our task YAMLs: inside the harness for a wheel, beside the package otherwise.

    Raises:
        UserError: if the installation holds no tasks.
    """
    inside = _inside()
    beside = Path(__file__).resolve().parent.parent / "tasks"
    for folder in (beside, inside):
        if folder is not None and (folder / "atlas").is_dir():
            return folder
    raise UserError(
        "the installation holds no xling tasks", where=beside, fix="pip install --force-reinstall lm-eval-xling"
    )


def task_names(kind: str = "all_subtasks") -> list[str]:
    """Return the sorted names of our leaf tasks, or of ``all_groups`` or ``all_tags``."""
    return list(getattr(_manager(None), kind))


def _manager(metadata: Mapping[str, Any] | None) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata=dict(metadata) if metadata else None
    )


def requests(
    task: str,
    *,
    rows: Sequence[int] | None = None,
    limit: int | None = None,
    num_fewshot: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[Request]:
    """Return what the harness would send to a model, without a model.

    Args:
        task: name of one of our leaf tasks.
        rows: indices of the documents; all of them if not given.
        limit: the first documents only.
        num_fewshot: instead of the task's own, unless that is 0: those have no demonstrations, and the harness ignores
            the number.
        metadata: as with ``--metadata``.

    Raises:
        UserError: unknown task, or a row that does not exist.
    """
    manager = _manager(metadata)
    if task not in manager.all_subtasks:
        raise unknown_name("task", task, manager.all_subtasks)
    loaded = manager.load([task])["tasks"][task]
    pool = loaded.eval_docs
    if rows is None:
        rows = range(len(pool) if limit is None else min(limit, len(pool)))
    own = loaded.config.num_fewshot
    shots = (own or 0) if num_fewshot is None or own == 0 else num_fewshot
    made = []
    for row in rows:
        if not 0 <= row < len(pool):
            raise UserError(f"row {row} does not exist", where=task, fix=f"rows go from 0 to {len(pool) - 1}")
        document = pool[row]
        context = loaded.fewshot_context(document, shots, gen_prefix=loaded.doc_to_prefix(document))
        built = loaded.construct_requests(document, context, metadata=(task, row, 1))
        instances = built if isinstance(built, list) else [built]
        scored = () if loaded.OUTPUT_TYPE == "generate_until" else tuple(i.arguments[1] for i in instances)
        made.append(Request(document=dict(document), context=context, continuations=scored))
    return made
