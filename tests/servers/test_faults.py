"""A chat server that fails: the harness's tries, one message, nothing lost, no address or key in what is written."""

from __future__ import annotations

import functools
import gc
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.tasks import TaskManager
from tenacity import nap
from tokenizers import processors
from transformers import AutoTokenizer

from lm_eval_xling._cli.eval import evaluate
from lm_eval_xling.errors import UserError
from lm_eval_xling.report import write_report
from tests.servers.answering import NO_ANSWERS, Answering, answering

KEY = "sk-never-to-be-seen-0123456789"
TASK = "xling_atlas_en_de"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command changes the process that it runs in; and neither all tasks nor the pauses between tries matter."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr(nap.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    handlers = logging.root.handlers[:], logging.root.level
    yield
    logging.getLogger("asyncio").setLevel(logging.NOTSET)
    logging.root.handlers[:], logging.root.level = handlers


def run(
    server: Answering,
    output: Path,
    *words: str,
    arguments: str = "",
    model: str = "local-chat-completions",
    form: str = "generate",
    task: str = TASK,
    turns: bool = True,
) -> Any:
    """Evaluate four documents and return their samples."""
    evaluate(
        SimpleNamespace(  # type: ignore[arg-type]
            args=[
                *("--model", model, "--model_args", f"model=some-chat,base_url={server.address}{arguments}"),
                *(["--apply_chat_template"] if turns else []),
                *("--tasks", task, "--metadata", json.dumps({"xling": {"form": form}})),
                *("--limit", "4", "--output_path", str(output), "--log_samples", *words),
            ]
        )
    )
    (file,) = output.rglob("samples_*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_what_is_sent_and_what_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), answering("B") as server:
        samples = run(server, tmp_path / "run", arguments=f",auth_token={KEY},max_retries=2,think_end_token=</think>")
    assert [sample["filtered_resps"] for sample in samples] == [["B"]] * 4
    assert server.keys == [f"Bearer {KEY}"] * 4
    for body in server.received:
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["stop"] and body["temperature"] == 0 and body["max_tokens"] == 256
        asked = body["messages"][1]["content"]
        assert asked == asked.strip() and "A." in asked and "Continent:" not in asked.splitlines()[-1]
    write_report(tmp_path / "run", tmp_path / "report")
    (results,) = (tmp_path / "run").rglob("results_*.json")
    told = json.loads(results.read_text())
    assert told["config"]["model_args"] == {"model": "some-chat", "max_retries": 2, "think_end_token": "</think>"}
    address = f"127.0.0.1:{server.server_address[1]}"
    for file in tmp_path.rglob("*"):
        if file.is_file():
            said = file.read_text(encoding="utf-8", errors="replace")
            assert address not in said and KEY not in said, file
    # The library that opens the connections logs where to, at the level for debugging.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert KEY not in caplog.text and address not in "".join(logged)


@pytest.mark.slow
@pytest.mark.parametrize("concurrent", ["", ",num_concurrent=2"])
@pytest.mark.parametrize("fault", [429, 500, "hang up", "cut off", *NO_ANSWERS])
def test_a_fault_that_passes_costs_nothing(tmp_path: Path, fault: Any, concurrent: str) -> None:
    with answering("A", fault, "A") as server:
        samples = run(server, tmp_path, arguments=concurrent)
    assert [sample["filtered_resps"] for sample in samples] == [["A"]] * 4
    assert len(server.received) == 5


@pytest.mark.slow
@pytest.mark.parametrize("concurrent", ["", ",num_concurrent=2"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (429, "status 429"),
        (500, "status 500"),
        ("hang up", "closed the connection"),
        ("cut off", "cut off"),
        ("an error", "hold no answer"),
        ("no choices", "hold no answer"),
        ("no JSON", "no JSON"),
    ],
)
def test_a_fault_that_stays_is_one_message_and_nothing_is_lost(
    tmp_path: Path, fault: Any, said: str, concurrent: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ["--use_cache", str(tmp_path / "answers")]
    with answering("A", "A", fault) as server:
        port = server.server_address[1]
        with pytest.raises(UserError) as raised:
            run(server, tmp_path / "first", *cache, arguments=concurrent)
    gc.collect()  # asyncio logs a failure that nobody read when its task goes.
    assert "never retrieved" not in caplog.text
    assert said in raised.value.what and "the answers so far are kept" in str(raised.value)
    assert str(port) not in str(raised.value) and KEY not in str(raised.value)
    with answering("A", port=port) as server:
        samples = run(server, tmp_path / "second", *cache, arguments=concurrent)
    assert [sample["filtered_resps"] for sample in samples] == [["A"]] * 4
    assert len(server.received) == 2


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with answering("A") as server:
        pass
    with pytest.raises(UserError, match="cannot be reached") as raised:
        run(server, tmp_path)
    assert "--use_cache FILE" in str(raised.value.fix)


@pytest.mark.parametrize(("status", "fix"), [(401, "OPENAI_API_KEY"), (404, "base_url")])
def test_a_fault_that_stays_for_good_is_told_with_its_mending(tmp_path: Path, status: int, fix: str) -> None:
    with answering(status) as server, pytest.raises(UserError, match=f"status {status}") as raised:
        run(server, tmp_path)
    assert fix in str(raised.value.fix)


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["empty", "null"])
def test_an_answer_of_nothing_is_wrong_and_unanswered(tmp_path: Path, answer: str) -> None:
    with answering(answer) as server:
        samples = run(server, tmp_path)
    assert [(sample["acc"], sample["answered"]) for sample in samples] == [(0.0, 0.0)] * 4
    assert len(server.received) == 4


def test_an_answer_without_an_index_is_read(tmp_path: Path) -> None:
    with answering("without an index") as server:
        samples = run(server, tmp_path)
    assert [sample["filtered_resps"] for sample in samples] == [["A"]] * 4


@pytest.mark.slow
@pytest.mark.parametrize("concurrent", ["", ",num_concurrent=2"])
def test_an_error_in_place_of_log_likelihoods_is_not_taken_for_a_server_without_them(
    tmp_path: Path, tiny: Callable[[str], Path], concurrent: str
) -> None:
    arguments = f",tokenizer={tiny('llama')},tokenizer_backend=huggingface{concurrent}"
    with answering("an error") as server, pytest.raises(UserError, match="hold no answer"):
        run(server, tmp_path, form="cloze", turns=False, model="local-completions", arguments=arguments)


def test_log_likelihoods_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with answering("A") as server, pytest.raises(UserError, match="no log-likelihoods") as raised:
        run(server, tmp_path, form="cloze")
    assert '"form": "generate"' in str(raised.value.fix) and not server.received


def test_tasks_of_others_that_need_log_likelihoods_are_one_message_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "two and two", "options": ["four", "five"], "a": 0}\n' * 3)
    (tmp_path / "own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: '{rows}'}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: options\ndoc_to_target: a\n"
    )
    with answering("A") as server, pytest.raises(UserError, match="no log-likelihoods"):
        run(server, tmp_path / "run", "--include_path", str(tmp_path), task="own")


def test_a_chat_server_needs_turns_and_a_commercial_one_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: str, *words: str) -> UserError:
        with pytest.raises(UserError) as raised:
            evaluate(SimpleNamespace(args=["--model", model, "--model_args", "model=m", "--tasks", TASK, *words]))  # type: ignore[arg-type]
        return raised.value

    assert refused("local-chat-completions").fix == "add --apply_chat_template"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "key is missing" in refused("openai-chat-completions", "--apply_chat_template").what


def test_a_token_that_the_tokenizer_begins_with_is_sent_or_missed(
    tmp_path: Path, tiny: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    begin = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)])
    tokenizer.backend_tokenizer.post_processor = begin
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    for more, is_sent in (("", False), (",add_bos_token=true", True)):
        arguments = f",tokenizer={tmp_path / 'tokenizer'},tokenizer_backend=huggingface{more}"
        caplog.clear()
        with answering("A") as server, pytest.raises(UserError):
            run(server, tmp_path, form="cloze", turns=False, model="local-completions", arguments=arguments)
        assert {body["prompt"][0][0] == tokenizer.bos_token_id for body in server.received} == {is_sent}
        assert ("add add_bos_token=true" in caplog.text) != is_sent


def test_a_completions_server_without_log_likelihoods(tmp_path: Path, tiny: Callable[[str], Path]) -> None:
    with answering("A") as server, pytest.raises(UserError, match="no log-likelihoods of the prompt"):
        run(
            server, tmp_path, form="cloze", turns=False,
            model="local-completions", arguments=f",tokenizer={tiny('llama')},tokenizer_backend=huggingface",
        )  # fmt: skip
