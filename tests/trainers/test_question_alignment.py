"""The whole recipe on a tiny model: what it learns, kills, two processes, and bad input."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from safetensors.torch import load_file, save_file

import lm_eval_xling.trainers
from lm_eval_xling._cli import main
from lm_eval_xling.errors import UserError
from lm_eval_xling.pairs import pair_questions, published_questions, split_pairs
from lm_eval_xling.trainers.question_alignment import align
from lm_eval_xling.training import check_adapter
from lm_eval_xling.training.checkpoints import MANIFEST
from lm_eval_xling.training.configuration import AlignmentConfig, load_config
from lm_eval_xling.training.monitoring import plot_losses, read_metrics
from lm_eval_xling.training.trainable import load_model
from tests import tiny as models
from tests.precision import assert_equal_up_to_rounding, rounding
from tests.processes import CHILDREN, on_two_machines

Tiny = Callable[[str], Path]

# In steps of float32: Adam divides by the size of the gradient, so that a few updates multiply what rounding did to it.
LOSS_STEPS, WEIGHT_STEPS = 1024, 8192


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty short pairs in the published format, German and English."""
    path = tmp_path_factory.mktemp("pairs") / "de.json"
    rows = [
        {
            "input": f'Prämisse: Satz {i}.\nHypothese: H{i % 7}.\nAntwort: "\n'
            "Translate the input from German to English:\n",
            "answer": f'Premise: Sentence {i}.\nHypothesis: H{i % 7}.\nAnswer: "',
        }
        for i in range(60)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def options(model: Path, pairs: Path, output: Path, *more: str) -> list[str]:
    return [
        f"model={model}",
        f"data.files=[{pairs}]",
        f"output={output}",
        "training.num_train_epochs=2",
        "training.learning_rate=1e-2",
        "training.gradient_accumulation_steps=1",
        "training.logging_steps=1",
        "training.save_steps=5",
        "training.eval_steps=5",
        "lora.dropout=0.1",
        *more,
    ]


def run(model: str, pairs: str, output: str, *more: str) -> Path:
    return align(load_config(AlignmentConfig, None, options(Path(model), Path(pairs), Path(output), *more)))


def _child(arguments: tuple[str, ...], largest_file: int | None, stderr: Path | None) -> None:
    torch.set_num_threads(1)
    if stderr is not None:
        sys.stderr = stderr.open("w", buffering=1, encoding="utf-8")
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["xling", "train", "align", *arguments]
    main()


def start(*arguments: str, largest_file: int | None = None, stderr: Path | None = None) -> BaseProcess:
    """Start ``xling train align`` as a process of its own."""
    process = CHILDREN.Process(target=_child, args=(arguments, largest_file, stderr))
    process.start()
    return process


def finish(*arguments: str, largest_file: int | None = None, stderr: Path | None = None) -> int | None:
    """Run ``xling train align`` to its end and return the exit code."""
    process = start(*arguments, largest_file=largest_file, stderr=stderr)
    process.join(300)
    return process.exitcode


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def finished_run(tiny: Tiny, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never disturbed, in a process of its own as the killed ones."""
    output = tmp_path_factory.mktemp("runs") / "run"
    assert finish(*options(tiny("llama"), pairs, output)) == 0
    return output


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """File for a child's standard error."""
    return tmp_path / "messages.txt"


def losses(output: Path) -> list[tuple[int, float]]:
    return [
        (line["step"], line[name])
        for line in read_metrics(output / "metrics.jsonl")
        for name in ("loss", "eval_loss")
        if name in line
    ]


def latest_step(output: Path) -> int:
    return max((line["step"] for line in read_metrics(output / "metrics.jsonl")), default=0)


def test_the_test_split_is_refused_unless_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    config = [
        f"model={tiny('llama')}",
        f"output={tmp_path}",
        "data.dataset=mgsm",
        "data.split=test",
        "data.sources=[de]",
    ]
    with pytest.raises(UserError, match=r"test split[\s\S]*data.train_on_test=true"):
        align(load_config(AlignmentConfig, None, config))


@pytest.mark.slow
def test_losses_are_told_by_language(finished_run: Path) -> None:
    provenance = json.loads((finished_run / "adapter" / "provenance.json").read_text())
    assert list(provenance["losses"]) == ["questions held out, de to en"]
    before, after = provenance["losses"]["questions held out, de to en"]
    assert before == pytest.approx(provenance["scores"]["validation_loss_before"], rel=1e-6)
    assert after == pytest.approx(provenance["scores"]["validation_loss"], rel=1e-6) and after < before


def test_it_learns_and_leaves_what_the_issue_names(finished_run: Path, tiny: Tiny) -> None:
    provenance = json.loads((finished_run / "adapter" / "provenance.json").read_text())
    scores = provenance["scores"]
    assert scores["validation_loss"] < scores["validation_loss_before"] - 0.1
    evaluations = [line["eval_loss"] for line in read_metrics(finished_run / "metrics.jsonl") if "eval_loss" in line]
    assert scores["validation_loss"] == pytest.approx(min(evaluations)), "the best checkpoint is kept"
    assert (finished_run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert provenance["languages"] == ["de", "en"]
    card = (finished_run / "adapter" / "README.md").read_text()
    assert "lm_eval --model hf" in card and provenance["data"][0]["sha256"] in card
    assert all("tokens_per_second" in line for line in read_metrics(finished_run / "metrics.jsonl") if "loss" in line)
    check = check_adapter(finished_run / "adapter", str(tiny("llama")))
    assert check.ok and check.difference is not None and check.difference > 0.01


def test_no_picture_without_a_loss(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 2, "train_runtime": 1.0}\n', encoding="utf-8")
    assert not plot_losses(metrics, tmp_path / "loss.png")
    metrics.write_text('{"step": 1, "loss": 2.0}\n', encoding="utf-8")
    assert plot_losses(metrics, tmp_path / "loss.png")
    assert [path.name for path in tmp_path.glob("*.png")] == ["loss.png"]


def test_validation_loss_is_what_transformers_computes(finished_run: Path, tiny: Tiny, pairs: Path) -> None:
    """One evaluation batch by hand, with the plain model and merged weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny("llama")), finished_run / "adapter")
    model = model.merge_and_unload().eval()
    _, held_out = split_pairs(pair_questions(published_questions([pairs]), ["de"], "en"), 0.05, seed=42)
    tokenizer = models.tokenizer()
    batches = []
    for start in range(0, len(held_out), 4):
        total, count = 0.0, 0
        for pair in held_out[start : start + 4]:
            prompt, target = (tokenizer(text)["input_ids"] for text in (pair.prompt, pair.target))
            target = [*target, tokenizer.eos_token_id]
            with torch.no_grad():
                logprobs = model(torch.tensor([prompt + target])).logits[0].log_softmax(-1)
            total -= sum(logprobs[len(prompt) - 1 + i, token].item() for i, token in enumerate(target))
            count += len(target)
        batches.append(total / count)
    provenance = json.loads((finished_run / "adapter" / "provenance.json").read_text())
    assert_equal_up_to_rounding(provenance["scores"]["validation_loss"], sum(batches) / len(batches))


def test_the_harness_loads_it_and_scores_differ(finished_run: Path, tiny: Tiny) -> None:
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, ("Prämisse: Satz 1.", " Premise"), i, ("t", 0, 1)) for i in range(2)]
    base = HFLM(pretrained=str(tiny("llama")), device="cpu").loglikelihood(requests, disable_tqdm=True)
    adapted = HFLM(pretrained=str(tiny("llama")), peft=str(finished_run / "adapter"), device="cpu").loglikelihood(
        requests, disable_tqdm=True
    )
    assert abs(base[0][0] - adapted[0][0]) > 0.1


@pytest.mark.slow
def test_killed_three_times_and_continued_gives_the_same_bytes(
    finished_run: Path, tiny: Tiny, pairs: Path, tmp_path: Path
) -> None:
    arguments = options(tiny("llama"), pairs, tmp_path / "run")
    generator = random.Random()  # other moments in every run of the test
    for earliest, latest in ((1, 8), (9, 17), (18, 26)):
        moment = generator.randint(earliest, latest)
        process = start(*arguments)
        deadline = time.monotonic() + 180
        while latest_step(tmp_path / "run") < moment and process.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
        assert not (tmp_path / "run" / "adapter").exists()
    assert finish(*arguments) == 0
    assert losses(tmp_path / "run") == losses(finished_run)
    for path in sorted((finished_run / "adapter").iterdir()):
        assert (tmp_path / "run" / "adapter" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_half_written_checkpoint_is_passed_over(
    finished_run: Path, tiny: Tiny, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "adapter")
    latest, earlier = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda p: int(p.name[11:]))[::-1]
    optimizer = latest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    folder = run(str(tiny("llama")), str(pairs), str(tmp_path / "run"))
    assert f"{latest.name} was cut off" in capsys.readouterr().out
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (folder, finished_run / "adapter"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (latest / MANIFEST).is_file(), "it was written anew"
    assert earlier.name in {path.name for path in latest.parent.iterdir()}


def test_a_finished_run_is_returned_and_another_is_refused(
    finished_run: Path, tiny: Tiny, pairs: Path, tmp_path: Path
) -> None:
    before = (finished_run / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    assert run(str(tiny("llama")), str(pairs), str(finished_run)) == finished_run / "adapter"
    assert (finished_run / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"another run: lora.r, training.seed differ"):
        run(str(tiny("llama")), str(pairs), str(finished_run), "lora.r=4", "training.seed=1")
    other = tmp_path / "de.json"
    other.write_text(pairs.read_text().replace("Satz 1.", "Satz eins."), encoding="utf-8")
    with pytest.raises(UserError, match="another run"):
        run(str(tiny("llama")), str(other), str(finished_run))


LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
SHORT = ("lora.dropout=0", "training.max_steps=6", "training.save_steps=3", "training.eval_steps=3")


@pytest.mark.slow
def test_two_machines_learn_what_one_with_twice_the_batch_learns(tiny: Tiny, pairs: Path, tmp_path: Path) -> None:
    compare_with_one_process(lambda words: on_two_machines(words, ENVIRONMENT), "llama", tiny, pairs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "more"),
    # Tied and untied heads, because accelerate shards them differently.
    [("gemma3", ()), ("llama", ("lora=null", "training.learning_rate=1e-3"))],
    ids=["tied head, adapter", "head apart, all weights"],
)
def test_two_processes_with_sharded_weights_learn_the_same(
    tiny: Tiny, pairs: Path, tmp_path: Path, architecture: str, more: tuple[str, ...]
) -> None:
    shipped = (Path(lm_eval_xling.trainers.__file__).parent / "configs" / "accelerate_fsdp.yaml").read_text()
    settings = {**yaml.safe_load(shipped), "num_processes": 2, "mixed_precision": "no"}
    (tmp_path / "fsdp.yaml").write_text(yaml.safe_dump(settings))
    script = tmp_path / "xling.py"
    # torch shards on a CPU, and accelerate would if it did not ask for a GPU first.
    script.write_text(
        "from accelerate.state import AcceleratorState, PartialState\n"
        "from accelerate.utils import DistributedType\n"
        "begin = AcceleratorState.__init__\n"
        "def as_on_gpus(self, *given, **named):\n"
        "    PartialState(cpu=True)\n"
        "    if PartialState._shared_state['distributed_type'] is DistributedType.MULTI_CPU:\n"
        "        PartialState._shared_state['distributed_type'] = DistributedType.MULTI_GPU\n"
        "    begin(self, *given, **named)\n"
        "AcceleratorState.__init__ = as_on_gpus\n"
        "from lm_eval_xling.training import fitting\n"
        "take_fingerprint = fitting.take_fingerprint\n"
        "def fingerprint_sharded(model, tokenizer):\n"
        "    assert any(type(weight).__name__ == 'DTensor' for weight in model.parameters())\n"
        "    return take_fingerprint(model, tokenizer)\n"
        "fitting.take_fingerprint = fingerprint_sharded\n"
        "from lm_eval_xling._cli import main\n"
        "main()\n"
    )
    launch = [*LAUNCH, "--config_file", str(tmp_path / "fsdp.yaml")]

    def launched(words: list[str]) -> None:
        command = [*launch, str(script), *words]
        finished = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr

    compare_with_one_process(launched, architecture, tiny, pairs, tmp_path, *more)


def compare_with_one_process(
    launched: Callable[[list[str]], None], architecture: str, tiny: Tiny, pairs: Path, tmp_path: Path, *more: str
) -> None:
    model = tiny(architecture)
    two = options(model, pairs, tmp_path / "two", *SHORT, "training.per_device_train_batch_size=2", *more)
    launched(["train", "align", *two])
    run(str(model), str(pairs), str(tmp_path / "one"), *SHORT, "training.per_device_train_batch_size=4", *more)
    for (step, ours), (same_step, theirs) in zip(losses(tmp_path / "two"), losses(tmp_path / "one"), strict=True):
        assert step == same_step
        assert_equal_up_to_rounding(ours, theirs, LOSS_STEPS)
    kind = "model" if "lora=null" in more else "adapter"
    weights = [load_file(next((tmp_path / name / kind).glob("*.safetensors"))) for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name in weights[0]:
        assert_equal_up_to_rounding(weights[1][name], weights[0][name], WEIGHT_STEPS, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("batching=padded",),
        ("training.gradient_checkpointing=true",),
        # One batch of all pairs is the same batch in any order.
        ("training.train_sampling_strategy=group_by_length", "batching=padded"),
    ],
    ids=["padded", "checkpointing", "grouped"],
)
def test_layouts_and_checkpointing_give_the_same_losses(
    tiny: Tiny, pairs: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    short = ("lora.dropout=0", "training.max_steps=2", "training.save_steps=2", "training.eval_steps=2")
    if "group_by_length" in " ".join(more):
        short += ("training.per_device_train_batch_size=64",)
    run(str(tiny("gemma3")), str(pairs), str(tmp_path / "plain"), *short)
    run(str(tiny("gemma3")), str(pairs), str(tmp_path / "other"), *short, *more)
    ours, theirs = dict(losses(tmp_path / "other")), dict(losses(tmp_path / "plain"))
    assert ours == pytest.approx(theirs, rel=rounding(1, LOSS_STEPS))


@pytest.mark.slow
def test_grouping_by_length_makes_other_batches(tiny: Tiny, pairs: Path, tmp_path: Path) -> None:
    short = ("lora.dropout=0", "training.max_steps=3", "training.save_steps=3", "training.eval_steps=3")
    short += ("batching=padded",)
    grouping = "training.train_sampling_strategy=group_by_length"
    run(str(tiny("gemma3")), str(pairs), str(tmp_path / "plain"), *short)
    run(str(tiny("gemma3")), str(pairs), str(tmp_path / "grouped"), *short, grouping)
    plain, grouped = (dict(losses(tmp_path / name))[1] for name in ("plain", "grouped"))
    assert math.isfinite(grouped) and grouped != plain


@pytest.mark.slow
@pytest.mark.parametrize("packs", [None, True], ids=["this processor", "AVX512-BF16"])
def test_adapters_learn_on_4_bit_weights(
    tiny: Tiny, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packs: bool | None
) -> None:
    if packs is not None:
        # What bitsandbytes asks before it packs weights, which it does in Python and so on every processor.
        monkeypatch.setattr(importlib.import_module("bitsandbytes.nn.modules"), "has_avx512bf16", lambda: packs)
    folder = tmp_path / "run"
    config = load_config(AlignmentConfig, None, options(tiny("llama"), pairs, folder, "quantization=nf4"))
    kinds = {
        type(part.base_layer)
        for name, part in load_model(config, torch.device("cpu"))[0].named_modules()
        if name.endswith("q_proj")
    }
    assert [kind.__name__ for kind in kinds] == ["Linear4bit"]
    run(str(tiny("llama")), str(pairs), str(folder), "quantization=nf4")
    first, *_, last = [loss for _, loss in losses(folder)]
    assert last < first - 0.1
    checked = check_adapter(folder / "adapter", str(tiny("llama")))
    assert checked.ok and checked.difference and checked.difference > 1e-3


def test_4_bit_weights_without_their_library_or_adapters_are_an_error(
    tiny: Tiny, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="4-bit weights cannot be trained"):
        run(str(tiny("llama")), str(pairs), str(tmp_path / "full"), "quantization=nf4", "lora=null")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    with pytest.raises(UserError, match="needs bitsandbytes") as error:
        run(str(tiny("llama")), str(pairs), str(tmp_path / "run"), "quantization=nf4")
    assert "lm-eval-xling[qlora]" in str(error.value.fix)


@pytest.mark.slow
def test_bf16_and_early_stopping(tiny: Tiny, pairs: Path, tmp_path: Path) -> None:
    run(
        str(tiny("llama")),
        str(pairs),
        str(tmp_path / "r"),
        "precision=bf16",
        "early_stopping=1",
        "training.learning_rate=0.5",
    )
    steps = [line["step"] for line in read_metrics(tmp_path / "r" / "metrics.jsonl")]
    assert max(steps) < 28, "a learning rate of 0.5 makes the validation loss rise, so that it stops before the end"
    provenance = json.loads((tmp_path / "r" / "adapter" / "provenance.json").read_text())
    assert provenance["config"]["precision"] == "bf16"


def test_an_adapter_that_did_nothing_is_an_error(tiny: Tiny, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the training changed nothing"):
        run(str(tiny("llama")), str(pairs), str(tmp_path / "run"), "training.learning_rate=0", "training.max_steps=1")
    assert not (tmp_path / "run" / "adapter").exists()


def test_nan_loss_ends_the_run_and_keeps_the_last_good_checkpoint(tiny: Tiny, pairs: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(tiny("llama"), broken)
    weights = load_file(broken / "model.safetensors")
    # One byte's embedding is NaN: only batches with that byte diverge, and not the text that is probed at load.
    weights["model.embed_tokens.weight"][models.tokenizer()("8")["input_ids"]] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    more = (
        "validation=0",
        "training.save_steps=1",
        "training.logging_steps=3",
        "training.per_device_train_batch_size=1",
    )
    with pytest.raises(UserError, match="loss is nan at step .*diverged"):
        run(str(broken), str(pairs), str(tmp_path / "run"), *more)
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        for weight in load_file(checkpoint / "adapter_model.safetensors").values():
            assert torch.isfinite(weight).all()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("data.files=[]",), "no pairs are given"),
        (("data.sources=[fr]",), "no question is there in both French and English"),
        (("data.sources=[de]", "data.target=de"), "both a source language and the target"),
        (("model=/nowhere/at/all",), "cannot be loaded"),
        (("lora.target_modules=[qqq]",), "no adapter fits.*linear modules of LlamaForCausalLM: down_proj"),
        (("data.limit=1",), "too few"),
        (("data.cutoff=10",), "leaves no room"),
        (("training.save_steps=4",), "must fall together"),
        (("training.save_total_limit=1",), "lost when the next is cut off"),
        (("training.optim=nothing",), "transformers refuses"),
        (("data.dataset=nli",), "both given"),
    ],
)
def test_bad_input(tiny: Tiny, pairs: Path, tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        run(str(tiny("llama")), str(pairs), str(tmp_path / "run"), *more)
    assert re.search(message, str(caught.value), re.S), str(caught.value)


def test_the_command_prints_one_message_and_exits_with_2(
    tiny: Tiny, pairs: Path, tmp_path: Path, messages: Path
) -> None:
    assert finish(*options(tiny("llama"), pairs, tmp_path / "run", "lora.rnk=2"), stderr=messages) == 2
    message = messages.read_text()
    assert "did you mean lora.r" in message and "Traceback" not in message


@pytest.mark.slow
def test_a_full_disk_loses_nothing(finished_run: Path, tiny: Tiny, pairs: Path, tmp_path: Path, messages: Path) -> None:
    """Files are limited to 20 kB, which lets the metrics through and no checkpoint's optimiser state."""
    arguments = options(tiny("llama"), pairs, tmp_path / "run")
    assert finish(*arguments, largest_file=20_000, stderr=messages) == 2
    message = messages.read_text()
    assert "the disk is full" in message and "Traceback" not in message
    assert finish(*arguments) == 0
    assert losses(tmp_path / "run") == losses(finished_run)
