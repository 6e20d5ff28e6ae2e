"""The pages of an export: the task's README, the row of the harness's list, and the dataset's card."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.mirror import StoredPart, mirror_from_environment
from lm_eval_xling.composing import PLACEMENT_WORDS
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.languages import LANGUAGES, MULTIPLE
from lm_eval_xling.upstream.columns import COLUMNS, LeafTable
from lm_eval_xling.upstream.exportable import Contribution, used_datasets
from lm_eval_xling.upstream.harness_files import upstream_metrics

__all__ = ["dataset_card", "licence_files", "list_row", "task_readme"]


_AT_SOURCE = (
    "The data are not copied, since the publisher states no licence that allows it: `utils.py` reads the published "
    "files and composes what is asked."
)


def task_readme(family: Family, about: Contribution, tables: Mapping[str, LeafTable], has_group: bool) -> str:
    """Return the README of a task folder, as the harness's template has it."""
    leaves = [family.leaf(name) for name in tables]
    tasks = "\n".join(f"* `{family.task(leaf)}`: {_in_words(leaf.condition)}" for leaf in leaves)
    lost = sorted(
        {metric.name for table in tables.values() for metric in table.form.metrics}
        - {metric.name for table in tables.values() for metric in upstream_metrics(table.form)}
    )
    without = f"\nMetrics of the reference implementation that are left out here: {', '.join(lost)}.\n" if lost else ""
    group = f"* `crosslingual_{family.name}`: averages over the tasks of this folder" if has_group else "None."
    data = f"\n{_AT_SOURCE}\n\n{_source_at(*family.datasets)}\n" if about.licence is None else ""
    known = "x" if about.published else " "
    return f"""# xling_{family.name}

## Paper

Title: {about.title}

Abstract: {about.abstract}

{about.description}
{without}{data}
Homepage: {about.homepage}

### Citation

```bibtex
{_citation(family)}
```

### Groups, Tags, and Tasks

#### Groups

{group}

#### Tags

* `xling_{family.name}`: every task of this folder

#### Tasks

{tasks}

### Checklist

For adding novel benchmarks/datasets to the library:

* [{known}] Is the task an existing benchmark in the literature?
  * [{known}] Have you referenced the original paper that introduced the task?
  * [ ] If yes, does the original paper provide a reference implementation? If so, have you checked against the \
reference implementation and documented how to run such a test?

If other tasks on this dataset are already supported:

* [ ] Is the "Main" variant of this task clearly denoted?
* [x] Have you provided a short sentence in a README on what each new variant adds / evaluates?
* [ ] Have you noted which, if any, published evaluation setups are matched by this variant?

### Changelog

* {family.version}: first version in this repository.
"""


def _in_words(condition: Mapping[str, Any]) -> str:
    def word(value: object) -> str:
        if value == MULTIPLE:
            return "several languages"
        return LANGUAGES[value].name if isinstance(value, str) and value in LANGUAGES else str(value)

    if condition.get("placement") in PLACEMENT_WORDS and set(condition) <= {"placement", "language"}:
        return PLACEMENT_WORDS[condition["placement"]].format(base="English", target=word(condition.get("language")))
    return ", ".join(f"{name.replace('_', ' ')} {word(value)}" for name, value in condition.items())


def _citation(family: Family) -> str:
    page = tasks_folder() / family.name / "README.md"
    found = re.search(r"```bibtex\n(.*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise UserError("the page has no citation", where=page, fix="install the package again")
    return found[1]


def _languages(family: Family, tables: Mapping[str, LeafTable]) -> list[str]:
    shown = {
        code
        for table in tables.values()
        for rows in table.splits.values()
        for row in rows
        for code in row["languages"].values()
        if code in LANGUAGES
    }
    if not shown:
        used = used_datasets(family, [family.leaf(name) for name in tables])
        shown = {language for parts in used.values() for _, language in parts}
    return sorted(shown, key=lambda code: (code != "en", code))


def list_row(family: Family, about: Contribution, tables: Mapping[str, LeafTable]) -> str:
    """Return the row for ``lm_eval/tasks/README.md``."""
    names = ", ".join(LANGUAGES[code].name for code in _languages(family, tables))
    return f"| [xling_{family.name}](xling_{family.name}/README.md) | {about.description} | {names} |\n"


def dataset_card(family: Family, about: Contribution, tables: Mapping[str, LeafTable]) -> str:
    """Return the card of the dataset: what the hub reads, and what a person does."""
    head = {
        **(about.licence or {}),
        "language": _languages(family, tables),
        "task_categories": sorted({_category(family, table) for table in tables.values()}),
        "configs": [
            {
                "config_name": family.task(name),
                "data_files": [
                    {"split": split, "path": f"{family.task(name)}/{split}.parquet"} for split in table.splits
                ],
            }
            for name, table in tables.items()
        ],
    }
    sizes = "\n".join(f"| `{family.task(name)}` | {scored} | {shown} |" for name, (scored, shown) in _sizes(tables))
    used = dict.fromkeys(name for t in tables.values() for rows in t.splits.values() for row in rows for name in row)
    known = {**COLUMNS, about.pool: "string: a document's demonstrations have the same value here"}
    columns = "\n".join(f"| `{name}` | {known.get(name, 'string: a text of the prompt')} |" for name in used)
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120).rstrip()}
---

# {about.title}

{about.description}

## How it was made

Every configuration is a task of lm-evaluation-harness, `lm_eval/tasks/xling_{family.name}`: the same items, composed
in other languages, with the prompt as the model reads it. Version {family.version}.

## Source and licence

{_sources(family, tables)}

## Configurations

| configuration | scored rows | rows of demonstrations |
|---|---|---|
{sizes}

## Columns

| column | what |
|---|---|
{columns}
"""


def _category(family: Family, table: LeafTable) -> str:
    """A task of the hub's list."""
    written = "translation" if family.name == "translation" else "question-answering"
    return written if table.form.generates else "multiple-choice"


def _sizes(tables: Mapping[str, LeafTable]) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, table in tables.items():
        roles = [row.get("split", split) for split, rows in table.splits.items() for row in rows]
        yield name, (roles.count("test"), roles.count("dev"))


def _source_at(name: str) -> str:
    """Return what is read where it is published, and its licence."""
    entry = DATASETS[name]
    read = (f"{source.name}{f' at {source.pinned}' if source.pinned else ''}" for source in entry.sources)
    return f"{_about(name)}\n  - read from {', '.join(read)}"


def _about(name: str) -> str:
    entry = DATASETS[name]
    return f"- {entry.title}. {entry.citation}. Licence: {entry.licence}. {entry.homepage}"


def _sources(family: Family, tables: Mapping[str, LeafTable]) -> str:
    mirror = mirror_from_environment()
    lines = []
    for name, parts in used_datasets(family, [family.leaf(leaf) for leaf in tables]).items():
        lines.append(_about(name))
        stored = {(part.split, part.language): part for part in mirror.of(name)} if mirror else {}
        lines += dict.fromkeys(_source(stored[part]) for part in parts if part in stored)
    return "\n".join(lines)


def _source(part: StoredPart) -> str:
    if part.source.startswith("imported:"):
        return f"  - {part.source}; the licence above is that of the published rows: make sure that these are the same"
    return f"  - read from {part.source}{f' at {part.revision}' if part.revision else ''}"


def licence_files(family: Family) -> list[Path]:
    """Return the licences that stand beside a family's tasks and go with a copy of its data."""
    return sorted((tasks_folder() / family.name).glob("LICENSE*"))
