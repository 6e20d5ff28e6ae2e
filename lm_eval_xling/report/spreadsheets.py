"""Report ▸ CSV files, in full precision."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

from lm_eval_xling.files import write_atomically
from lm_eval_xling.records import Interval, PairedDifference
from lm_eval_xling.report.schema import Report

__all__ = ["CSV_TABLES", "write_csv"]

CSV_TABLES = (
    "conditions",
    "scores",
    "barriers",
    "changes",
    "differences",
    "formats",
    "agreement",
    "consistency",
    "effects",
    "lone_options",
    "averages",
    "subjects",
    "languages",
    "factors",
    "runs",
    "notes",
)
"""Fields of ``Report`` that become ``<name>.csv``."""


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Write every table that has rows as CSV, in full precision, and return the files."""
    written = []
    for name in CSV_TABLES:
        rows = [_flat(row) for row in getattr(report, name)]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        path = folder / f"{name}.csv"
        if not rows:
            # An older report may have had some.
            path.unlink(missing_ok=True)
            continue
        with io.StringIO(newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
            write_atomically(path, stream.getvalue().encode())
        written.append(path)
    return written


def _flat(row: Any, prefix: str = "") -> dict[str, Any]:
    """Column to value; an interval becomes three columns, a missing record none."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(row):
        value, name = getattr(row, field.name), prefix + field.name
        if isinstance(value, Interval):
            bounds = {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}
            flat |= {column: number if math.isfinite(number) else "" for column, number in bounds.items()}
        elif isinstance(value, PairedDifference):
            flat |= _flat(value, f"{name}_")
        elif isinstance(value, str) and value[:1] in "=+-@\t\r" and value:
            # Spreadsheets run such text as a formula.
            flat[name] = f"'{value}"
        elif isinstance(value, float) and not math.isfinite(value):
            # An empty cell is a missing number to every reader of CSV; columns of words say why.
            flat[name] = ""
        elif value is not None:
            flat[name] = value
    return flat
