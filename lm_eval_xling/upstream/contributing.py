"""Writing an export: a folder with what a pull request to lm-evaluation-harness and its dataset take."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, family_named
from lm_eval_xling.families.available import missing_data, missing_error
from lm_eval_xling.files import check_folder, disk_full
from lm_eval_xling.upstream.at_source import at_source
from lm_eval_xling.upstream.cards import dataset_card, licence_files, list_row, task_readme
from lm_eval_xling.upstream.columns import LeafTable, leaf_table, table_at_source
from lm_eval_xling.upstream.exportable import chosen_leaves, contribution, matches
from lm_eval_xling.upstream.harness_files import harness_files

__all__ = ["MANIFEST", "TASKS", "dataset_path", "export"]

MANIFEST = "export.json"
"""What an export holds, for ``check``; it goes nowhere."""

TASKS = "lm_eval/tasks"
"""Where a harness checkout has its tasks."""


def export(
    names: Sequence[str],
    folder: Path,
    *,
    leaves: Sequence[str] = (),
    hub: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the families to a new folder, whole or not at all.

    ``lm_eval/tasks/xling_FAMILY`` goes into a harness checkout, ``data/xling_FAMILY`` is the dataset with its card, and
    ``tasks_readme_rows.md`` has the rows for the harness's list of tasks. Data that may not be copied stay where
    they are published: the tasks read them there, and no row is written.

    Args:
        names: of families.
        folder: absent or empty.
        leaves: patterns of leaves; all that can be exported if there are none.
        hub: ``OWNER/NAME`` that the dataset will have on the hub; otherwise the tasks read ``./data/xling_FAMILY``.
        say: is told a line for each family and each kind of leaf that stays out.

    Raises:
        UserError: an unknown family or leaf, one that cannot go upstream, missing data, or a folder that holds files.
    """
    families = [family_named(name) for name in dict.fromkeys(names)]
    if hub is not None and len(families) > 1:
        raise UserError(
            f"a dataset holds one family, and {len(families)} are exported", where="--hub", fix="export each alone"
        )
    for family in families:
        dataset_path(family, hub)
        if hub is not None and contribution(family).licence is None:
            raise UserError(
                f"the data of {family.name} may not be copied, so that there is no dataset of them to name",
                where="--hub",
                fix="leave it out: the tasks read the published files",
            )
    check_folder(folder, "--to")
    folder = folder.resolve()
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError("the folder is not empty", where=f"--to {folder}", fix="name a new one")
    chosen = {family: chosen_leaves(family, leaves) for family in families}
    for pattern in leaves:
        if not any(matches(family, leaf, pattern) for family in families for leaf in family.leaves):
            raise UserError(f"no leaf is called {pattern!r}", where="--leaves", fix="xling tasks --family FAMILY")
    missing = {
        family.task(leaf): lacked
        for family, (found, _) in chosen.items()
        for leaf in found
        if contribution(family).licence is not None and (lacked := missing_data(family, leaf))
    }
    if missing:
        error = missing_error(missing)
        raise UserError(error.what, where=error.where, fix="xling tasks --available --missing says how to get them")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch, disk_full(folder):
        made = Path(scratch, "export")
        (made / TASKS).mkdir(parents=True)
        entries, rows = {}, []
        for family, (found, without) in chosen.items():
            entries[family.name], row = _write(family, [leaf.name for leaf in found], made, hub)
            rows.append(row)
            say(f"xling_{family.name}: {len(found)} tasks")
            for reason in dict.fromkeys(without.values()):
                left = [name for name, why in without.items() if why == reason]
                say(f"  without {left[0]}{f' and {len(left) - 1} more' if len(left) > 1 else ''}: {reason}")
        (made / "tasks_readme_rows.md").write_text("".join(rows), encoding="utf-8")
        (made / MANIFEST).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        # An empty folder in its place is replaced; whoever looks sees all of it or nothing.
        made.replace(folder)


def dataset_path(family: Family, hub: str | None) -> str:
    """Return what ``datasets.load_dataset`` takes for the dataset of a family.

    Raises:
        UserError: a name that the hub does not allow.
    """
    if hub is None:
        return f"./data/xling_{family.name}"
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", hub):
        raise UserError(f"no name of a dataset on the hub: {hub!r}", where="--hub", fix="--hub OWNER/NAME")
    return hub


def _write(family: Family, leaves: Sequence[str], root: Path, hub: str | None) -> tuple[dict[str, Any], str]:
    """Write one family; return its entry in the manifest, and its row in the harness's list."""
    about = contribution(family)
    tasks = root / TASKS / f"xling_{family.name}"
    if about.licence is None:
        tables = {name: table_at_source(family, family.leaf(name)) for name in leaves}
        files = harness_files(family, tables, about.pool, at_source(family))
    else:
        tables = _write_tables(family, leaves, root / "data" / f"xling_{family.name}")
        files = harness_files(family, tables, about.pool, dataset_path(family, hub))
    groups = [f"crosslingual_{family.name}"] if f"_crosslingual_{family.name}.yaml" in files else []
    files["README.md"] = task_readme(family, about, tables, bool(groups))
    tasks.mkdir()
    for name, content in files.items():
        (tasks / name).write_text(content, encoding="utf-8")
    return {"leaves": list(leaves), "groups": groups, "hub": hub}, list_row(family, about, tables)


def _write_tables(family: Family, leaves: Sequence[str], folder: Path) -> dict[str, LeafTable]:
    """Write the dataset of a family with its card and licences."""
    import pyarrow
    from pyarrow import parquet

    about = contribution(family)
    tables = {name: leaf_table(family, family.leaf(name), about.pool) for name in leaves}
    for name, table in tables.items():
        for split, rows in table.splits.items():
            path = folder / family.task(name) / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, compression="zstd")
    (folder / "README.md").write_text(dataset_card(family, about, tables), encoding="utf-8")
    for licence in licence_files(family):
        shutil.copy(licence, folder / licence.name)
    return tables
