"""A family's YAML files and `utils.py`, in the harness's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval_xling.families import Family, Form, Leaf, Metric
from lm_eval_xling.families.task_files import Function, dump_yaml, group_content
from lm_eval_xling.upstream.at_source import AtSource
from lm_eval_xling.upstream.columns import LeafTable
from lm_eval_xling.upstream.source_code import PIECES, module

__all__ = ["harness_files", "upstream_metrics"]

_BUILT_IN = ("acc", "acc_bytes", "bleu", "chrf")
"""Metrics that the harness has under the same name and with the same value."""

_CATEGORIES = "acc_"

_SCORERS: Sequence[tuple[set[str], Sequence[str]]] = (
    # Options are compared with one another, other answers are not.
    ({"acc", "probability_bytes"}, ("probabilities", "process_options")),
    ({"probability_bytes"}, ("probabilities", "process_given")),
    ({"exact_match"}, ("words", "bare", "process_extracted")),
    ({"rouge_l_recall"}, ("words", "bare", "process_recall")),
)
"""Metrics that stand for their kind, and the pieces of `utils.py` that give them, the function that scores last; the
first whose metrics a form has counts."""

_CODED = ("probability_bytes", "truth_ratio_bytes", "truthfulness_bytes", "exact_match", "f1", "rouge_l_recall")
"""Metrics that those functions give."""

_ASKED: Mapping[str, Any] = {"doc_to_text": "prompt", "doc_to_choice": "choices", "doc_to_target": "answer"}
"""Columns of the tables that we publish."""


def upstream_metrics(form: Form) -> list[Metric]:
    """Return the metrics that an exported task has; others need code of ours."""
    by_category = [] if form.generates else [metric for metric in form.metrics if metric.name.startswith(_CATEGORIES)]
    return [metric for metric in form.metrics if metric.name in (*_BUILT_IN, *_CODED) or metric in by_category]


def harness_files(
    family: Family, tables: Mapping[str, LeafTable], pool: str, dataset: str | AtSource
) -> dict[str, str]:
    """Return the content of the YAML files and of `utils.py`, where there is one, by file name.

    Args:
        family: the family.
        tables: of the exported leaves, by name.
        pool: name of the column for ``Document.pool``.
        dataset: what `datasets.load_dataset` takes, or how the data are read where they are published.
    """
    files: dict[str, str] = {}
    pieces: dict[str, str] = {}
    for name, table in tables.items():
        leaf = family.leaf(name)
        base, needed = _base(family, table, pool, dataset)
        files[f"_{leaf.form}_yaml"] = dump_yaml(base)
        pieces |= needed
        content: dict[str, Any] = {"include": f"_{leaf.form}_yaml", "task": family.task(leaf)}
        content |= {"dataset_name": family.task(leaf)} if isinstance(dataset, str) else dataset.own(leaf)
        if table.description:
            content["description"] = table.description
        files[f"{family.task(leaf)}.yaml"] = dump_yaml(content)
    grouped = _group(family, [family.leaf(name) for name in tables])
    if grouped:
        files[f"_{grouped['group']}.yaml"] = dump_yaml(grouped)
    if not isinstance(dataset, str):
        files["utils.py"] = dataset.code
    elif pieces:
        files["utils.py"] = module(pieces)
    return files


def _base(
    family: Family, table: LeafTable, pool: str, dataset: str | AtSource
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the leaves of a form have in common, and the pieces of `utils.py` that it needs, by name."""
    form, code = table.form, {}
    metrics = upstream_metrics(form)
    names = [metric.name for metric in metrics]
    place, asked = ({"dataset_path": dataset}, _ASKED) if isinstance(dataset, str) else (dataset.place, dataset.asked)
    content: dict[str, Any] = {"tag": f"xling_{family.name}", **place, "test_split": "test"}
    if table.shots == "fixed":
        content |= {"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}}
    elif table.shots != "none":
        code["SamePoolSampler"] = PIECES["SamePoolSampler"].replace("POOL", pool)
        # Not `fewshot_config.split`, which lm_eval 0.4.12 does not read.
        content |= {"fewshot_split": "test", "fewshot_config": {"sampler": Function("utils.SamePoolSampler")}}
        if table.shots == "own split":
            code |= {name: PIECES[name] for name in ("test_docs", "dev_docs")}
            content["process_docs"] = Function("utils.test_docs")
            content["fewshot_config"]["process_docs"] = Function("utils.dev_docs")
    if form.shots is not None:
        content["num_fewshot"] = form.shots
    if table.description is None:
        content["description"] = "{{description}}"
    content |= {key: asked[key] for key in ("description", "doc_to_text") if key in asked}
    delimiter = form.delimiter
    if form.generates:
        generation = {"do_sample": False, "max_gen_toks": form.max_tokens, "until": list(form.stops), **form.generation}
        content |= {"output_type": "generate_until", "doc_to_target": "target", "generation_kwargs": generation}
    else:
        choice: Any = asked["doc_to_choice"]
        if "acc_bytes" in names and delimiter:
            code["doc_to_choice"] = PIECES["doc_to_choice"].replace("DELIMITER", delimiter)
            choice, delimiter = Function("utils.doc_to_choice"), ""
        content |= {"output_type": "multiple_choice", "doc_to_choice": choice, "doc_to_target": asked["doc_to_target"]}
        if any(metric.startswith(_CATEGORIES) for metric in set(names) - set(_BUILT_IN)):
            code["process_results"] = PIECES["process_results"]
            content["process_results"] = Function("utils.process_results")
    scorer = next((pieces for needed, pieces in _SCORERS if needed <= set(names)), None)
    if scorer:
        code |= {name: PIECES[name] for name in scorer}
        content["process_results"] = Function(f"utils.{scorer[-1]}")
    content |= {
        "target_delimiter": delimiter,
        "fewshot_delimiter": form.shots_delimiter,
        "metric_list": [
            {"metric": metric.name, "aggregation": metric.aggregation, "higher_is_better": metric.higher_is_better}
            for metric in metrics
        ],
        "metadata": {"version": family.version},
    }
    return content, code


def _group(family: Family, leaves: Sequence[Leaf]) -> dict[str, Any] | None:
    """Return the group without the averages of which a leaf is missing, or ``None`` if nothing is left."""
    exported = {family.task(leaf) for leaf in leaves}
    known = {metric.name for leaf in leaves for metric in upstream_metrics(family.forms[leaf.form])}
    content = group_content(family)
    members = []
    for member in content["task"]:
        tasks = [member] if isinstance(member, str) else member["task"]
        if exported.issuperset(tasks):
            members.append(member if isinstance(member, str) else _known(member, known))
    if not members:
        return None
    whole = len(members) == len(content["task"])
    return {**(_known(content, known) if whole else {"group": content["group"], "metadata": content["metadata"]})} | {
        "task": members
    }


def _known(group: Mapping[str, Any], metrics: set[str]) -> dict[str, Any]:
    if "aggregate_metric_list" not in group:
        return dict(group)
    averaged = [entry for entry in group["aggregate_metric_list"] if entry["metric"] in metrics]
    return {**group, "aggregate_metric_list": averaged}
