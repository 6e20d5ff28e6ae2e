"""The suite's own rules: a skip needs a reason on the list, and the real rows are left out where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.selection

pytest_plugins = ["pytester"]

CASES = """
    import pytest

    @pytest.fixture
    def shared_data():
        return 1

    def test_runs():
        pass

    @pytest.mark.skip(reason="needs the Debian package chromium")
    def test_listed():
        pass

    @pytest.mark.skip(reason="no time")
    def test_unlisted():
        pass

    @pytest.mark.skipif(True, reason="needs the Debian package gimp")
    def test_unlisted_package():
        pass

    def test_unlisted_within():
        pytest.importorskip("no_such_module")

    @pytest.mark.xfail
    def test_expected_failure():
        assert False

    def test_real(shared_data):
        pass
"""


def outcomes(pytester: pytest.Pytester, *arguments: str) -> dict[str, int]:
    pytester.makeini("[pytest]\nmarkers = real_rows")
    pytester.makepyfile(test_cases=CASES)
    found = pytester.runpytest_inprocess("-p", "tests.selection", *arguments).parseoutcomes()
    found.pop("warnings", None)
    return found


def test_a_skip_that_is_not_on_the_list_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.selection, "REAL_DATA", Path(__file__).parent)
    assert outcomes(pytester) == {"passed": 2, "skipped": 1, "failed": 1, "errors": 2, "xfailed": 1}
    assert outcomes(pytester, "-m", "not real_rows")["deselected"] == 1


def test_a_module_that_is_skipped_fails(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = real_rows")
    pytester.makepyfile("import pytest\npytest.skip('not today', allow_module_level=True)")
    result = pytester.runpytest_inprocess("-p", "tests.selection")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*skipped for a reason that is not on the list*not today*"])


def test_real_rows_are_left_out_not_skipped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.selection, "REAL_DATA", Path("/nowhere"))
    assert outcomes(pytester, "-k", "test_real or test_runs") == {"passed": 1, "deselected": 6}


def test_servers_are_left_out_without_their_environments(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmarkers = servers")
    pytester.makepyfile(test_served="import pytest\n\n@pytest.mark.servers\ndef test_served():\n    pass\n")
    monkeypatch.delenv(tests.selection.SERVERS, raising=False)
    pytester.runpytest_inprocess("-p", "tests.selection").assert_outcomes(deselected=1)
    monkeypatch.setenv(tests.selection.SERVERS, "build/servers")
    pytester.runpytest_inprocess("-p", "tests.selection").assert_outcomes(passed=1, deselected=0)
