"""One self-contained HTML page a run: its pictures, and its numbers as a table that sorts and filters."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lm_eval_xling.drawing import SORTING, content_policy, read_script
from lm_eval_xling.files import write_atomically
from lm_eval_xling.probes.canvas import language_name
from lm_eval_xling.probes.fonts import shipped_fonts
from lm_eval_xling.probes.probe import Measure, Picture, Probe

__all__ = ["write_page"]

# Heading, and whether the column is one of numbers.
_COLUMNS = (
    ("quantity", False),
    ("model", False),
    ("language", False),
    ("other", False),
    ("layer", True),
    ("value", True),
    ("low", True),
    ("high", True),
    ("n", True),
    ("adjusted p", True),
)


def write_page(
    path: Path, probe: Probe, measures: Sequence[Measure], pictures: Sequence[Picture], manifest: Mapping[str, Any]
) -> None:
    """Write the page of a run; it needs no network and no file beside it.

    Args:
        path: of the HTML file.
        probe: which was run.
        measures: rows of the table.
        pictures: shown above the table.
        manifest: what made the run.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    source = files("lm_eval_xling.probes")
    script = read_script(SORTING) + source.joinpath("run_page.js").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        source.joinpath("run_page.html").read_text(encoding="utf-8")
    )
    model = Path(str(manifest["model"])).name
    rows = [_row(probe, measure) for measure in measures]
    # The pictures have their glyphs in them; the table's languages need fonts where the reader has none.
    brought = shipped_fonts("".join(cell for row in rows for cell in row))
    text = template.render(
        title=f"{probe.title}: {model}",
        pictures=[
            {"caption": picture.caption, "data": base64.b64encode(picture.path.read_bytes()).decode()}
            for picture in pictures
        ],
        columns=_COLUMNS,
        script=Markup(script),
        policy=content_policy(script),
        rows=rows,
        fonts=[{"kind": path.suffix[1:], "data": base64.b64encode(path.read_bytes()).decode()} for path in brought],
        quantities=[probe.quantity(name) for name in dict.fromkeys(measure.quantity for measure in measures)],
        manifest=list(_flat(manifest)),
    )
    write_atomically(path, text.encode())


def _row(probe: Probe, measure: Measure) -> tuple[str, ...]:
    return (
        probe.quantity(measure.quantity).label,
        f"{measure.variant} minus {measure.minus}" if measure.minus else measure.variant,
        language_name(measure.language),
        "" if measure.other is None else language_name(measure.other),
        "" if measure.layer is None else str(measure.layer),
        *(f"{number:.5g}" if number == number else "" for number in (measure.value, measure.low, measure.high)),
        str(measure.n),
        "" if measure.p is None else f"{measure.p:.2g}",
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name} · ")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{name}", shown
