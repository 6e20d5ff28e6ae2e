"""Which tests run, and which may be skipped: the suite's own pytest plugin.

Tests that need the real rows are marked ``real_rows`` by the fixtures that they ask for, and are left out, not skipped,
where the real datasets do not stand beside the repository; tests marked ``servers`` are left out without environments
for their servers (``make test-servers``). Any skip whose reason is not one of ``REASONS`` fails.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["REAL_DATA", "REASONS", "SERVERS"]

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real datasets that stand beside the repository in our CI: test material, never part of it."""

SERVERS = "XLING_TEST_SERVERS"
"""Environment variable: folder of the environments ``vllm`` and ``llama``."""

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
    """Mark the tests that need the real rows, and leave out those whose rows or servers are not here."""
    for item in items:
        if _REAL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_rows)
    lacking = {"real_rows": not REAL_DATA.is_dir(), "servers": SERVERS not in os.environ}
    marks = [mark for mark, is_lacking in lacking.items() if is_lacking]
    left_out = [item for item in items if any(item.get_closest_marker(mark) for mark in marks)]
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
