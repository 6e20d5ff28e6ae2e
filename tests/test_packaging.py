"""What a user installs: wheel, sdist and wheel-from-sdist hold the same, and the harness finds the tasks flagless."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: object, cwd: Path, **environment: str) -> str:
    return finished(*command, cwd=cwd, **environment).stdout


def finished(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist and two wheels: ``direct/`` from the tree, ``from_sdist/`` from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    source = out / "source"
    run("git", "clone", "-q", "--no-hardlinks", ROOT, source, cwd=out)
    # What is not committed yet belongs to the test too.
    changed = run("git", "ls-files", "--modified", "--others", "--exclude-standard", "--deduplicate", cwd=ROOT).split()
    for name in changed:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
        else:
            target.unlink(missing_ok=True)
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", out / "direct", source, cwd=out)
    run(*build, "--outdir", out / "from_sdist", source, cwd=out)
    return out


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.mark.environment
def test_both_wheels_hold_the_same_files(built: Path) -> None:
    (direct,) = (built / "direct").glob("*.whl")
    (indirect,) = (built / "from_sdist").glob("*.whl")
    assert names(direct) == names(indirect)
    (sdist,) = (built / "from_sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= inside


@pytest.mark.environment
def test_the_wheel_holds_every_tracked_file_of_both_trees(built: Path) -> None:
    (wheel,) = (built / "direct").glob("*.whl")
    inside = names(wheel)
    tracked = run("git", "ls-files", "lm_eval_xling", "tasks", cwd=ROOT).split()
    for name in (name for name in tracked if (ROOT / name).is_file()):
        assert re.sub(r"^tasks/", "lm_eval/tasks/xling/", name) in inside


def test_no_file_is_a_symbolic_link() -> None:
    """A default clone on Windows makes a text file of one."""
    modes = run("git", "ls-files", "--stage", cwd=ROOT).splitlines()
    assert [line for line in modes if line.startswith("120000")] == []


def test_the_table_of_packages_names_every_package_folder() -> None:
    # pytest brings tomli where Python has no TOML reader of its own.
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "lm_eval_xling").rglob("__init__.py")}
    assert folders | {"lm_eval.tasks.xling"} == set(table)


@pytest.mark.environment
@pytest.mark.parametrize("harness", ["0.4.12", "0.4.13"])
def test_a_fresh_environment_evaluates_without_a_flag(
    built: Path, harness: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness and the wheel are installed anew; what they depend on comes from this environment."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (wheel,) = (built / "direct").glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    here = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    # Paths that a .pth file adds come after the environment's own packages.
    (site / "dependencies.pth").write_text("\n".join(dict.fromkeys(here)))
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--ignore-installed",
        f"lm_eval=={harness}", wheel, cwd=tmp_path,
    )  # fmt: skip
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import lm_eval, lm_eval_xling; print(lm_eval.__path__[0])", cwd=empty)
    assert str(site) in where
    xling = tmp_path / "env" / "bin" / "xling"
    assert "the harness sees them" in run(xling, "doctor", cwd=empty)
    said = run(xling, "doctor", cwd=empty, PYTHONPATH=str(ROOT))
    assert f"in {ROOT / 'tasks'}; but" in said and str(site / "lm_eval" / "tasks" / "xling") in said
    # The harness warns of each task that it meets twice.
    manager = "from lm_eval.tasks import TaskManager; from lm_eval_xling import task_path"
    manager += "; assert 'xling_atlas_fr_es' in TaskManager(include_path=task_path()).all_subtasks"
    assert "overrides" not in finished(python, "-c", manager, cwd=empty).stderr
    run(
        tmp_path / "env" / "bin" / "lm_eval", "--model", "dummy", "--tasks", "xling_atlas_en_de,xling_atlas_mixup",
        "--limit", "2", "--num_fewshot", "2", "--output_path", "out", "--log_samples", cwd=empty, HF_HUB_OFFLINE="1",
    )  # fmt: skip
    (results,) = (empty / "out").rglob("results_*.json")
    assert set(json.loads(results.read_text())["results"]) == {"xling_atlas_en_de", "xling_atlas_mixup"}
    run(xling, "export", "atlas", "--leaves", "en_de", "--to", "upstream", cwd=empty)
    assert "xling_atlas_en_de  764 documents, 3056 requests: equal" in run(
        xling, "export", "--check", "upstream", cwd=empty
    )
    run(sys.executable, "-m", "pip", "--python", python, "uninstall", "-q", "-y", "lm-eval-xling", cwd=empty)
    assert not list((site / "lm_eval" / "tasks").glob("xling/**/*.yaml"))
