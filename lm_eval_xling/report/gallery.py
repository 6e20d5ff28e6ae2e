"""Report ▸ the pictures that go with each family: which are drawn, and from which numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lm_eval_xling.files import write_atomically
from lm_eval_xling.records import Interval
from lm_eval_xling.report.conditions import name
from lm_eval_xling.report.factors import is_indo_european
from lm_eval_xling.report.plots import bars, heat_map, points, save, slope, svg, themed
from lm_eval_xling.report.schema import AgreementRow, LanguageRow, Report, ScoreRow
from lm_eval_xling.report.tables import groups_of, scale_of
from lm_eval_xling.report.wording import Words, words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Plot", "draw"]

_MOST_BARS = 80
_MOST_CELLS = 30
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture on the page and in the folder of plots."""

    family: str
    """Family that it belongs to."""
    setting: str
    """Setting that it belongs to."""
    model: str
    """Label of the model, or empty where it shows several."""
    title: str
    """What it shows."""
    file: str
    """Name of its files without their endings."""
    svg: str
    """The SVG element."""


def draw(report: Report, folder: Path) -> list[Plot]:
    """Draw every picture, write each as PNG and SVG into a folder, and return them for the page."""
    plots: list[Plot] = []
    taken: set[str] = set()
    for family, setting in groups_of(report):
        for kind, model, title, figure in _figures(report, family, setting):
            file = _file_name((family, setting, kind, model), taken)
            save(figure, folder / f"{file}.png")
            drawing = svg(figure, file)
            write_atomically(folder / f"{file}.svg", drawing.encode())
            described = f"{title} ({model})" if model else title
            plots.append(Plot(family, setting, model, title, file, themed(drawing, described)))
    return plots


def _file_name(parts: Sequence[str], taken: set[str]) -> str:
    """Name of a picture's files, which none of those taken has: a digest ends what is long or would be alike."""
    name = re.sub(r"[^\w.+-]+", "_", "_".join(filter(None, parts)))
    # Some file systems tell no capital from a small letter.
    if len(name) > _LONGEST_NAME or name.casefold() in taken:
        digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()
        name = f"{name[: _LONGEST_NAME - 13]}-{digest}"
    taken.add(name.casefold())
    return name


def _figures(report: Report, family: str, setting: str) -> Iterator[tuple[str, str, str, Figure]]:
    """Kind, model, title and figure of every picture that the numbers allow."""
    scale, words = scale_of(report, family, setting), words_of(report)

    def of(rows: Any) -> list[Any]:
        return [row for row in rows if row.family == family and row.setting == setting]

    scores = [row for row in of(report.scores) if row.role == "main"]
    for model in dict.fromkeys(row.model for row in scores):
        figure = _matrix([row for row in scores if row.model == model], _limits(scores), model)
        if figure is not None:
            yield "matrix", model, "Score by question and answer language", figure
    barriers: dict[str, dict[str, tuple[float, float, float, bool]]] = {}
    called = words.distinct(family, (row.condition for row in of(report.barriers)))
    for row in of(report.barriers):
        barriers.setdefault(row.model, {})[called[row.condition]] = _bar(row.barrier, row.paired, scale)
    if barriers:
        label = "barrier (points), reference minus condition; pale: not significant"
        yield "barriers", "", "Barriers with 95 % intervals", bars(_shortest(barriers), value_label=label)
    changes = [row for row in of(report.changes) if row.what == "score"]
    for model in dict.fromkeys(row.model for row in changes):
        rows = [row for row in changes if row.model == model]
        called = words.distinct(family, (row.condition for row in rows))
        tasks = [row for row in rows if row.scope == "task"]
        label = f"change of the score (points) against {rows[0].baseline}; pale: not significant"
        languages = [row for row in rows if row.scope == "language"]
        for kind, title, shown in (
            ("languages", "Change by language", languages),
            ("change", "Change by condition", [row for row in rows if row.scope != "language"]),
        ):
            if shown:
                series = {model: {called[row.condition]: _bar(row.change, row.paired, scale) for row in shown}}
                yield kind, model, title, bars(_shortest(series), title=model, value_label=label)
        if len(tasks) > 1:
            pairs = {called[row.condition]: (row.before * scale, row.after * scale) for row in tasks}
            names = ("before", "after")
            figure = slope(pairs, title=model, value_label="score", names=names)
            yield "slope", model, "Before and after", figure
    regressed = dict.fromkeys((row.model, row.layout) for row in of(report.factors))
    for model, layout in regressed:
        rows = [row for row in of(report.languages) if (row.model, row.layout) == (model, layout)]
        title = f"Barrier by resources, script and family: {layout} in the other language"
        yield f"languages_{layout}", model, title, _by_resources(rows, scale, model)
    agreement = of(report.agreement)
    for model in dict.fromkeys(row.model for row in agreement):
        rows = [row for row in agreement if row.model == model]
        figure = _agreement(rows, words)
        if figure is not None:
            yield "agreement", model, "Share of items with the same answer", figure


def _bar(estimate: float, paired: Any, scale: float) -> tuple[float, float, float, bool]:
    if paired is None:
        return estimate * scale, np.nan, np.nan, False
    low, high = paired.difference.low * scale, paired.difference.high * scale
    return estimate * scale, low, high, paired.adjusted_p < 0.05


def _shortest(
    series: dict[str, dict[str, tuple[float, float, float, bool]]],
) -> dict[str, dict[str, tuple[float, float, float, bool]]]:
    """The series with the conditions of the largest bars, as many as can be read."""
    size: dict[str, float] = {}
    for values in series.values():
        for condition, value in values.items():
            size[condition] = max(size.get(condition, 0.0), abs(value[0]))
    most = max(8, _MOST_BARS // len(series))
    kept = set(sorted(size, key=lambda condition: -size[condition])[:most])
    return {model: {c: value for c, value in values.items() if c in kept} for model, values in series.items()}


def _limits(scores: list[ScoreRow]) -> tuple[float, float]:
    """One colour scale for all models, so that their matrices can be compared by eye."""
    values = [row.score.estimate for row in scores if np.isfinite(row.score.estimate)]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _matrix(rows: list[ScoreRow], limits: tuple[float, float], model: str) -> Figure | None:
    cells: dict[tuple[str, str], Interval] = {}
    for row in rows:
        if row.in_matrix:
            cells[row.question_language, row.answer_language] = row.score
    asked_in = sorted({q for q, _ in cells}, key=lambda code: (code != "en", code))
    answered_in = sorted({a for _, a in cells}, key=lambda code: (code != "en", code))
    if len(asked_in) < 2 or len(answered_in) < 2:
        return None
    scores = np.full((len(asked_in), len(answered_in)), np.nan)
    errors = scores.copy()
    for (q, a), score in cells.items():
        at = asked_in.index(q), answered_in.index(a)
        # Half a 95 % interval is 1.96 standard errors, near enough for Wilson's.
        scores[at], errors[at] = score.estimate, (score.high - score.low) / 3.92
    return heat_map(
        scores, errors, [name(q) for q in asked_in], [name(a) for a in answered_in], title=model, limits=limits
    )


def _by_resources(rows: list[LanguageRow], scale: float, model: str) -> Figure:
    groups: dict[str, dict[str, tuple[float, float, float, float]]] = {}
    for row in sorted(rows, key=lambda row: (row.script != "Latn", not is_indo_european(row), row.language)):
        script = "Latin script" if row.script == "Latn" else "another script"
        group = f"{script}, {'Indo-European' if is_indo_european(row) else 'another family'}"
        barrier = row.barrier
        groups.setdefault(group, {})[name(row.language)] = (
            row.resource,
            barrier.estimate * scale,
            barrier.low * scale,
            barrier.high * scale,
        )
    return points(
        groups,
        title=model,
        place_label="class of resources, 0 (least) to 5 (Joshi et al. 2020)",
        value_label="barrier (points)",
    )


def _agreement(rows: list[AgreementRow], words: Words) -> Figure | None:
    names = list(dict.fromkeys(name for row in rows for name in (row.first, row.second)))
    if not 3 <= len(names) <= _MOST_CELLS:
        return None
    matrix = np.full((len(names), len(names)), np.nan)
    for row in rows:
        i, j = names.index(row.first), names.index(row.second)
        matrix[i, j] = matrix[j, i] = row.same.estimate
    # Columns are the rows again: there the short name does.
    told = [words.full(rows[0].family, name) for name in names]
    return heat_map(matrix, None, told, names, title=rows[0].model, row_label="", column_label="")
