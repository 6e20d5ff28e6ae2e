from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.activations import TokenBatch, encode, pool, sweep
from lm_eval_xling.probes.probed_model import ProbedModel
from tests import tiny
from tests.precision import assert_equal_up_to_rounding

TEXTS = ["ein Satz", "longer text, of several words", "短い", "x", "mittel lang ist der hier", "the end"] * 3


def run(model: ProbedModel, folder: Path, pooling: str = "last", compute: Any = None, **options: Any) -> np.ndarray:
    def pooled(states: Sequence[torch.Tensor], batch: TokenBatch) -> torch.Tensor:
        return pool(states, batch, pooling)

    return sweep(
        model,
        "base",
        [(text,) for text in encode(model, TEXTS)],
        compute or pooled,
        (model.states, model.width),
        folder=folder,
        name="test",
        key={"pooling": pooling},
        **{"batch_tokens": 64, **options},
    )


def alone(model: ProbedModel, text: str) -> torch.Tensor:
    """Hidden states of one text without padding, ``(layers + 1, length, width)``."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]], device=model.model.device)
    with torch.inference_mode():
        return torch.cat(model.model(ids, output_hidden_states=True).hidden_states).cpu()


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "gpt_neox", "opt"])
def test_batches_give_what_single_texts_give(architecture: str, tiny: Callable[[str], Path], tmp_path: Path) -> None:
    model = ProbedModel(str(tiny(architecture)))
    last, mean, weighted = (run(model, tmp_path, pooling) for pooling in ("last", "mean", "weighted"))
    for row, text in enumerate(TEXTS):
        states = alone(model, text).double().numpy()
        weights = np.arange(1, states.shape[1] + 1)
        assert_equal_up_to_rounding(last[row], states[:, -1])
        assert_equal_up_to_rounding(mean[row], states.mean(1))
        assert_equal_up_to_rounding(weighted[row], np.average(states, axis=1, weights=weights))


def test_the_mean_leaves_out_what_the_tokenizer_added() -> None:
    states = [torch.tensor([[[100.0], [1.0], [3.0], [7.0]]])]
    batch = TokenBatch(
        (0,), torch.zeros(1, 4), torch.tensor([[1, 1, 1, 0]]), torch.tensor([[True, False, False, False]])
    )
    assert pool(states, batch, "mean").item() == 2
    assert pool(states, batch, "last").item() == 3
    assert pool(states, batch, "weighted").item() == pytest.approx((100 + 2 + 9) / 6)


def test_a_killed_pass_continues_with_the_same_result(llama: ProbedModel, tmp_path: Path) -> None:
    whole = np.array(run(llama, tmp_path / "whole"))
    calls = 0

    def failing(states: Sequence[torch.Tensor], batch: TokenBatch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return pool(states, batch, "last")

    with pytest.raises(KeyboardInterrupt):
        run(llama, tmp_path / "killed", compute=failing)
    before = calls
    continued = run(llama, tmp_path / "killed", compute=failing)
    np.testing.assert_array_equal(continued, whole)
    rest = calls - before
    assert rest > 1, "three batches were done, more are left"
    run(llama, tmp_path / "killed", compute=failing)
    assert calls - before == rest, "a finished pass computes nothing"
    whole_calls = calls
    run(llama, tmp_path / "again", compute=failing)
    assert calls - whole_calls == rest + 3, "what was done was not done again"


def test_a_pass_continues_with_smaller_batches(llama: ProbedModel, tmp_path: Path) -> None:
    whole = np.array(run(llama, tmp_path / "whole"))
    sizes = []

    def failing(states: Sequence[torch.Tensor], batch: TokenBatch) -> torch.Tensor:
        sizes.append(len(batch.items))
        if len(sizes) == 3:
            raise torch.OutOfMemoryError("no memory")
        return pool(states, batch, "last")

    with pytest.raises(UserError, match="too little memory"):
        run(llama, tmp_path / "small", compute=failing, batch_tokens=128)
    found = run(llama, tmp_path / "small", compute=failing, batch_tokens=40)
    assert_equal_up_to_rounding(found, whole)
    assert sum(sizes) - sizes[2] == len(TEXTS), "no text was run twice"


def test_another_setting_is_another_file(llama: ProbedModel, tmp_path: Path) -> None:
    run(llama, tmp_path, "last")
    run(llama, tmp_path, "mean")
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_batches_stay_within_the_token_budget(llama: ProbedModel, tmp_path: Path) -> None:
    sizes = []

    def watch(states: Sequence[torch.Tensor], batch: TokenBatch) -> torch.Tensor:
        sizes.append(tuple(batch.ids.shape))
        return pool(states, batch, "last")

    run(llama, tmp_path, compute=watch, batch_tokens=64)
    assert all(rows * length <= 64 or rows == 1 for rows, length in sizes)
    assert max(rows for rows, _ in sizes) > 1


def test_long_texts_lose_their_left_end(llama: ProbedModel) -> None:
    (cut,) = encode(llama, ["a" * 600 + "end"])
    assert len(cut.ids) == 512
    assert llama.tokenizer.decode(list(cut.ids)[-5:]) == "aaend"


def test_an_empty_text_is_an_error(llama: ProbedModel) -> None:
    with pytest.raises(UserError, match="without tokens"):
        encode(llama, ["x", ""])


def test_only_added_tokens_at_the_ends_are_special(llama: ProbedModel) -> None:
    tokenizer = tiny.tokenizer()
    (found,) = encode(llama, ["a<unk>b"])
    assert found.ids[1] == tokenizer.unk_token_id and found.special == (False, False, False)


def with_habit(folder: Path, template: str) -> Path:
    """A copy of a tiny model whose tokenizer puts special tokens around a text by its post-processor."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [("<bos>", tokenizer.bos_token_id), ("<eos>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=ids)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("template", "before"), [("$A", ()), ("<bos> $A", (256,)), ("$A <eos>", ()), ("<bos> $A <eos>", (256,))]
)
def test_an_eos_that_the_tokenizer_appends_is_not_probed(
    template: str, before: tuple[int, ...], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    from lm_eval_xling.probes.kinds.similarity import changed_versions
    from lm_eval_xling.probes.probe import Prompt

    model = ProbedModel(str(with_habit(Path(shutil.copytree(tiny("llama"), tmp_path / "model")), template)))
    assert ("<eos>" in template) == (model.tokenizer("ab")["input_ids"][-1] == 257)
    plain = tuple(model.tokenizer("ab", add_special_tokens=False)["input_ids"])
    (found,) = encode(model, ["ab"])
    assert found.ids == (*before, *plain)
    assert found.special == (*(True for _ in before), False, False)
    # An end that the text itself writes stays, and a text that is cut keeps what stands before it.
    (written,) = encode(model, ["ab<eos>"])
    assert written.ids == (*before, *plain, 257)
    (cut,) = encode(model, ["a" * 600 + "b"])
    assert cut.ids[: len(before)] == before and cut.ids[-2:] == plain and len(cut.ids) == 512
    # The words that change are found by their places in the text.
    lexicon = {("en", "de"): {"two": ("zwei",), "ten": ("zehn",)}}
    (version,) = changed_versions(model, [Prompt("0", "en", "one two six")], lexicon, "en", ["de"], 1.0, 0)
    assert model.tokenizer.decode(version.changed[-1].ids[len(before) :]) == "one  six"
