"""The task folder of own data: YAML files, and a README that says what they are."""

from __future__ import annotations

import os
from pathlib import Path

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.family import Family
from lm_eval_xling.families.own_data import read_description
from lm_eval_xling.families.placed import placement_in_words
from lm_eval_xling.families.task_files import task_files
from lm_eval_xling.files import check_folder, write_atomically
from lm_eval_xling.languages import identify

__all__ = ["write_tasks"]

_MADE_BY = "Made by `xling tasks new` from the description: change that and run it again."


def write_tasks(description: Path, family: Family, folder: Path) -> int:
    """Check all rows and write the tasks of a description; return the number of items.

    Files of an earlier call that are no longer made are removed.

    Raises:
        UserError: bad rows, or a folder that holds other files.
    """
    assert family.check is not None
    check_folder(folder, "--to")
    items = family.check()
    relative = os.path.relpath(description.resolve(), folder.resolve())
    files = dict(task_files(family, _MADE_BY, description=Path(relative).as_posix()))
    files["README.md"] = _readme(description, family, items)
    earlier = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in earlier:
        if path.name not in files and not _is_ours(path):
            raise UserError(f"{path.name} is not of these tasks", where=folder, fix="name a folder of its own")
    for name, content in files.items():
        write_atomically(folder / name, content.encode())
    for path in earlier:
        if path.name not in files:
            path.unlink()
    return items


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(f"# {_MADE_BY}")


def _readme(description: Path, family: Family, items: int) -> str:
    data = read_description(description)
    languages = ", ".join(identify(spelling).name for spelling in data.languages)
    leaves = "\n".join(f"| `{family.task(leaf)}` | {placement_in_words(**leaf.condition)} |" for leaf in family.leaves)
    forms = ", ".join(f"`{name}`" for name in family.forms)
    return f"""# {family.summary}

{items} items in {languages}. Licence of the data: {data.licence}. {data.citation}

Made from `{description.name}` by `xling tasks new`. All leaves: `--tasks xling_{family.name}`; with averages: `--tasks
crosslingual_{family.name}`. Forms: {forms}; another than the first with `--metadata '{{"xling": {{"form": "…"}}}}'`.

| task | what is in which language |
|---|---|
{leaves}
"""
