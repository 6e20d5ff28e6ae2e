"""The command as a user types it: answers at once, and says what is wrong without a traceback."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from lm_eval_xling.families import FAMILIES

XLING = Path(sys.executable).with_name("xling")
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "matplotlib", "scipy", "sklearn", "numpy", "pandas")


def xling(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [XLING, *arguments], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200", **environment}
    )


def test_help_is_light() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from lm_eval_xling._cli import app\n"
        "result = CliRunner().invoke(app, ['--help']); assert result.exit_code == 0, result.output\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


EMPTY_PROGRAM = "import sys, typer; app = typer.Typer(); app.command()(lambda: None); sys.argv[1:] = ['--help']; app()"


@pytest.mark.slow
def test_help_costs_little_more_than_that_of_an_empty_program() -> None:
    """0.3 s where this was written, of the half second it may take; a ratio in one run, because machines are noisy."""

    def processor_seconds(command: list[str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run(command, capture_output=True).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    ours = [sys.executable, "-m", "lm_eval_xling", "--help"]
    pairs = [(processor_seconds(ours), processor_seconds([sys.executable, "-c", EMPTY_PROGRAM])) for _ in range(5)]
    mine, empty = (min(times) for times in zip(*pairs, strict=True))
    assert mine < 2 * empty, (mine, empty)


@pytest.mark.slow
def test_every_subcommand_has_help_with_an_example() -> None:
    import typer

    from lm_eval_xling._cli import app

    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        result = xling(name, "--help")
        assert result.returncode == 0, result.stderr
        assert f"xling {name}" in result.stdout


def test_tasks_lists_families_and_leaves() -> None:
    families = xling("tasks").stdout
    assert "crosslingual_FAMILY" in families
    for family in FAMILIES:
        assert f" {family} " in families
    leaves = dict(line.split(maxsplit=1) for line in xling("tasks", "--family", "atlas").stdout.splitlines())
    assert leaves["xling_atlas_fr_es"] == "question in French, answer in Spanish"
    assert len(leaves) == 27
    available = xling("tasks", "--family", "atlas", "--available").stdout
    assert "xling_atlas_fr_es (question in French, answer in Spanish)  can be evaluated" in available


def test_tasks_path_is_the_folder_that_the_harness_needs() -> None:
    folder = Path(xling("tasks", "--path").stdout.strip())
    assert (folder / "atlas" / "xling_atlas_fr_es.yaml").is_file()


@pytest.mark.slow
def test_show_prints_prompt_and_continuations() -> None:
    shown = xling("tasks", "--show", "xling_atlas_fr_es", "--row", "0").stdout
    assert shown.startswith("Pays : ") or shown.startswith("Pays: ")
    assert shown.count("← right") == 1
    assert "Custom kwargs" not in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tasks", "--show", "xling_atlas_fr_ess"), "did you mean xling_atlas_fr_es"),
        (("tasks", "--show", "xling_atlas_fr_es", "--row", "100000"), "row 100000 does not exist"),
        (("tasks", "--show", "xling_atlas_pair", "--metadata", '{"xling": {"seeds": 1}}'), "did you mean seed"),
        (("tasks", "--show", "xling_atlas_pair", "--metadata", "{xling: 1}"), "--metadata is not JSON"),
        (("tasks", "--show", "xling_atlas_fr_es", "--row", "-1"), "--row"),
        (("tasks", "--show", "xling_atlas_fr_es", "--num-fewshot", "-1"), "--num-fewshot"),
        (("tasks", "--family", "atlsa"), "did you mean atlas"),
        (("eval", "--model", "dummy", "--tasks", "xling_mmlu_en", "--limit", "1"), "nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = xling(*arguments, XLING_DATA=str(tmp_path / "nowhere"))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_harness_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval_xling import harness
    from lm_eval_xling.errors import UserError

    monkeypatch.setattr(harness, "version", lambda name: "0.4.9")
    harness.check_version.cache_clear()
    with pytest.raises(UserError, match=r"lm_eval 0.4.9 is too old(.|\n)*pip install 'lm_eval>=0.4.1"):
        harness.check_version()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "dtype=bfloat16 is about twice"),
        ({"avx512_bf16": False, "avx2": True}, "dtype=float32 is the fastest"),
    ],
)
def test_doctor_says_which_type_a_processor_computes_in(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lm_eval_xling._cli import doctor

    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    doctor._device()
    assert expected in capsys.readouterr().out


def test_doctor_says_how_the_harness_finds_the_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a checkout, in a wheel, and in a checkout that stands before an installed wheel on the path."""
    from lm_eval_xling import harness, task_path
    from lm_eval_xling._cli import doctor

    lines: list[str] = []
    monkeypatch.setattr(doctor, "_line", lambda name, text: lines.append(f"{name} {text}"))
    ours = harness.tasks_folder()
    monkeypatch.setattr(harness, "seen_folder", lambda: None)
    doctor._tasks()
    assert task_path() == ours and "--include_path" in "\n".join(lines)
    lines.clear()
    monkeypatch.setattr(harness, "seen_folder", lambda: ours)
    doctor._tasks()
    assert task_path() is None and lines == [f"tasks the harness sees them, in {ours}"]
    lines.clear()
    monkeypatch.setattr(harness, "seen_folder", lambda: tmp_path)
    doctor._tasks()
    assert task_path() == ours
    assert str(ours) in lines[0] and str(tmp_path) in lines[1] and "two copies" in lines[2]
