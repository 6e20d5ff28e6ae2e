"""Report ▸ one HTML page that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import cycle
from typing import Any

from lm_eval_xling.drawing import PALETTE, SORTING, content_policy, read_script
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Interval
from lm_eval_xling.report.cells import Listing
from lm_eval_xling.report.conditions import SEVERAL, name
from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.gallery import Plot
from lm_eval_xling.report.items import ItemGroup
from lm_eval_xling.report.overview import overviews
from lm_eval_xling.report.reading import is_ours
from lm_eval_xling.report.schema import Report
from lm_eval_xling.report.tables import group_tables, groups_of, languages_of, scale_of
from lm_eval_xling.report.wording import words_of

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
    texts = [source.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "compare.js")]
    script = read_script(SORTING) + "".join(texts)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"language": name, "unbroken": _unbroken}
    template = environment.from_string(source.joinpath("page.html").read_text(encoding="utf-8"))
    groups = [_section(report, family, setting, plots) for family, setting in groups_of(report)]
    colours = dict(zip((model.label for model in report.models), cycle(PALETTE), strict=False))
    return template.render(
        report=report,
        pairs=_pairs(report, colours),
        # What is suspect stands among the findings.
        notes=[note for note in report.notes if note.kind != "suspect"],
        language_name=name,
        findings=findings(report),
        no_barrier=_no_barrier(report),
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
        colours=colours,
    )


def _no_barrier(report: Report) -> str:
    """Why runs without findings have no barrier."""
    rows = [row for row in report.scores if row.role == "main"]
    if all(row.unscored for row in rows):
        return "no task has a score"
    # Samples say in which languages own data and changed parameters asked.
    if any(is_ours(row.task) and row.source == "aggregates" and not row.question_language for row in rows):
        return "samples are missing, which say what can be compared (run lm_eval with --log_samples)"
    return "a family needs its English task and another one of the same setting"


def _pairs(report: Report, colours: Mapping[str, str]) -> dict[str, Any] | None:
    """What the comparison of two models shows; None where there are no two to compare."""
    from markupsafe import Markup

    if not report.differences:
        return None
    words, labels = words_of(report), [model.label for model in report.models]
    groups = []
    for family, setting in groups_of(report):
        scale = scale_of(report, family, setting)
        languages = languages_of(report, family)
        rows = [
            {
                "a": labels.index(row.first),
                "b": labels.index(row.second),
                "scope": row.scope,
                "words": words.short(family, row.condition),
                "full": words.full(family, row.condition),
                "languages": " ".join(languages.get(row.condition, ())),
                "one": _scaled(row.first_barrier, scale),
                "two": _scaled(row.second_barrier, scale),
                "difference": _scaled(row.difference, scale),
                "n": row.n,
                "why": row.why,
            }
            for row in report.differences
            if (row.family, row.setting) == (family, setting)
        ]
        axis = "barrier in points, with 95 % interval" if scale == 100 else "barrier in the metric's unit"
        groups.append({"family": family, "setting": setting, "axis": axis, "rows": rows})
    # The baseline and what is compared with it, where there is one.
    chosen = (report.changes[0].baseline, report.changes[0].model) if report.changes else None
    first = chosen or (report.differences[0].first, report.differences[0].second)
    data = {"models": labels, "colours": [colours[label] for label in labels], "groups": groups}
    return {"first": labels.index(first[0]), "second": labels.index(first[1]), "data": Markup(_json(data))}


def _scaled(interval: Interval, scale: float) -> list[float | None]:
    numbers = (interval.estimate, interval.low, interval.high)
    return [round(number * scale, 3) if math.isfinite(number) else None for number in numbers]


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
