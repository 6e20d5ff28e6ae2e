"""The README's commands, run from an empty folder: only the model's name and the size of the run are replaced."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lm_eval_xling._cli import app
from lm_eval_xling.training.configuration import AlignmentConfig, FactsConfig, MixedConfig, load_config

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
COMMANDS = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def test_the_readme_shows_the_two_commands_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = [command.split()[1] for command in COMMANDS if command.startswith("make ")]
    assert named == ["demo", "test"]
    for target in named:
        assert f"\n{target}:" in makefile


def test_every_linked_file_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "tasks").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http", "<http")):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def shown_commands() -> list[tuple[str, list[str]]]:
    """Every call of ``xling`` in a shell block of a page, as page and words."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = []
    for page in [*pages, *(ROOT / "tasks").rglob("*.md")]:
        for block in re.findall(
            r"^```(?:sh|bash)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r" && | \| ", line.split("  #")[0]):
                    words = shlex.split(part)
                    if "xling" in words:
                        found.append((page.name, words[words.index("xling") + 1 :]))
    return found


@pytest.mark.parametrize(("page", "words"), shown_commands(), ids=lambda value: " ".join(value)[:60])
def test_every_shown_command_names_options_and_keys_that_exist(page: str, words: list[str]) -> None:
    command: Any = get_command(app)
    recipe = words[1] if words[0] == "train" else None
    words = list(words)
    while words and hasattr(command, "commands") and not words[0].startswith("--"):
        command = command.commands[words.pop(0)]
    if command.name == "eval":
        # Two are ours.
        known = harness_options() | {"--peft", "--skip-missing"}
    else:
        known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
    if recipe is not None:
        overrides = [word for word in words if "=" in word]
        load_config({"align": AlignmentConfig, "mixed": MixedConfig, "facts": FactsConfig}[recipe], None, overrides)


@functools.cache
def harness_options() -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--\w[\w-]*", shown.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
def test_the_commands_of_daily_use_run(
    tmp_path: Path, tiny: Callable[[str], Path], full_mirror: dict[str, str]
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lm_eval_xling import task_path

    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny("llama")), LoraConfig(task_type="CAUSAL_LM"))
    adapted.save_pretrained(tmp_path / "ADAPTER")
    shutil.copytree(tiny("llama"), tmp_path / "MODEL")
    (tmp_path / "mirror").symlink_to(full_mirror["XLING_DATA"])
    lines = [f"The river number {number} is long and the old town on it is small ." for number in range(40)]
    (tmp_path / "wiki.txt").write_text(" = Rivers = \n" + " \n".join(lines) + " \n", encoding="utf-8")
    (tmp_path / "muse").mkdir()
    (tmp_path / "muse" / "en-de.txt").write_text("river fluss\nlong lang\ntown stadt\nsmall klein\n", encoding="utf-8")
    commands = [command for command in COMMANDS if not command.startswith(("make ", "pip "))]
    ran = set()
    for command in commands:
        if "xling data fetch" in command:
            continue  # what it would bring stands in ./mirror; tests/catalog covers the command
        if "tasks new" in command or "base_url" in command:
            continue  # run by tests/test_own_data_page.py, and with a real server by tests/servers
        if "mixed" in command and not shutil.which("apertium"):
            continue  # no Debian package, no mixed corpus
        command = command.replace("gemma-3-270m", "MODEL")
        if "xling train" in command:
            command += " training.max_steps=2 training.save_strategy=no validation=0"
            command = re.sub(r"people=\d+", "people=2", command)
        if "probe neurons" in command:
            command += " --held-out 3"  # the sentences that we wrote are few
        if re.search(r"\blm_eval\b|xling eval", command):
            command += " --limit 2"
            if "lm_eval" in command and task_path() is not None:
                command += f" --include_path {task_path()}"
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert result.returncode == 0, f"{command}\n{result.stdout[-1500:]}\n{result.stderr[-3000:]}"
        ran.add(command.split()[0])
    assert {"lm_eval", "xling", "XLING_DATA=mirror"} <= ran
    assert (tmp_path / "report" / "report.html").is_file()
