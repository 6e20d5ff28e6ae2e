from __future__ import annotations

import pytest

from lm_eval_xling._cli.eval import _with_backend


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--model", "hf", "--tasks", "t"], ["--model", "hf-shared-prefix", "--tasks", "t"]),
        (["--model=hf"], ["--model=hf-shared-prefix"]),
        (["-M", "huggingface"], ["-M", "hf-shared-prefix"]),
        (["--model", "vllm"], ["--model", "vllm"]),
        (["--tasks", "t"], ["--tasks", "t", "--model", "hf-shared-prefix"]),
        (["--config", "run.yaml"], ["--config", "run.yaml"]),
    ],
)
def test_hf_means_the_shared_prefix_backend(given: list[str], passed: list[str]) -> None:
    assert _with_backend(given) == passed
