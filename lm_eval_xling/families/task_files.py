"""The YAML files of a family: a base file a form, a file a leaf, and one for the group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from lm_eval_xling.families.family import Family, Form, Group, Leaf

__all__ = ["SPLIT", "Function", "base_content", "dump_yaml", "group_content", "leaf_content", "task_files"]

SPLIT = "documents"
"""Split of evaluated documents and demonstrations alike: the harness shows a sampler the document that is being
evaluated only when both splits have the same name."""


class Function(str):
    """The dotted path of a function, which the harness imports."""


def base_content(family: Family, form: Form, function: Callable[[str], Any] = Function) -> dict[str, Any]:
    """Return what the leaves of one form have in common, in the harness's words.

    Args:
        family: the family.
        form: the form.
        function: what stands for a function of ours, given its dotted path.
    """
    scored: dict[str, Any] = {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "answer"}
    if form.generates:
        generation = {
            "do_sample": False,
            "max_gen_toks": form.max_tokens,
            "until": list(form.stops),
            **form.generation,
        }
        scored = {"output_type": "generate_until", "doc_to_target": "target", "generation_kwargs": generation}
    return {
        "class": function("lm_eval_xling.leaf_task.LeafTask"),
        "tag": f"xling_{family.name}",
        "test_split": SPLIT,
        "process_docs": function("lm_eval_xling.leaf_dataset.evaluated"),
        # Not `fewshot_config.split`, which lm_eval 0.4.12 does not read.
        "fewshot_split": SPLIT,
        "fewshot_config": {"sampler": function("lm_eval_xling.leaf_dataset.SamePool")},
        # The harness never overrides a 0, so it stands only where there are no demonstrations.
        **({} if form.shots is None else {"num_fewshot": form.shots}),
        "description": "description",
        "doc_to_text": "prompt",
        "gen_prefix": "cue",
        **scored,
        "target_delimiter": form.delimiter,
        "fewshot_delimiter": form.shots_delimiter,
        "metric_list": [
            {
                "metric": metric.name,
                "aggregation": function(metric.aggregation) if "." in metric.aggregation else metric.aggregation,
                "higher_is_better": metric.higher_is_better,
            }
            for metric in form.metrics
        ],
        "metadata": {"version": family.version},
    }


def leaf_content(family: Family, leaf: Leaf, **more: str) -> dict[str, Any]:
    """Return a leaf's own file; ``more`` says where a family that is not ours is described."""
    return {
        "include": f"_{family.name}_{leaf.form}",
        "task": family.task(leaf),
        "dataset_kwargs": {"family": family.name, "leaf": leaf.name, **more},
    }


def group_content(family: Family) -> dict[str, Any]:
    """Return the group of a family: its averages, and the leaves that stand alone."""

    def member(group: Group | str) -> Any:
        if isinstance(group, str):
            return family.task(group)
        aggregates = [_aggregate(metric, group.by_size) for metric in group.metrics]
        tasks = [family.task(leaf) for leaf in group.leaves]
        return {"group": group.name, "task": tasks, "aggregate_metric_list": aggregates}

    overall = {"aggregate_metric_list": [_aggregate(metric, False) for metric in family.average]}
    return {
        "group": f"crosslingual_{family.name}",
        "task": [member(group) for group in family.groups],
        **(overall if family.average else {}),
        "metadata": {"version": 1.0},
    }


def _aggregate(metric: str, by_size: bool) -> dict[str, Any]:
    return {"metric": metric, "aggregation": "mean", **({} if by_size else {"weight_by_size": False})}


def task_files(family: Family, made_by: str, **more: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of every YAML file of a family.

    Args:
        family: the family.
        made_by: what the files say of how they were made.
        more: as in ``leaf_content``.
    """
    header = f"# {made_by}\n"
    for key, form in family.forms.items():
        # Without an ending, so that the harness does not take it for a task.
        yield f"_{family.name}_{key}", header + dump_yaml(base_content(family, form))
    for leaf in family.leaves:
        yield f"{family.task(leaf)}.yaml", header + dump_yaml(leaf_content(family, leaf, **more))
    if family.groups:
        yield f"crosslingual_{family.name}.yaml", header + dump_yaml(group_content(family))


class _Dumper(yaml.SafeDumper):
    """Lists without anchors, and function paths as the harness reads them."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(Function, lambda dumper, path: dumper.represent_scalar("!function", str(path)))


# White space at the ends of a delimiter and the lines of a prompt are seen in double quotes only.
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, '"' if text != text.strip() or "\n" in text else None
    ),
)


def dump_yaml(content: Mapping[str, Any]) -> str:
    """Return the text of a task's or group's YAML file."""
    text: str = yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
