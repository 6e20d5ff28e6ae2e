"""Tasks of one family that have no item in common (two datasets, two splits) are not compared with one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lm_eval_xling.report.evaluations import Evaluation, Setting

__all__ = ["with_variants"]


def with_variants(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the evaluations, those of different items in different variants of their setting.

    Runs of older releases name dataset and split themselves. Of newer ones the items decide: tasks belong together
    that share items, unless two of them stand in the same condition (splits of which one holds the other); then what
    averages group by tells them apart. All models are looked at together, so that they agree on the variants.
    """
    by_family: dict[tuple[str, Setting], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        by_family[evaluation.family, evaluation.setting].append(evaluation)
    finished: list[Evaluation] = []
    for (_, setting), group in by_family.items():
        names = {} if setting.variant else _named(_parts(group))
        finished += [
            replace(evaluation, setting=replace(setting, variant=names[evaluation.task]))
            if evaluation.task in names
            else evaluation
            for evaluation in group
        ]
    return _with_forms(finished)


def _parts(group: Sequence[Evaluation]) -> list[set[str]]:
    """Tasks by what they share, each part a set of their names."""
    items: dict[str, set[str]] = defaultdict(set)
    conditions: dict[str, object] = {}
    fixed: dict[str, str] = {}
    for evaluation in group:
        samples = evaluation.samples
        if samples is not None and not samples.ids[0].startswith("#"):
            items[evaluation.task].update(samples.ids)
            conditions[evaluation.task] = evaluation.condition
            fixed[evaluation.task] = samples.groups[0] if len(set(samples.groups)) == 1 else ""
    parts: list[tuple[set[str], set[str]]] = []
    for task in sorted(items):
        tasks, ids = {task}, set(items[task])
        apart = []
        for others, known in parts:
            if ids.isdisjoint(known):
                apart.append((others, known))
            else:
                tasks, ids = tasks | others, ids | known
        parts = [*apart, (tasks, ids)]
    found = []
    for tasks, _ in parts:
        distinct = len({conditions[task] for task in tasks})
        by_group: dict[str, set[str]] = defaultdict(set)
        for task in tasks:
            by_group[fixed[task]].add(task)
        found += list(by_group.values()) if distinct < len(tasks) and len(by_group) > 1 else [tasks]
    return found


def _named(parts: Sequence[set[str]]) -> dict[str, str]:
    """Task to the name of its part: the words that all task names of the part begin with, after what all parts do."""
    if len(parts) < 2:
        return {}
    names = {task: task.split("_") for part in parts for task in part}
    shared = len(_beginning(names.values()))
    named = {}
    for part in parts:
        words = _beginning(names[task] for task in part)[shared:]
        # A task that is a part by itself is named in full.
        named.update(dict.fromkeys(part, "_".join(words) or min(part)))
    return named


def _beginning(names: Iterable[Sequence[str]]) -> list[str]:
    words = []
    for column in zip(*names, strict=False):
        if len(set(column)) > 1:
            break
        words.append(column[0])
    return words


def _with_forms(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Evaluations without samples do not know their form: they take the only one of their fellows."""
    forms: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for evaluation in evaluations:
        key = (evaluation.model, evaluation.family, replace(evaluation.setting, form=""))
        forms[key].add(evaluation.setting.form)
    finished = []
    for evaluation in evaluations:
        known = forms[evaluation.model, evaluation.family, replace(evaluation.setting, form="")] - {""}
        if evaluation.setting.form == "" and len(known) == 1:
            evaluation = replace(evaluation, setting=replace(evaluation.setting, form=known.pop()))
        finished.append(evaluation)
    return finished
