"""The backend inside the harness: results, request cache, logged samples, chat templates, several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM
from lm_eval.tasks import TaskManager

from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.scoring import register
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.processes import on_two_machines
from tests.scoring.prompts import assert_same_scores, decided_model, loglikelihood, pairs

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    decided_model("gemma3").save_pretrained(path)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    return path


@cache
def manager() -> TaskManager:
    """Indexing all tasks of the harness takes seconds."""
    return TaskManager(include_path=str(tasks_folder()), include_defaults=False)


def evaluate(model: str, folder: Path, **options: Any) -> dict[str, Any]:
    register()
    results = simple_evaluate(
        model=model,
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=["xling_atlas_fr_es"],
        num_fewshot=2,
        limit=6,
        batch_size=4,
        device="cpu",
        bootstrap_iters=0,
        task_manager=manager(),
        **options,
    )
    return results  # type: ignore[no-any-return]  # None in all processes but the first


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"apply_chat_template": True, "fewshot_as_multiturn": True}])
def test_the_harness_reports_and_logs_the_same_as_with_hf(folder: Path, options: dict[str, Any]) -> None:
    found, expected = (evaluate(model, folder, log_samples=True, **options) for model in ("hf-shared-prefix", "hf"))
    assert found["results"] == expected["results"]
    for ours, theirs in zip(*(run["samples"]["xling_atlas_fr_es"] for run in (found, expected)), strict=True):
        assert ours["arguments"] == theirs["arguments"]
        assert options == {} or "<assistant>" in str(ours["arguments"])
        mine, others = ours["filtered_resps"], theirs["filtered_resps"]
        assert_same_scores([float(answer[0]) for answer in mine], [float(answer[0]) for answer in others])
        assert [answer[1] for answer in mine] == [answer[1] for answer in others]


def assert_same(found: list[tuple[float, bool]], expected: list[tuple[float, bool]]) -> None:
    assert_same_scores([score for score, _ in found], [score for score, _ in expected])
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


class Killed(BaseException):
    """As Ctrl-C: nothing may catch it."""


def test_a_killed_evaluation_continues_from_the_request_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = str(tmp_path / "cache")
    requests = loglikelihood([pair for pair in pairs(documents=30) if len(pair[0] + pair[1]) < 250])
    model = decided_model("llama")
    backend = SharedPrefixLM(pretrained=model, tokenizer=tiny.tokenizer(), batch_size=1)
    passes = []
    handle = model.register_forward_pre_hook(lambda *_: passes.append(1))
    expected = backend.loglikelihood(requests)
    needed = len(passes)
    handle.remove()

    def dying(*_: object) -> None:
        passes.append(1)
        if len(passes) == needed // 2:
            raise Killed

    passes.clear()
    handle = model.register_forward_pre_hook(dying)
    with pytest.raises(Killed):
        CachingLM(backend, cache).loglikelihood(requests)
    handle.remove()

    passes.clear()
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    again = CachingLM(backend, cache)
    assert 0 < len(again.dbdict) < len({request.args for request in requests})
    found = again.loglikelihood(requests)
    assert_same(found, expected)
    assert len(passes) < needed


def test_generation_and_whole_texts_go_through_the_request_cache(tmp_path: Path) -> None:
    backend = SharedPrefixLM(pretrained=decided_model("llama"), tokenizer=tiny.tokenizer(), batch_size=2)
    cached = CachingLM(backend, str(tmp_path / "cache"))
    texts = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in ("some text", "another")]
    options = {"until": ["\n"], "max_gen_toks": 3}
    prompts = [Instance("generate_until", {}, (f"{'few shots ' * 9}{k}", options), k) for k in range(4)]
    first = cached.loglikelihood_rolling(texts), cached.generate_until(prompts)

    def failing(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model must not be asked again")

    backend.model.forward = failing
    assert (cached.loglikelihood_rolling(texts), cached.generate_until(prompts)) == first


@pytest.mark.slow
def test_two_machines_of_accelerate_launch_give_what_one_gives(folder: Path, tmp_path: Path) -> None:
    words = ["eval", "--model", "hf", "--model_args", f"pretrained={folder},dtype=float32", "--batch_size", "4"]
    words += ["--tasks", "xling_atlas_fr_es", "--num_fewshot", "2", "--limit", "7", "--log_samples"]
    found = []
    for name in ("two", "one"):
        given = [*words, "--output_path", str(tmp_path / name)]
        if name == "two":
            on_two_machines(given, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        else:
            subprocess.run([sys.executable, "-m", "lm_eval_xling", *given], check=True, capture_output=True)
        (results,) = (tmp_path / name).rglob("results_*.json")
        (samples,) = (tmp_path / name).rglob("samples_*.jsonl")
        rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
        found.append((json.loads(results.read_text())["results"], rows))
    (results, shared_out), (alone, rows) = found
    assert results == alone
    assert [row["doc_id"] for row in shared_out] == [row["doc_id"] for row in rows] == list(range(7))
    for ours, theirs in zip(shared_out, rows, strict=True):
        assert_same_scores(*([float(answer[0]) for answer in row["filtered_resps"]] for row in (ours, theirs)))
