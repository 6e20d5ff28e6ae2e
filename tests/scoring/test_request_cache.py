"""Cached requests are those of the setting that asks for them, whatever the harness names them after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.caching import cache
from lm_eval.tasks import TaskManager

from lm_eval_xling.harness import tasks_folder

TASK = "xling_atlas_pair"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "PATH", str(tmp_path / "requests"))
    return tmp_path / "requests"


def parameters(question: str, answer: str) -> dict[str, str]:
    return {"question_language": question, "answer_language": answer}


def prompts(question: str, answer: str, **options: Any) -> list[str]:
    manager = TaskManager(
        include_path=str(tasks_folder()), include_defaults=False, metadata={"xling": parameters(question, answer)}
    )
    results = simple_evaluate(
        model="dummy",
        tasks=[TASK],
        limit=2,
        task_manager=manager,
        cache_requests=True,
        log_samples=True,
        bootstrap_iters=0,
        **options,
    )
    return [sample["arguments"][0][0] for sample in results["samples"][TASK]]


@pytest.mark.slow
def test_another_pair_of_languages_is_not_sent_the_cached_prompts(folder: Path) -> None:
    chinese = prompts("zh", "en")
    hindi = prompts("sw", "hi")
    assert chinese[0].startswith("国家")
    assert hindi[0].startswith("Nchi")
    assert prompts("zh", "en") == chinese
    # The third run found what the first had written.
    assert len(list(folder.parent.rglob("*.pickle"))) == 2


@pytest.mark.slow
def test_the_same_through_the_command(tmp_path: Path) -> None:
    sent = []
    for name, pair in (("zh-en", ("zh", "en")), ("sw-hi", ("sw", "hi"))):
        command = [sys.executable, "-m", "lm_eval_xling", "eval", "--model", "dummy", "--tasks", TASK, "--limit", "1"]
        command += ["--metadata", json.dumps({"xling": parameters(*pair)}), "--cache_requests", "--log_samples"]
        command += ["--output_path", str(tmp_path / name)]
        environment = {**os.environ, "LM_HARNESS_CACHE_PATH": str(tmp_path / "cache")}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, result.stderr
        (samples,) = (tmp_path / name).rglob("samples_*.jsonl")
        sent.append(json.loads(samples.read_text(encoding="utf-8").splitlines()[0])["arguments"]["gen_args_0"]["arg_0"])
    assert sent[0] != sent[1]
    assert sent[1].startswith("Nchi")
