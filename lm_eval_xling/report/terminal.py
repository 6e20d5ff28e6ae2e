"""Report ▸ a summary in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lm_eval_xling.records import PairedDifference
from lm_eval_xling.report.cells import interval, number, p_value, text
from lm_eval_xling.report.findings import findings
from lm_eval_xling.report.schema import Report
from lm_eval_xling.report.tables import groups_of, scale_of
from lm_eval_xling.report.wording import Words, words_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["show"]

_MOST_LINES = 10
_MOST_NOTES = 10


def show(report: Report, console: Console) -> None:
    """Print findings, the broadest and largest barriers and changes of each family, and the notes."""
    from rich.text import Text

    for finding in findings(report):
        # Text, not markup: names come from data and may hold brackets.
        about = (
            ", ".join(filter(None, (finding.family, finding.setting, finding.model))) + ": " if finding.family else ""
        )
        style = ("" if finding.certain else "dim") if finding.family else "bold red"
        console.print(Text(f"• {about}{finding.text}", style))
    words = words_of(report)
    for family, setting in groups_of(report):
        scale = scale_of(report, family, setting)
        barriers = [row for row in report.barriers if (row.family, row.setting) == (family, setting)]
        changes = [row for row in report.changes if (row.family, row.setting) == (family, setting)]
        _print(
            console,
            f"{family}, {setting}: barriers, reference minus condition",
            "barriers.csv",
            [
                (
                    row.scope,
                    (row.model, words.full(family, row.condition)),
                    (row.reference_score, row.score),
                    row.barrier,
                    row.paired,
                )
                for row in barriers
            ],
            scale,
        )
        _print(
            console,
            f"{family}, {setting}: change from the baseline",
            "changes.csv",
            [
                (
                    row.scope,
                    (row.model, f"{row.what}: {words.full(family, row.condition)}"),
                    (row.before, row.after),
                    row.change,
                    row.paired,
                )
                for row in changes
            ],
            scale,
        )
        if not barriers and not changes:
            _print_scores(console, report, family, setting, scale, words)
    # What is suspect stands among the findings.
    others = [note for note in report.notes if note.kind != "suspect"]
    for note in others[:_MOST_NOTES]:
        console.print(Text(f"{note.kind}: {note.text} ({note.where})", "yellow"))
    if len(others) > _MOST_NOTES:
        console.print(Text(f"{len(others) - _MOST_NOTES} more notes in notes.csv", "yellow"))


_Line = tuple[str, tuple[str, str], tuple[float, float], float, PairedDifference | None]


def _print(console: Console, title: str, file: str, lines: list[_Line], scale: float) -> None:
    """Print means over several tasks first, then the largest of the rest."""
    from rich.text import Text

    if not lines:
        return
    means = [line for line in lines if line[0] != "task"]
    others = sorted((line for line in lines if line[0] == "task"), key=lambda line: -abs(line[3]))
    kept = means + others[: max(3, _MOST_LINES - len(means))]
    table = _table(title, ("model", "condition"), ("from", "to", "points", "95 % interval", "adj. p"))
    for _, names, (first, second), difference, paired in kept:
        cells = [number(first, scale), number(second, scale), number(difference, scale, sign=True)]
        if paired is None:
            cells += [text("untested"), text("")]
        else:
            cells += [interval(paired.difference.low, paired.difference.high, scale), p_value(paired.adjusted_p)]
        style = "bold" if paired is not None and paired.adjusted_p < 0.05 else ""
        table.add_row(*(Text(name) for name in names), *(Text(cell.text, style) for cell in cells))
    console.print(table)
    if len(kept) < len(lines):
        console.print(Text(f"{len(lines) - len(kept)} more in {file}", "dim"))


def _print_scores(console: Console, report: Report, family: str, setting: str, scale: float, words: Words) -> None:
    from rich.text import Text

    rows = [row for row in report.scores if (row.family, row.setting, row.role) == (family, setting, "main")]
    table = _table(f"{family}, {setting}: scores", ("model", "condition"), ("score", "95 % interval", "items"))
    for row in rows[:_MOST_LINES]:
        bounds = interval(row.score.low, row.score.high, scale)
        score = text("none") if row.unscored else number(row.score.estimate, scale)
        cells = (score, bounds, number(row.n, digits=0))
        name = Text(words.full(family, row.condition))
        table.add_row(Text(row.model), name, *(Text(cell.text) for cell in cells))
    console.print(table)


def _table(title: str, names: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1))
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
