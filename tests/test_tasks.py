"""Every leaf: its YAML loads, the harness finds it, evaluates it once, and its numbers are the model's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES
from lm_eval_xling.harness import requests, task_names, tasks_folder
from lm_eval_xling.leaf_task import LeafTask
from lm_eval_xling.records import Document
from tests.generated import stale

LEAVES = {family.task(leaf) for family in FAMILIES.values() for leaf in family.leaves}
# Nothing that the test sees depends on whose rows they are.
WRITTEN = pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
YAMLS = sorted(tasks_folder().rglob("*.yaml"))


def evaluate(tmp_path: Path, *arguments: str, environment: dict[str, str]) -> dict:
    result = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--include_path", str(tasks_folder()),
         "--output_path", str(tmp_path / "out"), *arguments],
        capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    return json.loads(results.read_text())


@pytest.mark.slow
def test_generated_files_are_fresh() -> None:
    assert stale() == []


def test_there_are_at_most_700_yaml_files() -> None:
    assert 0 < len(YAMLS) <= 700


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_yaml_loads_by_its_path(path: Path) -> None:
    # The harness's index drops a broken file without a word; loading by path raises.
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(path, resolve_func=True)
    assert config.get("task") == path.stem or config.get("group") == path.stem
    if "group" not in config:
        assert config["class"] is LeafTask
        assert config["dataset_kwargs"]["family"] == path.parent.name
        assert config["tag"] == f"xling_{path.parent.name}"


def test_the_harness_registers_every_file() -> None:
    registered = set(task_names()) | set(task_names("all_groups"))
    assert registered == {path.stem for path in YAMLS}
    assert set(task_names()) == LEAVES


def test_no_group_matches_the_pattern_of_the_leaves() -> None:
    assert not [name for name in task_names("all_groups") if name.startswith("xling_")]
    assert set(task_names("all_tags")) == {f"xling_{family}" for family in FAMILIES}


def test_groups_hold_every_leaf_of_their_family_once() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    def members(config: dict) -> list[str]:
        return [
            name for member in config["task"] for name in ([member] if isinstance(member, str) else members(member))
        ]

    held: list[str] = []
    for family in FAMILIES:
        held += members(load_yaml(tasks_folder() / family / f"crosslingual_{family}.yaml", resolve_func=False))
    assert len(held) == len(set(held))
    # The parametric pair and the letter form are no cells of the matrix.
    # What belongs to no average of one matrix.
    alone = {"xling_atlas_pair", "xling_atlas_mixup"}
    alone |= {"xling_ledger_taught_pair", "xling_ledger_never_pair", "xling_ledger_taught_mixup"}
    assert LEAVES - set(held) <= alone


def test_registering_adds_at_most_half_a_second() -> None:
    from lm_eval.tasks._index import TaskIndex

    def seconds() -> float:
        start = time.process_time()
        TaskIndex.build([tasks_folder()])
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.slow
@WRITTEN
def test_the_pattern_takes_every_leaf_exactly_once(tmp_path: Path, full_mirror: dict[str, str]) -> None:
    results = evaluate(
        tmp_path, "--model", "dummy", "--tasks", "xling_*", "--limit", "2", "--log_samples", environment=full_mirror
    )
    assert set(results["results"]) == LEAVES
    logged = sorted(path.name for path in (tmp_path / "out").rglob("samples_*.jsonl"))
    assert len(logged) == len(LEAVES)
    assert {count["effective"] for count in results["n-samples"].values()} <= {1, 2}
    for path in (tmp_path / "out").rglob("samples_*.jsonl"):
        documents = [json.loads(line)["doc"] for line in path.read_text(encoding="utf-8").splitlines()]
        for document in documents:
            assert {"question", "answer"} <= set(document["condition"]["languages"])
            assert Document.from_row(document).family == document["family"]


@pytest.mark.slow
@WRITTEN
def test_groups_aggregate(tmp_path: Path, full_mirror: dict[str, str]) -> None:
    results = evaluate(
        tmp_path, "--model", "dummy", "--tasks", "crosslingual_atlas", "--limit", "2", environment=full_mirror
    )
    groups = results["groups"]
    assert {"acc,none", "acc_bytes,none"} <= set(groups["crosslingual_atlas::same_language"])
    cells = [results["results"][f"xling_atlas_{q}_{q}"]["acc,none"] for q in ("en", "fr", "de", "es", "it")]
    assert groups["crosslingual_atlas::same_language"]["acc,none"] == pytest.approx(sum(cells) / 5)


DEMONSTRATED = {
    "xling_atlas_fr_es",
    "xling_ledger_taught_fr_es",
    "xling_math_mgsm_native_de",
    "xling_mmlu_mixup",
    "xling_nli_sw",
    "xling_paraphrase_zh",
    "xling_sentiment_hi",
    "xling_translation_en_fr",
}
NOT_DEMONSTRATED = {"xling_hp_en", "xling_qa_belebele_full_en", "xling_qa_xquad_en_de", "xling_tofu_forget01_fr_en"}


@pytest.mark.slow
def test_the_number_of_demonstrations_reaches_the_prompt(
    full_mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the harness itself, which never overrides a 0 in the YAML: only tasks without demonstrations say 0."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    for name, value in full_mirror.items():
        monkeypatch.setenv(name, value)
    tasks = sorted(DEMONSTRATED | NOT_DEMONSTRATED)
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    prompts: dict[int, dict[str, str]] = {}
    for shots in (0, 2):
        results = simple_evaluate(
            model="dummy", tasks=tasks, num_fewshot=shots, limit=1, task_manager=manager, log_samples=True
        )
        assert results is not None
        prompts[shots] = {task: results["samples"][task][0]["arguments"][0][0] for task in tasks}
        assert prompts[shots] == {task: requests(task, rows=[0], num_fewshot=shots)[0].context for task in tasks}
    longer = {task for task in tasks if len(prompts[2][task]) > len(prompts[0][task])}
    assert longer == DEMONSTRATED
    assert {task.split("_")[1] for task in tasks} == set(FAMILIES)
    assert all(prompts[2][task].endswith(prompts[0][task].rsplit("\n\n", 1)[-1]) for task in tasks)


def test_a_missing_dataset_names_the_command_and_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lm_eval_xling import catalog

    monkeypatch.setenv("XLING_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="xling data"):
        catalog.load_rows("mmlu", "de", "test")
    with pytest.raises(UserError, match="nowhere"):
        requests("xling_mmlu_en", rows=[0])


@pytest.mark.real
@WRITTEN
@pytest.mark.parametrize("task", ["xling_atlas_fr_es", "xling_atlas_mixup", "xling_mmlu_mixup"])
def test_the_harness_scores_what_the_model_says(
    task: str, gemma: Path, full_mirror: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log-likelihoods that the harness logs for five rows, against ones computed directly with transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name, value in full_mirror.items():
        monkeypatch.setenv(name, value)
    shots = "0"
    evaluate(
        tmp_path, "--model", "hf", "--model_args", f"pretrained={gemma},dtype=float32", "--tasks", task, "--limit", "5",
        "--num_fewshot", shots, "--log_samples", "--batch_size", "4", environment=full_mirror,
    )  # fmt: skip
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    logged = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    model = AutoModelForCausalLM.from_pretrained(gemma, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(gemma)
    prompts = requests(task, rows=range(5), num_fewshot=int(shots))
    assert [sample["doc"]["id"] for sample in logged] == [prompt.document.id for prompt in prompts]
    for sample, prompt in zip(logged, prompts, strict=True):
        for response, continuation in zip(sample["filtered_resps"], prompt.continuations, strict=True):
            start = len(tokenizer(prompt.context)["input_ids"])
            ids = torch.tensor([tokenizer(prompt.context + continuation)["input_ids"]])
            with torch.inference_mode():
                log_probabilities = model(ids).logits[0, :-1].log_softmax(-1)
            expected = log_probabilities[range(start - 1, ids.shape[1] - 1), ids[0, start:]].sum().item()
            assert float(response[0]) == pytest.approx(expected, abs=1e-3)
