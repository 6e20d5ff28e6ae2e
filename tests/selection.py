"""Which tests run, and which may be skipped: the suite's own pytest plugin.

Tests that need the real rows are marked ``real_rows`` by the fixtures that they ask for, and are left out, not skipped,
where the real datasets do not stand beside the repository. Any skip whose reason is not one of ``REASONS`` fails.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["REAL_DATA", "REASONS"]

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real datasets that stand beside the repository in our CI: test material, never part of it."""

R = TypeVar("R", pytest.TestReport, pytest.CollectReport)

_REAL_FIXTURES = frozenset({"shared_data", "real_mirror"})

REASONS = (
    "needs the Debian package apertium",
    "needs the Debian package dict-freedict-eng-fra",
    "needs the Debian package chromium",
    "needs the Debian package fonts-noto-cjk",
)
"""Beginnings of the reasons for which a test may be skipped; ``make system`` installs all of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need the real rows, and leave them out where there are none."""
    for item in items:
        if _REAL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_rows)
    if not REAL_DATA.is_dir():
        left_out = [item for item in items if item.get_closest_marker("real_rows")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail that is skipped for a reason that is not on the list."""
    report = yield
    return _held(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a module fail that is skipped as a whole for a reason that is not on the list."""
    report = yield
    return _held(report)


def _held(report: R) -> R:
    if report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (str(report.longrepr),)
        text = str(reason).removeprefix("Skipped: ")
        if not text.startswith(REASONS):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that is not on the list of tests/selection.py: {text}"
    return report
