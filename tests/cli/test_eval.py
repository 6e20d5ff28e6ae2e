"""``xling eval``: what it passes to the harness, and one message for every mistake."""

from __future__ import annotations

import functools
import importlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lm_eval.tasks
import pytest
import torch
from lm_eval.caching import cache
from lm_eval.tasks import TaskManager
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lm_eval_xling._cli.eval import _parse, evaluate
from lm_eval_xling.catalog import Lacking
from lm_eval_xling.errors import UserError
from lm_eval_xling.evaluating.arguments import check_tasks, complete, runs
from lm_eval_xling.evaluating.task_index import task_index, without
from lm_eval_xling.families.available import matching
from lm_eval_xling.families.own_data import own_family
from lm_eval_xling.families.own_tasks import write_tasks
from lm_eval_xling.harness import tasks_folder

TASK = "xling_atlas_fr_es"


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command changes the process that it runs in; and reading all tasks of the harness takes long."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", functools.partial(TaskManager, include_defaults=False))
    monkeypatch.setattr(cache, "PATH", str(tmp_path / "requests"))
    monkeypatch.setattr(sys, "argv", sys.argv)
    handlers = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers


def completed(*words: str) -> Any:
    arguments = _parse(list(words))
    complete(arguments)
    return arguments


def run(*words: str) -> None:
    evaluate(SimpleNamespace(args=list(words)))  # type: ignore[arg-type]


@pytest.fixture
def model(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny("llama"), tmp_path / "MODEL"))


@pytest.fixture
def adapter(model: Path, tmp_path: Path) -> Path:
    plain = AutoModelForCausalLM.from_pretrained(model)
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.mul_(20)
    adapted.save_pretrained(tmp_path / "ADAPTER")
    return tmp_path / "ADAPTER"


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--model", "hf"], "hf-shared-prefix"),
        (["--model=hf"], "hf-shared-prefix"),
        (["-M", "huggingface"], "hf-shared-prefix"),
        (["--model", "vllm"], "vllm"),
        ([], "hf-shared-prefix"),
    ],
)
def test_hf_means_the_shared_prefix_backend(given: list[str], passed: str, model: Path) -> None:
    assert completed(*given, "--model_args", f"pretrained={model}", "--tasks", TASK).model == passed


def test_a_configuration_file_says_what_the_command_line_does_not(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    file = tmp_path / "run.yaml"
    file.write_text(
        f"model: hf\nmodel_args: pretrained={model},dtype=float32\ntasks: [{TASK}]\ninclude_path: {own}\nuse_cache: c\n"
        "metadata: {xling: {attributes: [capital]}}\n"
    )
    arguments = completed("--config", str(file))
    assert arguments.model == "hf-shared-prefix"
    assert arguments.model_args == {"pretrained": str(model), "dtype": "float32"}
    assert arguments.include_path[0] == str(own)
    assert list(arguments.tasks) == [TASK] and arguments.metadata == {"xling": {"attributes": ["capital"]}}
    (only,) = runs(arguments)
    assert only.use_cache.startswith("c-")
    assert completed("--config", str(file), "--model", "dummy").model == "dummy"


def test_folders_of_tasks_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "two and two", "options": ["four", "five"], "a": 0}\n' * 3)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.yaml").write_text(
            f"task: own_{name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: '{rows}'}}}}\n"
            "test_split: test\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: options\ndoc_to_target: a\n"
        )
    folders = ["--include_path", str(tmp_path / "first"), f"--include_path={tmp_path / 'second'}"]
    run("--model", "dummy", "--tasks", f"own_first,own_second,{TASK}", "--limit", "2", *folders)
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("own_first", "own_second", TASK))


@pytest.mark.parametrize(
    ("tasks", "alone"),
    [
        (TASK, True),
        ("xling_*", True),
        (f"crosslingual_atlas,{TASK}", True),
        (f"{TASK},arc_easy", False),
        ("*_de", False),
        # Nothing of ours, whatever it is.
        ("xling_mine", False),
    ],
)
def test_the_harness_reads_our_files_alone_where_nothing_else_can_be_meant(
    tasks: str, alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def options(*words: str) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        monkeypatch.setattr("lm_eval.tasks.TaskManager", lambda **options: asked.update(options))
        arguments = completed("--model", "dummy", "--tasks", tasks, *words)
        with task_index(arguments):
            lm_eval.tasks.TaskManager(include_path=arguments.include_path)
        if tasks == "xling_*" and not words:
            # Each once, by its own name and not by its family's tag, in the harness's order.
            assert arguments.tasks == sorted(matching(["*"])) and "xling_atlas" not in arguments.tasks
        elif "*" not in tasks:
            assert arguments.tasks == tasks.split(",")
        lm_eval.tasks.TaskManager(after="as before")
        assert asked.pop("after") == "as before"
        return asked

    ours = str(tasks_folder())
    assert options() == {"include_path": [ours], **({"include_defaults": False} if alone else {})}
    # A group of the user's may name tasks of the harness.
    assert options("--include_path", str(tmp_path)) == {"include_path": [str(tmp_path), ours]}
    # A wheel's tasks stand among the harness's own.
    monkeypatch.setattr("lm_eval_xling.harness.folder_to_include", lambda: None)
    monkeypatch.setattr("lm_eval_xling.evaluating.task_index.folder_to_include", lambda: None)
    assert options() == ({"include_path": [ours], "include_defaults": False} if alone else {"include_path": []})


def test_the_harness_knows_its_own_tasks_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval, "evaluator", None, raising=False)
    monkeypatch.delitem(sys.modules, "lm_eval.evaluator", raising=False)
    with task_index(completed("--model", "dummy", "--tasks", TASK)):
        evaluator = importlib.import_module("lm_eval.evaluator")
    assert evaluator.TaskManager is lm_eval.tasks.TaskManager


def test_a_translator_is_tried_where_the_data_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the model is loaded, and not for leaves that are left out."""
    tried: list[str] = []
    available = "lm_eval_xling.families.available.missing_data"
    monkeypatch.setattr(available, lambda family, leaf, parameters: ["rows"] if leaf.name == "de" else [])
    monkeypatch.setattr("lm_eval_xling.leaf_dataset.leaf_dataset", lambda family, leaf, *rest: tried.append(leaf))
    given = '{"xling": {"switched": 30, "translator": "lexicon:words.tsv"}}'
    words = ("--model", "dummy", "--tasks", "xling_nli_de,xling_nli_fr", "--metadata", given, "--skip-missing")
    arguments = completed(*words)
    check_tasks(arguments)
    assert tried == ["fr"] and arguments.tasks == ["xling_nli_fr"]


@pytest.fixture
def own_tasks(tmp_path: Path) -> Path:
    """A folder of tasks of own data, called things."""
    for language in ("en", "de"):
        rows = [{"q": f"{language} {n}?", "options": [f"{language} {n}", "x"], "a": "A"} for n in range(2)]
        (tmp_path / f"{language}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    description = tmp_path / "things.yaml"
    description.write_text(
        "{name: things, languages: [en, de], rows: '{language}.jsonl', "
        "columns: {question: q, options: options, answer: a}}"
    )
    write_tasks(description, own_family(description), tmp_path / "own_tasks")
    return tmp_path / "own_tasks"


@pytest.mark.parametrize(
    ("tasks", "left"),
    [
        ("xling_*_question_de", ["xling_things_*question_de", "xling_mmlu_*question_de", "xling_qa_*question_de"]),
        ("xling_hp_question_de,xling_things_question_de", ["xling_things_question_de"]),
        ("crosslingual_hp,crosslingual_things", ["crosslingual_things"]),
        ("crosslingual_*", ["crosslingual_things", "xling_*"]),
        # What lacks nothing stays as it is written.
        ("xling_hp_question_de,xling_atlas_*,nobody's", ["xling_atlas_[*]", "nobody's"]),
    ],
)
def test_what_is_not_missing_is_not_left_out(
    tasks: str, left: list[str], own_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    available = "lm_eval_xling.families.available.missing_data"
    monkeypatch.setattr(available, lambda family, leaf, parameters: ["rows"] if family.name == "hp" else [])
    arguments = completed("--model", "dummy", "--tasks", tasks, "--include_path", str(own_tasks), "--skip-missing")
    check_tasks(arguments)
    assert all(any(fnmatchcase(task, one) for one in left) for task in arguments.tasks)
    assert all(any(fnmatchcase(task, one) for task in arguments.tasks) for one in left)
    assert not {*matching(["xling_hp"]), "xling_hp", "crosslingual_hp"} & set(arguments.tasks)
    assert "xling_hp_question_de" in arguments.metadata["left_out"]
    assert len(set(arguments.tasks)) == len(arguments.tasks)


def test_a_pattern_may_mean_tasks_of_the_harness_where_data_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def manager(folders: Sequence[str] = (), *, include_defaults: bool) -> Any:
        return SimpleNamespace(all_tasks=["xling_hp_de", *folders, *(["harness_de"] if include_defaults else [])])

    monkeypatch.setattr("lm_eval_xling.evaluating.task_index.task_manager", manager)
    left = without({"xling_hp_question_de"}, ["*_question_de", "*_de", "xling_*_de"], ["mine_de", "other"])
    assert "xling_hp_question_de" not in left and "other" not in left
    assert {"harness_de", "mine_de", "xling_mmlu_question_de"} <= set(left)
    assert without({"xling_hp_en"}, ["xling_hp_e[n]"], ["xling_hp_en_mine"]) == []


def test_nothing_left_is_an_error_that_names_what_is_missing(own_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = [Lacking("hp", "test", "en", "it is not here")]
    monkeypatch.setattr("lm_eval_xling.families.available.missing_data", lambda *rest: lacking)
    words = ("--model", "dummy", "--include_path", str(own_tasks), "--skip-missing", "--tasks")
    with pytest.raises(UserError, match="1 of the tasks lack data: xling_hp_en"):
        check_tasks(completed(*words, "xling_hp_en"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ('{"seed": 1}', "'seed' in the metadata would change nothing of xling_things_"),
        ('{"xling": {"sed": 1}}', "unknown parameter 'sed'"),
    ],
)
@pytest.mark.parametrize("tasks", ["xling_things_onewrong_de", "crosslingual_things", "xling_thing[s]"])
def test_parameters_of_own_data_are_checked_before_the_model_is_loaded(
    tasks: str, metadata: str, message: str, own_tasks: Path
) -> None:
    words = ("--model", "dummy", "--include_path", str(own_tasks), "--metadata", metadata, "--tasks", tasks)
    with pytest.raises(UserError, match=message):
        check_tasks(completed(*words))


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--device", "cuda"], ["--device", "cuda:1"]])
def test_a_device_that_is_missing_is_replaced_in_one_sentence(
    words: list[str], model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        run("--model", "hf", "--model_args", f"pretrained={model}", "--tasks", TASK, "--limit", "1", *words)
    said = [record.getMessage() for record in caplog.records if "this torch sees none" in record.getMessage()]
    assert len(said) == bool(words)


def test_embedded_models_have_their_names(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lm_eval_xling.models.model_folder", lambda name, say: model)
    monkeypatch.chdir(tmp_path)
    found = completed("--tasks", TASK, "--model_args", "pretrained=gemma-3-270m,tokenizer=gemma-3-270m").model_args
    assert found == {"pretrained": str(model), "tokenizer": str(model)}


def scores(output: Path) -> dict[str, Any]:
    (found,) = output.rglob("samples_*.jsonl")
    lines = found.read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["doc"]["id"]: json.loads(line)["filtered_resps"] for line in lines}


@pytest.mark.slow
def test_an_adapter_is_not_given_the_answers_of_its_base(model: Path, adapter: Path, tmp_path: Path) -> None:
    def answers(name: str, arguments: str, cache: str | None = "answers") -> dict[str, Any]:
        cached = [] if cache is None else ["--use_cache", str(tmp_path / cache)]
        run(
            *("--model", "hf", "--model_args", arguments, "--tasks", TASK, "--limit", "4", "--log_samples"),
            *("--output_path", str(tmp_path / name), "--device", "cpu", *cached),
        )
        return scores(tmp_path / name)

    base = f"pretrained={model},dtype=float32"
    of_base = answers("base", base)
    of_adapter = answers("adapter", f"{base},peft={adapter}")
    assert of_adapter != of_base
    assert of_adapter == answers("alone", f"{base},peft={adapter}", None)
    weights = {name: weight * 2 for name, weight in load_file(adapter / "adapter_model.safetensors").items()}
    save_file(weights, adapter / "adapter_model.safetensors")
    assert answers("trained further", f"{base},peft={adapter}") != of_adapter
    files = len(list(tmp_path.glob("answers-*_rank0.db")))
    assert answers("base again", base) == of_base
    assert len(list(tmp_path.glob("answers-*_rank0.db"))) == files == 3


def no_configuration(model: Path, adapter: Path) -> str:
    (adapter / "adapter_config.json").unlink()
    return f"pretrained={model},peft={adapter}"


def truncated(model: Path, adapter: Path) -> str:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    return f"pretrained={model}"


def truncated_adapter(model: Path, adapter: Path) -> str:
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return f"pretrained={model},peft={adapter}"


def no_tokenizer(model: Path, adapter: Path) -> str:
    for file in model.glob("*token*"):
        file.unlink()
    return f"pretrained={model}"


def no_weights(model: Path, adapter: Path) -> str:
    (model / "model.safetensors").unlink()
    return f"pretrained={model}"


def broken_configuration(model: Path, adapter: Path) -> str:
    (model / "config.json").write_text("{")
    return f"pretrained={model}"


def broken_tokenizer(model: Path, adapter: Path) -> str:
    (model / "tokenizer.json").write_text("{}")
    return f"pretrained={model}"


def another_architecture(model: Path, adapter: Path) -> str:
    configuration = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**configuration, "model_type": "nothing_known"}))
    return f"pretrained={model}"


def adapter_of_another_model(model: Path, adapter: Path) -> str:
    configuration = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**configuration, "target_modules": ["nowhere"]}))
    return f"pretrained={model},peft={adapter}"


def adapter_of_another_size(model: Path, adapter: Path) -> str:
    file = adapter / "adapter_model.safetensors"
    save_file({name: weight.repeat(2, 2) for name, weight in load_file(file).items()}, file)
    return f"pretrained={model},peft={adapter}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "message", "fix"),
    [
        (no_configuration, "adapter_config.json is missing", "name the folder"),
        (truncated, "the weights are damaged or cut off", "again"),
        (truncated_adapter, "the weights are damaged or cut off", "again"),
        (no_tokenizer, "the model has no tokenizer", "tokenizer=FOLDER"),
        (no_weights, "the model has no weights", "again"),
        (broken_configuration, "config.json cannot be read", "again"),
        (broken_tokenizer, "the model could not be loaded", "check"),
        (another_architecture, "the model could not be loaded", "check"),
        (adapter_of_another_model, "the adapter could not be loaded: Target modules", "xling doctor --adapter"),
        (adapter_of_another_size, "size mismatch for base_model.model", "xling doctor --adapter"),
        (lambda model, adapter: f"pretrained={adapter}", "names an adapter, not a model", "pretrained=BASE,peft="),
        (lambda model, adapter: f"pretrained={model}-x", "names a folder that does not exist", "check the path"),
        (lambda model, adapter: f"pretrained={model / 'config.json'}", "names a file", "pretrained="),
        (
            lambda model, adapter: f"pretrained={model},peft={model}",
            "adapter_config.json is missing",
            "name the folder",
        ),
        (lambda model, adapter: "dtype=float32", "no model is named", "pretrained=MODEL"),
        (lambda model, adapter: "pretrained=some/model", "the model could not be loaded", "needs none: gemma-3-270m"),
        (lambda model, adapter: f"pretrained={model},dtype=float99", "the model could not be loaded", "check"),
        (lambda model, adapter: f"pretrained={model},no_such_argument=1", "the model could not be loaded", "check"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_message(
    prepare: Callable[[Path, Path], str], message: str, fix: str, model: Path, adapter: Path
) -> None:
    arguments = prepare(model, adapter)
    with pytest.raises(UserError) as raised:
        run("--model", "hf", "--model_args", arguments, "--tasks", TASK, "--limit", "1", "--device", "cpu")
    assert message in str(raised.value)
    assert fix in str(raised.value.fix)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "xling_atlas_fr_ess"], "did you mean xling_atlas_fr_es"),
        (["--tasks", "zzzz"], "lm_eval ls tasks"),
        (["--tasks", TASK, "--metadata", "{xling: 1}"], "Invalid JSON"),
        (["--tasks", TASK, "--metadata", '{"xling": {"demos": 1'], "Invalid JSON"),
        (["--tasks", TASK, "--metadata", '{"xling": {"demoes": 1}}'], "demoes"),
        ([], "no task is named"),
        (["--tasks", TASK, "--log_samples"], "--output_path"),
        (["--tasks", TASK, "--config", "nowhere.yaml"], "not found"),
        (["--tasks", TASK, "--include_path", "nowhere"], "no such folder"),
        (["--tasks", TASK, "--fewshot_as_multiturn", "true"], "apply_chat_template"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_message(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        run("--model", "dummy", "--limit", "1", *words)
    assert message in str(raised.value)
    assert raised.value.fix


def test_an_unknown_kind_of_model_is_one_message() -> None:
    with pytest.raises(UserError, match="unknown model 'vlllm'(.|\n)*did you mean vllm"):
        run("--model", "vlllm", "--tasks", TASK)


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise ValueError("not the user's")

    monkeypatch.setattr("lm_eval.models.dummy.DummyLM.loglikelihood", failing)
    with pytest.raises(ValueError, match="not the user's"):
        run("--model", "dummy", "--tasks", TASK, "--limit", "1")


def test_weights_that_are_no_numbers_are_an_error_that_names_the_request(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"log-likelihood is nan\n  in: request 'Pays: "):
        run("--model", "hf", "--model_args", f"pretrained={model}", "--tasks", TASK, "--limit", "1", "--device", "cpu")
