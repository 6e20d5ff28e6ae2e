"""Report ▸ one HTML page that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import cycle
from typing import Any

from lm_eval_xling.drawing import PALETTE, SORTING, content_policy, read_script
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.report.cells import Listing
from lm_eval_xling.report.conditions import SEVERAL, name
from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.gallery import Plot
from lm_eval_xling.report.items import ItemGroup
from lm_eval_xling.report.overview import overviews
from lm_eval_xling.report.schema import Report
from lm_eval_xling.report.tables import group_tables, groups_of

__all__ = ["render"]

_RIGHT_TO_LEFT = frozenset({"Arab", "Hebr"})
_MOST_LINES = 1_500


def render(report: Report, plots: Sequence[Plot], items: Sequence[ItemGroup]) -> str:
    """Return the page.

    Everything that comes from data is escaped by the template engine, or is JSON that the script shows as text.
    The content security policy lets no other script run than the page's own, and nothing be loaded.

    Args:
        report: the numbers.
        plots: pictures, as SVG that we drew ourselves.
        items: what can be opened.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    source = files("lm_eval_xling.report")
    script = read_script(SORTING) + source.joinpath("page.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"language": name, "unbroken": _unbroken}
    template = environment.from_string(source.joinpath("page.html").read_text(encoding="utf-8"))
    groups = [_section(report, family, setting, plots) for family, setting in groups_of(report)]
    return template.render(
        report=report,
        # What is suspect stands among the findings.
        notes=[note for note in report.notes if note.kind != "suspect"],
        language_name=name,
        findings=findings(report),
        groups=groups,
        items=[(group, Markup(_json(group.data))) for group in items],
        families=sorted({row.family for row in report.scores}),
        languages=_codes(report),
        subjects=sorted({row.subject for row in report.subjects}),
        names=Markup(_json(_names())),
        style=Markup(source.joinpath("page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        policy=content_policy(script),
        overviews=overviews(report),
        colours=dict(zip((model.label for model in report.models), cycle(PALETTE), strict=False)),
    )


def _unbroken(text: str) -> str:
    """The text with no line break inside of "p = .012" and "n = 111"."""
    return re.sub(r"\b([pn]) ([=<]) ", "\\1\u00a0\\2\u00a0", text)


def _section(report: Report, family: str, setting: str, plots: Sequence[Plot]) -> dict[str, Any]:
    from markupsafe import Markup

    own = [plot for plot in plots if (plot.family, plot.setting) == (family, setting)]
    return {
        "family": family,
        "setting": setting,
        "plots": [(plot, Markup(plot.svg)) for plot in own],
        "tables": [_shortened(table) for table in group_tables(report, family, setting)],
    }


def _shortened(table: Listing) -> tuple[Listing, int]:
    """The table with as many lines as a browser shows at once, and how many were left out."""
    from dataclasses import replace

    return replace(table, lines=table.lines[:_MOST_LINES]), max(0, len(table.lines) - _MOST_LINES)


def _codes(report: Report) -> list[str]:
    found = {code for row in report.scores for code in (row.question_language, row.answer_language)}
    return sorted(found - {"", SEVERAL})


def _names() -> dict[str, dict[str, str]]:
    """What the script needs to know of languages: name and direction of writing."""
    return {
        code: {"name": language.name, "dir": "rtl" if language.script in _RIGHT_TO_LEFT else "ltr"}
        for code, language in LANGUAGES.items()
    }


def _json(data: Any) -> str:
    """JSON for a script element: no character of it can end the element or start a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
