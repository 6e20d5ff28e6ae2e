"""The progress bar counts tokens, and moves with the first batch, which scores nothing yet."""

from __future__ import annotations

from typing import Any

import pytest
from lm_eval.api.instance import Instance
from tqdm import tqdm

from lm_eval_xling.scoring import model as backend_module
from lm_eval_xling.scoring.model import SharedPrefixLM
from tests import tiny
from tests.scoring.prompts import decided_model, loglikelihood

PREFIX = "few shots that all documents share, longer than what is worth caching. " * 2


class Bar(tqdm):  # type: ignore[misc]  # tqdm is not typed
    """Keeps what it showed."""

    shown: list[tuple[int, int]] = []

    def update(self, n: float = 1) -> Any:
        self.n += n
        self.shown.append((int(self.n), int(self.total)))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> SharedPrefixLM:
    monkeypatch.setattr(backend_module, "tqdm", Bar)
    Bar.shown.clear()
    return SharedPrefixLM(pretrained=decided_model("llama"), tokenizer=tiny.tokenizer(), batch_size=1)


def test_the_bar_moves_before_the_first_request_is_done(backend: SharedPrefixLM) -> None:
    answered: list[int] = []
    backend.cache_hook.add_partial = lambda *_: answered.append(len(Bar.shown))
    requests = loglikelihood([(f"{PREFIX}question {number}", " answer") for number in range(12)])
    backend.loglikelihood(requests)
    done, totals = zip(*Bar.shown, strict=True)
    assert set(totals) == {done[-1]}
    assert list(done) == sorted(done)
    given = sum(len(request.args[0]) for request in requests)
    assert len(PREFIX) < done[-1] < given / 4
    # What it starts with, and the prefix.
    assert done[0] == 0 < done[1]
    assert min(answered) >= 2


def test_the_bar_moves_within_a_batch(backend: SharedPrefixLM) -> None:
    layers = backend.model.config.num_hidden_layers
    answered: list[int] = []
    backend.cache_hook.add_partial = lambda *_: answered.append(len(Bar.shown))
    # Each a batch of its own.
    backend.loglikelihood(loglikelihood([(f"{number}: a question of its own", " answer") for number in range(3)]))
    done, _ = zip(*Bar.shown[: min(answered)], strict=True)
    assert layers > 1
    assert len(set(done)) >= layers


def test_whole_texts_advance_within_a_text(backend: SharedPrefixLM) -> None:
    texts = ["a long text of several windows. " * 60, "a short one"]
    backend.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts])
    done, totals = zip(*Bar.shown, strict=True)
    assert set(totals) == {sum(len(tiny.tokenizer().encode(text)) for text in texts)} == {done[-1]}
    assert list(done) == sorted(done)
    assert len(set(done)) > 2
