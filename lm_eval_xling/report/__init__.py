"""Result folders of the harness ▸ barriers with paired statistics, tables, plots and one HTML page."""

from __future__ import annotations

from lm_eval_xling.report.writing import read_report, write_report

__all__ = ["read_report", "write_report"]
