"""The README's table of task families: leaves and languages as the package has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lm_eval_xling.families import FAMILIES

README = Path(__file__).resolve().parents[2] / "README.md"


def files() -> Iterator[tuple[Path, str]]:
    """Yield the README with its table made anew."""
    lines = ["| family | what | leaves | languages |", "|---|---|---|---|"]
    for family in FAMILIES.values():
        cells = [
            f"[`xling_{family.name}`](tasks/{family.name}/README.md)",
            family.summary,
            str(len(family.leaves)),
            " ".join(family.languages),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    text = README.read_text(encoding="utf-8")
    yield (
        README,
        re.sub(r"(<!-- families -->\n).*?(\n<!-- end -->)", lambda m: m[1] + table + m[2], text, flags=re.DOTALL),
    )
