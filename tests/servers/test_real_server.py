"""A real chat model behind a real server: every family's answers in words, from the request to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.servers.serving import transformers_server

TASKS = (
    "xling_mmlu_en",
    "xling_mmlu_mixup",
    "xling_hp_en",
    "xling_sentiment_en",
    "xling_nli_en",
    "xling_atlas_en_de",
)
KEY = "sk-never-to-be-seen-0123456789"


@pytest.fixture(scope="module")
def served(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of ``transformers serve`` with SmolLM2-135M-Instruct."""
    with transformers_server(smollm2, tmp_path_factory.mktemp("served") / "log") as address:
        yield address


@contextmanager
def passing_on(address: str) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """A door in front of a server, and all that went through it: requests and answers."""
    asked: list[dict[str, Any]] = []
    answered: list[dict[str, Any]] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(json.loads(body))
            assert self.headers["Authorization"] == f"Bearer {KEY}"
            passed = requests.post(address + self.path, data=body, headers={"Content-Type": "application/json"})
            if passed.ok:
                answered.append(passed.json())
            self.send_response(passed.status_code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(passed.content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{door.server_address[1]}", asked, answered
    finally:
        door.shutdown()
        door.server_close()


def xling(*words: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval_xling", *map(str, words)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("raw_data", ["written"], indirect=True)
def test_every_family_is_evaluated_behind_a_chat_api(
    served: str, smollm2: Path, full_mirror: dict[str, str], tmp_path: Path
) -> None:
    with passing_on(served) as (address, asked, answered):
        xling(
            *("eval", "--model", "local-chat-completions", "--apply_chat_template", "--tasks", ",".join(TASKS)),
            *("--model_args", f"model={smollm2},base_url={address}/v1/chat/completions,max_retries=1"),
            *("--metadata", '{"xling": {"form": "generate"}}', "--limit", 3, "--gen_kwargs", "max_gen_toks=16"),
            *("--log_samples", "--output_path", tmp_path / "run"),
            **full_mirror,
            OPENAI_API_KEY=KEY,
        )
    said = {answer["choices"][0]["message"]["content"] for answer in answered}
    (file,) = (tmp_path / "run").rglob("results_*.json")
    written = json.loads(file.read_text(encoding="utf-8"))
    results = written["results"]
    assert set(results) == set(TASKS)
    documents = 0
    for task in TASKS:
        assert 0 <= results[task]["acc,none"] <= results[task]["answered,none"] <= 1
        (samples,) = (tmp_path / "run").rglob(f"samples_{task}_*.jsonl")
        for line in samples.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            assert sample["filtered_resps"][0] in said
            # What the page shows and pairs is what the server was sent.
            turns = json.loads(sample["arguments"]["gen_args_0"]["arg_0"][0])
            assert turns in [body["messages"] for body in asked]
            roles = [turn["role"] for turn in turns if turn["role"] != "system"]
            # A demonstration is a turn and its answer.
            assert roles == ["user", "assistant"] * written["n-shot"][task] + ["user"]
            assert sample["doc"]["prompt"] in turns[-1]["content"]
            documents += 1
    assert len(asked) == len(answered) == documents
    xling("report", tmp_path / "run", "--out", tmp_path / "report")
    port = address.rpartition(":")[2]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert f"127.0.0.1:{port}" not in text and "base_url" not in text and KEY not in text, path
    assert (tmp_path / "report" / "report.html").is_file()
