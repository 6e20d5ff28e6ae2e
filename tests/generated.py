"""Write every generated file, or with --check fail where one differs: `python -m tests.generated [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lm_eval_xling.families.leaves import yaml_files
from tests.generators import atlas, data, readme

ROOT = Path(__file__).resolve().parent.parent


def _task_yamls() -> Iterator[tuple[Path, str]]:
    for path, content in yaml_files():
        yield ROOT / "tasks" / path, content


GENERATORS: list[Callable[[], Iterator[tuple[Path, str]]]] = [_task_yamls, atlas.files, data.files, readme.files]
"""Each yields the path and the content of the files that it makes."""


def expected() -> dict[Path, str]:
    """Return the content of every generated file by its path."""
    return {path: content for generator in GENERATORS for path, content in generator()}


def stale() -> list[str]:
    """Return one line for each generated file that is missing, differs, or is no longer made."""
    files = expected()
    lines = [
        f"{path.relative_to(ROOT)} differs"
        for path, content in files.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != content
    ]
    orphans = set((ROOT / "tasks").glob("*/*.yaml")) - set(files)
    return lines + [f"{path.relative_to(ROOT)} is not made by any generator" for path in sorted(orphans)]


def main() -> None:
    if "--check" in sys.argv:
        lines = stale()
        print("\n".join(lines) or "generated files are fresh")
        sys.exit(f"{len(lines)} files are stale: run `make generated`" if lines else 0)
    for path, content in expected().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
