"""Results between two marks of a document, so that no number in it is typed."""

from __future__ import annotations

from pathlib import Path


def write_between(name: str, text: str, path: Path) -> None:
    """Put the text between ``<!-- name:begin -->`` and ``<!-- name:end -->``."""
    first, last = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(first)
    _, mark, after = rest.partition(last)
    if not mark:
        raise SystemExit(f"{path} has no lines {first} and {last}")
    path.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")
