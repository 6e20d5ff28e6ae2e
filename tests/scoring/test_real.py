"""The same numbers as ``hf`` on real models, over rows of four families.

``XLING_EQUIVALENCE_ROWS=50`` compares 200 rows; the default is what the suite has time for.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from lm_eval_xling.harness import requests as task_requests
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests.scoring.prompts import loglikelihood

ROWS = int(os.environ.get("XLING_EQUIVALENCE_ROWS", "4"))
TASKS = ("xling_atlas_fr_es", "xling_nli_de", "xling_mmlu_question_fr", "xling_sentiment_sw")


@pytest.fixture(params=["gemma", "smollm2"])
def real_model(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder


def backends(folder: Path) -> tuple[HFLM, SharedPrefixLM]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    reference, backend = (kind(pretrained=model, batch_size=4) for kind in (HFLM, SharedPrefixLM))
    assert backend.fallback_reason is None
    return reference, backend


@pytest.mark.real
def test_same_log_likelihoods_on_rows_of_four_families(
    real_model: Path, real_mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLING_DATA", str(real_mirror))
    reference, backend = backends(real_model)
    made = [request for task in TASKS for request in task_requests(task, limit=ROWS, num_fewshot=0)]
    made += task_requests("xling_atlas_fr_es", limit=2 * ROWS, num_fewshot=8)
    requests = loglikelihood([(request.context, text) for request in made for text in request.continuations])
    expected = reference.loglikelihood(requests, disable_tqdm=True)
    found = backend.loglikelihood(requests, disable_tqdm=True)
    differences = [abs(ours - theirs) for (ours, _), (theirs, _) in zip(found, expected, strict=True)]
    print(f"{len(made)} rows, {len(requests)} requests: greatest difference {max(differences):.2g}")
    assert max(differences) < 1e-4
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


@pytest.mark.real
def test_same_texts_from_a_shared_prompt(real_model: Path) -> None:
    reference, backend = backends(real_model)
    shots = "".join(f"Country: {a}\nCapital: {b}\n" for a, b in (("France", "Paris"), ("Italy", "Rome"))) * 8
    options = {"until": ["\n"], "max_gen_toks": 8}
    requests = [
        Instance("generate_until", {}, (f"{shots}Country: {country}\nCapital:", options), index)
        for index, country in enumerate(("Spain", "Germany", "the Netherlands", "Peru", "Japan"))
    ]
    assert backend.generate_until(requests) == reference.generate_until(requests)
    assert not backend._generation_off
