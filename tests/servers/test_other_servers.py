"""vLLM and llama.cpp's server, each in an environment of its own (``make test-servers``), with the embedded models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.selection import SERVERS
from tests.servers.serving import gguf, llama_server, vllm_server
from tests.servers.test_real_server import TASKS, xling

pytestmark = [pytest.mark.servers, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(3600)]

SCORED = ("xling_atlas_fr_es", "xling_mmlu_en")
WORDS = '{"xling": {"form": "generate"}}'


@pytest.fixture(scope="module")
def environments() -> Path:
    return Path(os.environ[SERVERS]).resolve()


@pytest.fixture(scope="module")
def gemma_behind_vllm(
    environments: Path, gemma: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[object]]:
    """Words of the command line for Gemma-3-270M behind vLLM."""
    with vllm_server(environments / "vllm", gemma, tmp_path_factory.mktemp("vllm") / "log") as address:
        arguments = f"model={gemma},tokenizer_backend=huggingface,base_url={address}/v1/completions,add_bos_token=true"
        yield ["--model", "local-completions", "--model_args", f"{arguments},num_concurrent=4,timeout=1800"]


@pytest.fixture(scope="module")
def gemma_here(gemma: Path) -> list[object]:
    """Words of the command line for Gemma-3-270M in this process."""
    return ["--model", "hf", "--model_args", f"pretrained={gemma},dtype=float32", "--batch_size", 4]


def samples(folder: Path, task: str) -> list[dict[str, Any]]:
    (file,) = folder.rglob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("raw_data", ["written"], indirect=True)
def test_vllm_gives_the_log_likelihoods_of_hf(
    gemma_behind_vllm: list[object], gemma_here: list[object], full_mirror: dict[str, str], tmp_path: Path
) -> None:
    common = ["--tasks", ",".join(SCORED), "--limit", 20, "--num_fewshot", 2, "--log_samples", "--output_path"]
    xling("eval", *gemma_behind_vllm, *common, tmp_path / "vllm", **full_mirror)
    xling("eval", *gemma_here, *common, tmp_path / "here", **full_mirror)
    for task in SCORED:
        served, here = (
            [
                (float(value), told)
                for sample in samples(tmp_path / run, task)
                for value, told in sample["filtered_resps"]
            ]
            for run in ("vllm", "here")
        )
        assert len(served) == len(here) >= 16
        greatest = max(abs(one - other) for (one, _), (other, _) in zip(served, here, strict=True))
        print(f"{task}: {len(here)} log-likelihoods, greatest difference {greatest:.1e}")
        for (one, _), (other, _) in zip(served, here, strict=True):
            assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
        assert [told for _, told in served] == [told for _, told in here]


@pytest.mark.parametrize("raw_data", ["written"], indirect=True)
def test_vllm_answers_in_words_as_hf_does(
    gemma_behind_vllm: list[object], gemma_here: list[object], full_mirror: dict[str, str], tmp_path: Path
) -> None:
    task = "xling_sentiment_en"
    common = ["--tasks", task, "--limit", 20, "--log_samples", "--gen_kwargs", "max_gen_toks=16", "--output_path"]
    xling("eval", *gemma_behind_vllm, *common, tmp_path / "vllm", "--metadata", WORDS, **full_mirror)
    xling("eval", *gemma_here, *common, tmp_path / "here", "--metadata", WORDS, **full_mirror)
    xling("eval", *gemma_here, *common[:4], "--log_samples", "--output_path", tmp_path / "scored", **full_mirror)
    served, here, scored = (samples(tmp_path / run, task) for run in ("vllm", "here", "scored"))
    for run, what in ((served, "vLLM, generate"), (here, "hf, generate"), (scored, "hf, cloze")):
        print(f"{task}: {what}: {sum(sample['acc'] for sample in run):.0f} of {len(run)} right")
    pairs = zip(served, here, strict=True)
    same = sum(one["filtered_resps"] == other["filtered_resps"] for one, other in pairs)
    print(f"{task}: {same} of {len(here)} answers are the same text")
    # Where two tokens are as likely, rounding decides.
    assert same >= 0.9 * len(here) and sum(sample["answered"] for sample in served) > 0


@pytest.mark.parametrize("raw_data", ["written"], indirect=True)
def test_every_family_is_evaluated_behind_llama_cpp(
    environments: Path, full_mirror: dict[str, str], tmp_path: Path
) -> None:
    model = gguf("smollm2-135m-instruct", tmp_path)
    with llama_server(environments / "llama", model, tmp_path / "log") as address:
        xling(
            *("eval", "--model", "local-chat-completions", "--apply_chat_template", "--tasks", ",".join(TASKS)),
            *("--model_args", f"model={model.stem},base_url={address}/v1/chat/completions,timeout=1800"),
            *("--metadata", WORDS, "--limit", 5, "--log_samples", "--output_path", tmp_path / "run"),
            **full_mirror,
        )
    (file,) = (tmp_path / "run").rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    for task in TASKS:
        assert 0 <= results[task]["acc,none"] <= results[task]["answered,none"] <= 1
        said = [sample["filtered_resps"][0] for sample in samples(tmp_path / "run", task)]
        assert all(said) and not any("<|im_" in answer for answer in said)
        print(f"{task}: acc {results[task]['acc,none']:.2f}, answered {results[task]['answered,none']:.2f}: {said}")
    # After two demonstrations the model says a label alone.
    assert results["xling_sentiment_en"]["answered,none"] == 1
    xling("report", tmp_path / "run", "--out", tmp_path / "report")
    assert "127.0.0.1" not in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
