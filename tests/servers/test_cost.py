"""What ``xling tasks --cost`` says before a run, against what the run then sends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from lm_eval_xling._cli import app
from lm_eval_xling.cost import named_tasks
from lm_eval_xling.errors import UserError
from tests.servers.answering import answering
from tests.servers.test_faults import as_before, run
from tests.test_chat_templates import CHATML

__all__ = ["as_before"]

GENERATE = json.dumps({"xling": {"form": "generate"}})


@pytest.fixture
def chat(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """Folder of a tokenizer with a chat template."""
    tokenizer = AutoTokenizer.from_pretrained(tiny("llama"))
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(tmp_path / "chat")
    return tmp_path / "chat"


def printed(*words: object) -> dict[str, list[int]]:
    """The numbers of every line of the table."""
    done = CliRunner().invoke(app, ["tasks", "--cost", *map(str, words)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output + repr(done.exception)
    lines = re.findall(r"^│ (\w+) +│(.*)│$", done.output, re.MULTILINE)
    return {name: [int(number.replace(",", "")) for number in numbers.split("│")] for name, numbers in lines}


@pytest.mark.slow
def test_answers_in_words_cost_what_a_server_is_then_asked(chat: Path, tmp_path: Path) -> None:
    told = printed(
        "xling_atlas_en_de", "--model", chat, "--metadata", GENERATE, "--limit", 4, "--apply-chat-template"
    )  # fmt: skip
    with answering("B") as server:
        run(server, tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(chat)
    asked = [
        tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
        for body in server.received
    ]
    most = sum(body["max_tokens"] for body in server.received)
    assert told == {"xling_atlas_en_de": [4, 4, sum(map(len, asked)), most]}


@pytest.mark.slow
def test_log_likelihoods_cost_what_is_then_compared(chat: Path, tmp_path: Path, capfd: Any) -> None:
    told = printed("xling_atlas_en_de,xling_atlas_mixup", "--model", chat, "--limit", 4)
    assert [a + b for a, b in zip(told["xling_atlas_en_de"], told["xling_atlas_mixup"], strict=True)] == told["all"]
    with answering("B") as server:
        samples = run(server, tmp_path / "run", model="dummy", form="cloze", turns=False)
    tokenizer = AutoTokenizer.from_pretrained(chat)
    sent = [arguments["arg_0"] + arguments["arg_1"] for s in samples for arguments in s["arguments"].values()]
    assert told["xling_atlas_en_de"] == [4, len(sent), sum(len(tokenizer(text)["input_ids"]) for text in sent), 0]


def test_tasks_are_named_as_for_a_run() -> None:
    assert named_tasks(["xling_atlas_en_d*", "xling_atlas_en_de"]) == ["xling_atlas_en_de"]
    assert len(named_tasks(["crosslingual_atlas"])) == len(named_tasks(["xling_atlas"])) == 27
    with pytest.raises(UserError, match="unknown task 'xling_atlas_en_dee'") as raised:
        named_tasks(["xling_atlas_en_dee"])
    assert "xling_atlas_en_de" in str(raised.value.fix)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cost", "xling_atlas_en_de"], "no model is named"),
        (["--cost", "xling_atlas_en_de", "--model", "no/such/folder"], "the tokenizer of 'no/such/folder'"),
        (["--show", "xling_atlas_en_de", "--apply-chat-template"], "no model is named"),
    ],
)
def test_one_message_for_a_mistake(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["tasks", *words])
    assert isinstance(done.exception, UserError) and said in done.exception.what


def test_a_prompt_is_shown_in_turns(chat: Path, tiny: Callable[[str], Path]) -> None:
    words = ["tasks", "--show", "xling_atlas_en_de", "--metadata", GENERATE, "--apply-chat-template", "--model"]
    shown = CliRunner().invoke(app, [*words, str(chat)]).output
    assert shown.startswith("<|im_start|>system\n")
    assert "<|im_end|>\n<|im_start|>assistant\n⟨the model goes on here⟩" in shown
    refused = CliRunner().invoke(app, [*words, str(tiny("llama"))]).exception
    assert isinstance(refused, UserError) and "no chat template" in refused.what
