"""Mixed-language fine-tuning on a tiny model: packing without leaks, the ablation, full fine-tuning, bad input."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BloomConfig, TrainingArguments

from lm_eval_xling._cli import main
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import MixedText, Unit
from lm_eval_xling.trainers.mixed_language import train_mixed
from lm_eval_xling.training import check_adapter, fitting
from lm_eval_xling.training.configuration import CorpusData, MixedConfig, load_config
from lm_eval_xling.training.corpora import corpus_languages, held_out_share, held_out_texts, packed_blocks
from lm_eval_xling.training.monitoring import read_metrics
from lm_eval_xling.training.supervised_loss import supervised_forward
from tests import tiny as models
from tests.precision import assert_equal_up_to_rounding, rounding
from tests.processes import CHILDREN

Tiny = Callable[[str], Path]


def write_corpus(path: Path, documents: int, *, mixed: bool = True) -> Path:
    """Documents of two units; every second unit is in German where mixed."""
    lines = []
    for i in range(documents):
        english = Unit(f"The river number {i} is long.", "en", " ")
        german = Unit(f"Der Fluss {i} mündet ins Meer.", "de", source=f"The river {i} flows into the sea.")
        plain = Unit(f"The river {i} flows into the sea.", "en")
        lines.append(json.dumps(MixedText(str(i), "en", (english, german if mixed else plain)).as_json()))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "mixed.jsonl", 60)


def options(model: Path, corpus: Path, output: Path, *more: str) -> list[str]:
    return [
        f"model={model}",
        f"data.corpus=[{corpus}]",
        f"output={output}",
        "data.block=64",
        "training.learning_rate=1e-2",
        "training.gradient_accumulation_steps=2",
        "training.logging_steps=1",
        "training.save_steps=4",
        *more,
    ]


def run(model: Path, corpus: Path, output: Path, *more: str) -> Path:
    return train_mixed(load_config(MixedConfig, None, options(model, corpus, output, *more)))


def _child(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    sys.argv = ["xling", "train", "mixed", *arguments]
    main()


def start(arguments: list[str]) -> BaseProcess:
    process = CHILDREN.Process(target=_child, args=(arguments,))
    process.start()
    return process


@pytest.mark.slow
def test_killed_and_continued_gives_the_same_bytes(tiny: Tiny, corpus: Path, tmp_path: Path) -> None:
    """With dropout, so that the random state has to be restored too."""
    whole = start(options(tiny("llama"), corpus, tmp_path / "whole"))
    whole.join(180)
    assert whole.exitcode == 0
    metrics = tmp_path / "cut" / "metrics.jsonl"
    arguments = options(tiny("llama"), corpus, tmp_path / "cut")
    for moment in (3, 7, 11):
        process = start(arguments)
        deadline = time.monotonic() + 180
        while len(read_metrics(metrics)) < moment and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
    process = start(arguments)
    process.join(180)
    assert [line["loss"] for line in read_metrics(metrics)] == [
        line["loss"] for line in read_metrics(tmp_path / "whole" / "metrics.jsonl")
    ]
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "cut" / "adapter" / name).read_bytes() == (
            tmp_path / "whole" / "adapter" / name
        ).read_bytes()
    assert "mixed-language fine-tuning" in (tmp_path / "cut" / "adapter" / "README.md").read_text()
    assert check_adapter(tmp_path / "cut" / "adapter", str(tiny("llama"))).ok


def test_a_run_shorter_than_its_logs_has_the_loss_of_its_last_step(tiny: Tiny, corpus: Path, tmp_path: Path) -> None:
    run(tiny("llama"), corpus, tmp_path / "run", "training.max_steps=3", "training.logging_steps=10")
    (line,) = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert line["step"] == 3 and 1 < line["loss"] < 10
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_loss_is_the_mean_over_documents_read_alone(tiny: Tiny, corpus: Path, tmp_path: Path) -> None:
    """Packed without attention across documents: the same as each document in a forward of its own."""
    run(tiny("gemma3"), corpus, tmp_path / "run", "training.max_steps=1", "lora.dropout=0", "data.limit=8")
    (line,) = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    config = load_config(MixedConfig, None, options(tiny("gemma3"), corpus, tmp_path, "data.limit=8"))
    blocks = list(packed_blocks(config.data, models.tokenizer(), tmp_path))
    model = AutoModelForCausalLM.from_pretrained(tiny("gemma3"))
    sums = []
    with torch.no_grad():
        for block in blocks:
            starts = [i for i, position in enumerate(block["position_ids"]) if position == 0] + [len(block["labels"])]
            total, count = 0.0, 0
            for first, last in zip(starts, starts[1:], strict=False):
                ids = torch.tensor([block["input_ids"][first:last]])
                if last - first > 1:
                    total += model(ids, labels=ids).loss.item() * (last - first - 1)
                    count += last - first - 1
            sums.append((total, count))
    # Which four blocks the step draws is the sampler's affair: one of the sets must give its loss.
    means = [sum(t for t, _ in four) / sum(c for _, c in four) for four in combinations(sums, 4)]
    assert min(abs(mean - line["loss"]) for mean in means) < rounding(line["loss"])


def test_attention_and_products_are_those_of_the_device_that_trains(
    tiny: Tiny, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Trainer moves the model to it later: what was chosen for the CPU where it was loaded fails there."""
    seen: dict[str, torch.device] = {}

    class Begun(Exception):
        pass

    @contextmanager
    def begin(model: Any, *, packed: bool, device: torch.device) -> Iterator[None]:
        seen["attention"] = device
        yield

    @contextmanager
    def multiply(device: torch.device) -> Iterator[None]:
        seen["products"] = device
        raise Begun
        yield

    class OnAGpu(TrainingArguments):
        @property
        def device(self) -> torch.device:
            assert super().device.type  # which sets the processes up
            return torch.device("cuda")

    monkeypatch.setattr(fitting, "TrainingArguments", OnAGpu)
    monkeypatch.setattr(fitting, "supervised_forward", begin)
    monkeypatch.setattr(fitting, "float32_products", multiply)
    with pytest.raises(Begun):
        run(tiny("llama"), corpus, tmp_path / "run")
    assert seen == {"attention": torch.device("cuda"), "products": torch.device("cuda")}


def test_the_ablation_reads_the_source_text(tiny: Tiny, corpus: Path, tmp_path: Path) -> None:
    config = load_config(MixedConfig, None, options(tiny("llama"), corpus, tmp_path, "data.text=source"))
    ids = [i for block in packed_blocks(config.data, models.tokenizer(), tmp_path) for i in block["input_ids"]]
    text = models.tokenizer().decode(ids, skip_special_tokens=True)
    assert "Fluss" not in text and text.count("flows into the sea.") == 60
    folder = run(tiny("llama"), corpus, tmp_path / "run", "data.text=source", "training.max_steps=2")
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["languages"] == ["en"] and provenance["recipe"] == "source-language fine-tuning"


def test_languages_are_those_of_all_documents(tmp_path: Path) -> None:
    paths = (tmp_path / "first.jsonl", tmp_path / "second.jsonl")
    for path, code, count in zip(paths, ("en", "fr"), (1200, 3), strict=True):
        lines = [json.dumps(MixedText(str(i), code, (Unit("…", "de", source="."),)).as_json()) for i in range(count)]
        path.write_text("\n".join(lines), encoding="utf-8")
    assert corpus_languages(CorpusData(corpus=paths, text="source")) == ("en", "fr")
    assert corpus_languages(CorpusData(corpus=paths, text="source", limit=1200)) == ("en",)
    assert corpus_languages(CorpusData(corpus=paths)) == ("de",)


@pytest.mark.slow
def test_a_model_that_cannot_keep_texts_apart_reads_one_a_row(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    bloom = BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4, bos_token_id=256, eos_token_id=257)
    AutoModelForCausalLM.from_config(bloom, dtype=torch.float32).save_pretrained(tmp_path / "bloom")
    models.tokenizer().save_pretrained(tmp_path / "bloom")
    folder = run(
        tmp_path / "bloom", corpus, tmp_path / "run", "training.num_train_epochs=1", "data.held_out=0", "data.block=32"
    )
    assert "BloomForCausalLM cannot keep texts of one row apart" in capsys.readouterr().out
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["config"]["batching"] == "padded"
    # 60 documents of 57 to 59 bytes and an end each are two rows of at most 32 each, in batches of 2 by 2; packed they
    # would be 111.
    assert provenance["scores"]["steps"] == 120 / 4


@pytest.mark.slow
def test_held_out_documents_are_not_trained_and_their_loss_is_printed_by_language(
    tiny: Tiny, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(MixedConfig, None, options(tiny("llama"), corpus, tmp_path, "data.held_out=5"))
    share = held_out_share(config.data)
    assert share == pytest.approx(5 / 60)
    assert held_out_share(load_config(MixedConfig, None, options(tiny("llama"), corpus, tmp_path)).data) == 0.1
    texts = held_out_texts(config.data, share)
    assert set(texts) == {"de", "en"} and 1 <= len(texts["en"]) <= 12
    blocks = packed_blocks(config.data, models.tokenizer(), tmp_path, share=share)
    trained = models.tokenizer().decode([i for block in blocks for i in block["input_ids"]])
    numbers = {re.search(r"number (\d+) is", text)[1] for text in texts["en"]}
    assert [i for i in range(60) if f"number {i} is" not in trained] == sorted(map(int, numbers))
    assert all("flows" in text and "Fluss" not in text for text in texts["en"]), "English as it was before mixing"
    assert sorted(re.search(r"Fluss (\d+) mündet", text)[1] for text in texts["de"]) == sorted(numbers)
    monkeypatch.setattr(
        "sys.argv", ["xling", "train", "mixed", *options(tiny("llama"), corpus, tmp_path / "run", "lora.dropout=0")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    losses = json.loads((tmp_path / "run" / "adapter" / "provenance.json").read_text())["losses"]
    model = AutoModelForCausalLM.from_pretrained(tiny("llama"))
    shown = capsys.readouterr().out
    for code, kept in held_out_texts(config.data, 0.1).items():
        before, after = losses[f"text held out, {code}"]
        assert after < before and f"{before:6.3f}  {after:6.3f}" in shown
        with torch.no_grad():
            rows = [torch.tensor([[*models.tokenizer()(text).input_ids, 257][:64]]) for text in kept]
            alone = [model(row, labels=row).loss.item() for row in rows]
        assert before == pytest.approx(sum(alone) / len(alone), rel=0.02)


def test_full_fine_tuning_changes_every_weight_and_is_loaded_by_the_harness(
    tiny: Tiny, corpus: Path, tmp_path: Path
) -> None:
    from lm_eval.models.huggingface import HFLM

    folder = run(
        tiny("gemma3"),
        corpus,
        tmp_path / "run",
        "lora=null",
        "training.max_steps=3",
        "validation=0.1",
        "training.eval_steps=4",
    )
    assert folder.name == "model"
    before, after = (load_file(path / "model.safetensors") for path in (tiny("gemma3"), folder))
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert HFLM(pretrained=str(folder), device="cpu").tokenizer.eos_token == "<eos>"


def test_gradients_reach_tied_embeddings_through_head_and_input() -> None:
    """Gemma ties them; a gradient from the input side alone would go unnoticed in the loss of one step."""
    model = models.model("gemma3")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    ids = torch.arange(20)[None]
    expected = torch.autograd.grad(model(ids, labels=ids).loss, model.get_input_embeddings().weight)[0]
    with supervised_forward(model, packed=False, device=model.device):
        ours = torch.autograd.grad(model(ids, labels=ids).loss, model.get_input_embeddings().weight)[0]
    assert_equal_up_to_rounding(ours, expected)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("", (), "the corpus is empty"),
        ("mono", (), "one language, en: nothing is mixed.*data.text=source"),
        ("{}\n", (), "not a line of a mixed corpus.*:1"),
        ("nonsense\n", (), "the line is no JSON.*xling mix"),
        (None, (), "cannot be read"),
        ("good", ("validation=0.1", "data.block=100000", "training.eval_steps=4"), "one block cannot be split"),
        ("good", ("data.corpus=[]",), "the corpus is empty"),
    ],
)
def test_bad_corpora(tiny: Tiny, tmp_path: Path, content: str | None, more: tuple[str, ...], message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    if content in ("mono", "good"):
        write_corpus(path, 3, mixed=content == "good")
    elif content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        run(tiny("llama"), path, tmp_path / "run", *more)
    assert re.search(message, str(caught.value), re.S), str(caught.value)
