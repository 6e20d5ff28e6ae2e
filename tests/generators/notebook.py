"""docs/notebook.md: the notebook of examples/ as a page of the site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[2]


def files() -> Iterator[tuple[Path, str]]:
    """Yield the page: text as it stands, code in fences."""
    notebook = jupytext.read(ROOT / "examples" / "notebook.py")
    cells = [
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source.strip()}\n```"
        for cell in notebook.cells
    ]
    yield ROOT / "docs" / "notebook.md", "\n\n".join(cells) + "\n"
