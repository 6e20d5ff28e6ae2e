"""Continuous batching: every row has the text of a batch of its own, and nobody waits for the longest."""

from __future__ import annotations

import logging

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from lm_eval_xling.errors import UserError
from lm_eval_xling.scoring.decoding import Ending
from lm_eval_xling.scoring.generation_settings import depends_on_the_prompt
from lm_eval_xling.scoring.model import SharedPrefixLM
from lm_eval_xling.scoring.prefix_cache import GrowingCache
from tests import tiny
from tests.scoring.prompts import decided_model
from tests.scoring.test_generating_model import contexts, generation

STOPS = ["&", "v"]
"""With these the tiny model's texts end after 9 to 60 tokens, most of them at different places."""


def read_after_prompts(model: torch.nn.Module) -> list[int]:
    """Rows of each later pass that reads one token a row."""
    rows: list[int] = []

    def count(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["input_ids"].shape[1] == 1:
            rows.append(len(kwargs["input_ids"]))

    model.register_forward_pre_hook(count, with_kwargs=True)
    return rows


@pytest.mark.parametrize(
    ("architecture", "stops", "kinds"),
    [
        ("llama", STOPS, 10),
        ("gpt-oss", ["-"], 10),
        pytest.param("bloom with 6 heads", ["\N{REPLACEMENT CHARACTER}"], 4, marks=pytest.mark.slow),
    ],
)
def test_rows_that_end_make_room(architecture: str, stops: list[str], kinds: int) -> None:
    model, tokenizer = decided_model(architecture), tiny.tokenizer()
    requests = generation(contexts(documents=40), max_gen_toks=60, repetition_penalty=1.3, until=stops)
    # Row by row: in a batch, hf stops at the last of the rows that end at the same stop.
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=3)
    rows = read_after_prompts(model)
    assert backend.generate_until(requests) == expected
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in expected]
    assert len(set(lengths)) >= kinds
    # No row reads more than seven tokens after its end, the stop itself aside.
    assert sum(rows) <= sum(min(length + 8, 60) for length in lengths)
    # After the first batches are full they stay so, until nothing waits.
    assert sum(rows) / len(rows) > 0.7 * max(rows)


@pytest.mark.parametrize("settings", [{"min_new_tokens": 20}, {"no_repeat_ngram_size": 2}])
def test_settings_that_look_at_the_prompt_are_left_to_whole_batches(settings: dict[str, int]) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(), max_gen_toks=30, until=STOPS, **settings)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=3)
    assert backend.generate_until(requests) == expected
    assert depends_on_the_prompt(model, settings)
    model.generation_config.max_new_tokens = 5  # goes before the length that a call asks for
    assert depends_on_the_prompt(model, {})
    model.generation_config.max_new_tokens = None
    assert not depends_on_the_prompt(model, {"do_sample": False, "repetition_penalty": 1.3})


def test_zero_shot_prompts_leave_the_batch_at_their_end_too() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    prompts = [f"{number} is the question" for number in range(100, 112)]
    requests = generation(prompts, max_gen_toks=60, repetition_penalty=1.3, until=STOPS)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    rows = read_after_prompts(model)
    assert backend.generate_until(requests) == expected
    assert sum(rows) <= sum(min(len(text) + 8, 60) for text in expected)


def test_the_bar_counts_texts_also_after_memory_was_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(documents=19), max_gen_toks=60, repetition_penalty=1.3, until=STOPS)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    forward = type(model.model).forward
    capsys.readouterr()

    def limited(self: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", limited)
    with caplog.at_level(logging.WARNING):
        assert backend.generate_until(requests) == expected
    assert "going on with halves" in caplog.text
    assert f"100%|██████████| {len(requests)}/{len(requests)}" in capsys.readouterr().err


def test_one_row_that_does_not_fit_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Prompts that only wait take no memory: fewer of them would not help."""
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    backend._generation_checked = True

    def full(self: object, **kwargs: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model.model), "forward", full)
    prompts = [f"{number} is the question" for number in range(100, 112)]
    with caplog.at_level(logging.WARNING), pytest.raises(torch.OutOfMemoryError):
        backend.generate_until(generation(prompts))
    assert [record.args for record in caplog.records if "with halves" in record.getMessage()] == [(4,), (2,)]


@pytest.mark.parametrize(
    ("tokens", "checked", "length"),
    [
        ("abc", 0, None),
        ("ab&c", 0, 3),  # the stop is part of the text, from which the harness cuts it
        ("ab&c", 2, 3),
        ("a||b", 0, 3),
        ("a|\N{SNOWMAN}", 0, None),
        ("ab<eos>c&", 0, 3),
        ("&<eos>", 0, 1),
    ],
)
def test_a_text_ends_where_the_first_stop_is_complete(tokens: str, checked: int, length: int | None) -> None:
    tokenizer = tiny.tokenizer()
    ids = tokenizer(tokens.replace("<eos>", tokenizer.eos_token), add_special_tokens=False)["input_ids"]
    assert Ending(tokenizer, ["&", "||"], [tokenizer.eos_token_id]).find(ids, checked) == length


def test_stops_are_read_as_the_harness_reads_them() -> None:
    """Bytes that are no character by themselves: how many there are depends on where reading begins."""
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    stop = "\N{REPLACEMENT CHARACTER}" * 3
    requests = generation(contexts(documents=37), max_gen_toks=50, repetition_penalty=1.3, until=[stop])
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=3).generate_until(requests) == expected


@pytest.mark.parametrize("until", ["", ["", "v"]])
def test_an_empty_stop_ends_the_text_after_its_first_token_as_with_hf(until: str | list[str]) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(documents=6), until=until)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert all(len(text) == 1 for text in expected)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=3).generate_until(requests) == expected


def test_a_stop_that_is_a_special_token_ends_the_text_at_once() -> None:
    """Decoding leaves special tokens out, so that what follows the stop could not be cut off."""
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    prompts = contexts(documents=12)
    whole = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(
        generation(prompts, max_gen_toks=40, repetition_penalty=1.3, until=[])
    )
    # A letter of some texts becomes special.
    letter = next(letter for letter in "&v," if 3 < sum(letter in text for text in whole) < len(whole))
    tokenizer.add_special_tokens({"additional_special_tokens": [letter]})
    requests = generation(prompts, max_gen_toks=40, repetition_penalty=1.3, until=[letter])
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=3).generate_until(requests) == expected


def test_nothing_is_read_behind_the_end_of_a_text() -> None:
    """A token that is named for padding later is an ordinary one, which decoding does not leave out."""
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    tokenizer.pad_token = "e"
    model.generation_config.eos_token_id = [257, *tokenizer("v&", add_special_tokens=False)["input_ids"]]
    requests = generation(contexts(documents=12), max_gen_toks=40, repetition_penalty=1.3, until=[])
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert len(set(map(len, expected))) > 3
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests) == expected


def test_a_greatest_length_with_the_prompt_is_each_prompts_own() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(["x", "longer by a few words"], max_gen_toks=40, max_length=50, until=[])
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests) == expected
    assert depends_on_the_prompt(model, {"max_length": 50})


@pytest.mark.parametrize("prompts", [["a prompt", "another", ""], ["a prompt", "", ""]])
def test_an_empty_prompt_may_join_alone(prompts: list[str]) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(prompts, max_gen_toks=20, repetition_penalty=1.3, until=[])
    # Alone it is no prompt for hf; with others it is padding.
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=2)
    assert backend.generate_until(requests) == expected


def test_an_empty_prompt_has_one_text_whatever_stands_beside_it() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    (beside, _) = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2).generate_until(
        generation(["", "a prompt"], repetition_penalty=1.3, until=[])
    )
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    # More prompts than a batch has, so that the empty one, which is the shortest, is alone in the last.
    requests = generation([*(f"prompt {number}" for number in range(4)), ""], repetition_penalty=1.3, until=[])
    assert backend.generate_until(requests)[-1] == beside
    # Nor does it end a run that others share with it by other options.
    requests = [*generation(["a prompt"]), *generation([""], repetition_penalty=1.3, until=[])]
    assert backend.generate_until(requests)[-1] == beside


def test_empty_prompts_alone_are_the_users_error() -> None:
    backend = SharedPrefixLM(pretrained=tiny.model("llama"), tokenizer=tiny.tokenizer())
    with pytest.raises(UserError, match="all prompts are empty"):
        backend.generate_until(generation(["", ""]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_gen_toks": 0}, "texts of up to 0 tokens cannot be generated"),
        ({"max_gen_toks": 512}, "texts of up to 512 tokens cannot be generated by a model that reads 512"),
        ({"until": None}, "until is neither a text nor a list of texts"),
        ({"until": ["x", 3]}, "until is neither a text nor a list of texts"),
    ],
)
def test_options_that_no_text_can_fulfil_are_the_users_error(options: dict[str, object], message: str) -> None:
    backend = SharedPrefixLM(pretrained=tiny.model("llama"), tokenizer=tiny.tokenizer())
    with pytest.raises(UserError, match=message):
        backend.generate_until(generation(["a prompt"], **options))


def test_each_prompt_gets_the_token_that_begins_texts_once_whatever_stands_beside_it() -> None:
    """hf asks the first prompt of a batch alone, so that the others' texts depend on it."""
    model, tokenizer = decided_model("llama"), beginning_with_bos()
    prompts = ["<bos>a prompt that is longer than others", "a prompt", "<bos>another", "b"]
    requests = generation(prompts, repetition_penalty=1.3, until=[])
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests) == expected


def beginning_with_bos() -> PreTrainedTokenizerFast:
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.mark.parametrize(("prefixes", "members", "rows"), [(3, 5, 16), (12, 3, 4), (8, 5, 3)])
def test_prefixes_that_interleave_are_read_once(
    prefixes: int, members: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    # By length, prompts of all prefixes alternate.
    prompts = [
        f"{str(prefix) * 45} Q{'uestion' * (number % 5)}{number}"
        for number in range(members)
        for prefix in range(10, 10 + prefixes)
    ]
    requests = generation(prompts, max_gen_toks=30, repetition_penalty=1.3, until=STOPS)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=rows)
    computed: list[int] = []
    prefix = backend._executor.prefix
    monkeypatch.setattr(backend._executor, "prefix", lambda tokens: computed.append(len(tokens)) or prefix(tokens))
    scattered: list[int] = []
    forward = type(model.model).forward

    def watched(self: object, past_key_values: object, **kwargs: object) -> object:
        if isinstance(past_key_values, GrowingCache):
            groups = past_key_values.groups
            scattered.append(len(groups) - len({id(prefix) for prefix, _, _ in groups}))
        return forward(self, past_key_values=past_key_values, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", watched)
    assert backend.generate_until(requests) == expected
    assert sum(length > 80 for length in computed) == prefixes
    assert scattered and not any(scattered)
