"""The public spine: a probe of one's own, and the example of the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lm_eval_xling import probes
from lm_eval_xling._cli import app
from lm_eval_xling.errors import UserError
from tests.probes.conftest import prompts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "probes.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Working directory with the files that the documentation names; probes registered in it are forgotten."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL").symlink_to(tiny("llama"))
    for code, text in (("en", "one cat\ntwo dogs\nmany birds\n"), ("de", "eine Katze\nzwei Hunde\nviele Vögel\n")):
        (tmp_path / f"{code}.txt").write_text(text, encoding="utf-8")
    known = dict(probes.PROBES)
    yield tmp_path
    probes.PROBES.clear()
    probes.PROBES.update(known)


def test_the_examples_of_the_documentation_run(folder: Path) -> None:
    """From Python, and then a probe that is added at run time, by its name in Python and on the command line."""
    assert len(EXAMPLES) == 2
    for example in EXAMPLES:
        exec(compile(example.replace("gemma-3-270m", "MODEL"), "docs/probes.md", "exec"), {})
    assert json.loads((folder / "agreement" / "run.json").read_text())["settings"]["pooling"] == "mean"
    call = ["probe", "norms", "--model", "MODEL", "--texts", "en.txt", "--out", "again", "--power", "1"]
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    assert result.exit_code == 0 and result.output.strip().endswith("again/index.html")
    for out in ("norms", "again"):
        rows = [json.loads(line) for line in (folder / out / "measures.jsonl").read_text().splitlines()]
        assert [row["layer"] for row in rows] == [0, 1, 2, 3] and all(row["value"] > 0 for row in rows)
        page = (folder / out / "index.html").read_text()
        assert "<title>Norms of hidden states: MODEL" in page and "Length of the last token" in page
    shown = CliRunner().invoke(app, ["probe", "norms", "--help"], terminal_width=160).output
    assert "--power" in shown and "xling probe norms --model" in shown
    assert "norms" in CliRunner().invoke(app, ["probe", "--help"], terminal_width=160).output


def test_one_load_serves_several_probes_and_settings_are_checked(folder: Path, tiny: Callable[[str], Path]) -> None:
    model = probes.ProbedModel(str(tiny("llama")))
    both = prompts("en", ["a b", "c d", "e f"]) + prompts("de", ["g h", "i j", "k l"])
    for name in ("pca", "mexa"):
        found = probes.run(name, model, both, folder / name)
        assert found.measures and (folder / name / "index.html").is_file()
    for wrong, message in (
        ({"poling": "mean"}, "unknown setting of pca 'poling'"),
        ({"pooling": "middle"}, "unknown pooling 'middle'"),
    ):
        with pytest.raises(UserError, match=message):
            probes.run("pca", model, both, folder / "wrong", **wrong)
    with pytest.raises(UserError, match="unknown probe 'pcaa'"):
        probes.run("pcaa", model, both, folder / "wrong")
    with pytest.raises(UserError, match="the probe similarity needs lexicons"):
        probes.run("similarity", model, both, folder / "wrong")
    # Before a model is loaded: this one does not exist.
    with pytest.raises(UserError, match="there is only en"):
        probes.run("mexa", "nowhere", prompts("en", ["a"]), folder / "wrong")
    assert not (folder / "wrong").exists()
