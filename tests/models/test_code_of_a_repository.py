"""Python that a model's folder brings is never run, nor asked for on the terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval_xling.cost import tokenizer_of
from lm_eval_xling.errors import UserError
from lm_eval_xling.models import load_model, load_tokenizer
from lm_eval_xling.report.token_counts import _loaded
from lm_eval_xling.translation.seq2seq import model_config


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a model with code of its own, and a user who would say yes."""
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('ran').touch()\n"
        f"Path({str(tmp_path / 'ran')!r}).touch()\n"
        "class Tokenizer: pass\nclass Config: pass\nclass Model: pass\n"
    )
    auto = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.Tokenizer", None]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": auto, "tokenizer_class": "Tokenizer"}))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    return tmp_path


@pytest.mark.parametrize("load", [load_model, load_tokenizer, tokenizer_of, lambda name: model_config(name, "")])
def test_it_is_refused(foreign: Path, load: Callable[[str], object], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError):
        load(str(foreign))
    assert not (foreign / "ran").exists()
    assert "[y/N]" not in capsys.readouterr().out


def test_a_report_does_without_such_a_tokenizer(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _loaded(str(foreign), "main") is None
    assert not (foreign / "ran").exists()
    assert "[y/N]" not in capsys.readouterr().out
