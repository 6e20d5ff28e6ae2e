from __future__ import annotations

import logging
import random

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lm_eval_xling.scoring.model import SharedPrefixLM
from lm_eval_xling.scoring.prompt_prefixes import plan_prompts
from tests import tiny
from tests.scoring.prompts import FURTHER_CONFIGS, decided_model


def contexts(documents: int = 9, seed: int = 0) -> list[str]:
    """Two few-shot prefixes of about 90 tokens with documents of different length, and one prompt alone."""
    draw = random.Random(seed)

    def text(shortest: int, longest: int) -> str:
        return "".join(draw.choice("abcde fg") for _ in range(draw.randint(shortest, longest)))

    shots = ["".join(f"Q: {text(20, 30)}\nA: {text(5, 9)}\n" for _ in range(3)) for _ in range(2)]
    made = [f"{shots[index % 3 == 0]}Q: {text(3, 40)}\nA:" for index in range(documents)]
    return [*made, "a prompt of its own"]


def generation(prompts: list[str], **options: object) -> list[Instance]:
    options = {"until": ["\n"], "max_gen_toks": 12, **options}
    return [Instance("generate_until", {}, (prompt, options), index) for index, prompt in enumerate(prompts)]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*tiny.CONFIGS, *FURTHER_CONFIGS])
def test_same_texts_as_hf(architecture: str, caplog: pytest.LogCaptureFixture) -> None:
    model, tokenizer = decided_model(architecture), tiny.tokenizer()
    prompts = contexts(documents=24)
    # The penalty makes the tiny models' texts differ from each other.
    requests = generation(prompts, repetition_penalty=1.5)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    read = count_read_tokens(model)
    with caplog.at_level(logging.WARNING):
        found = backend.generate_until(requests)
    assert found == expected
    assert len(set(expected)) > 1
    # hf counts padding as positions in the temperature of Llama 4, so that its texts depend on the batch.
    assert ("hf's own code" in caplog.text) == (architecture == "llama 4")
    if architecture == "llama 4":
        return
    # Each prefix is read once, and the first batch's longest and shortest prompt once more, as a check.
    assert sum(read) < sum(map(len, prompts)) / 2


def count_read_tokens(model: torch.nn.Module) -> list[int]:
    """The tokens of each later pass that reads prompts, padding included."""
    counted: list[int] = []

    def count(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["input_ids"].shape[1] > 1:
            counted.append(kwargs["input_ids"].numel())

    model.register_forward_pre_hook(count, with_kwargs=True)
    return counted


@pytest.mark.parametrize("batch_size", [1, "auto"])
def test_same_texts_at_any_batch_size(batch_size: int | str) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts())
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2).generate_until(requests)
    assert (
        SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size).generate_until(requests)
        == expected
    )


def test_same_random_texts_as_hf() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(), do_sample=True, temperature=1.0)
    backends = [kind(pretrained=model, tokenizer=tokenizer, batch_size=4) for kind in (HFLM, SharedPrefixLM)]
    texts = []
    for backend in backends:
        # The check of the first batch draws no random numbers.
        torch.manual_seed(0)
        texts.append(backend.generate_until(requests))
    assert texts[0] == texts[1]


def test_the_kind_of_cache_that_a_model_names_is_set_aside() -> None:
    """Gemma's published generation settings name one."""
    model, tokenizer = decided_model("gemma3"), tiny.tokenizer()
    model.generation_config.cache_implementation = "hybrid"
    prompts = contexts(documents=24)
    requests = generation(prompts, repetition_penalty=1.5)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    read = count_read_tokens(model)
    assert backend.generate_until(requests) == expected
    assert sum(read) < sum(map(len, prompts)) / 2
    assert model.generation_config.cache_implementation == "hybrid"


def test_beams_are_left_to_hf() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(4), num_beams=2)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests) == expected


@pytest.mark.slow
def test_prompts_longer_than_the_model_lose_their_beginning_as_with_hf() -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts(3), max_gen_toks=400)
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests)
    assert SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests) == expected


def test_out_of_memory_halves_the_batch_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts())
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    forward = type(model.model).forward

    def limited(self: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", limited)
    assert backend.generate_until(requests) == expected


def test_a_generation_that_differs_is_left_to_hf(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = decided_model("llama"), tiny.tokenizer()
    requests = generation(contexts())
    expected = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4).generate_until(requests)
    backend = SharedPrefixLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    forward = type(model.model).forward

    def without_positions(self: object, **kwargs: object) -> object:
        if kwargs.get("past_key_values") is not None and kwargs["past_key_values"].get_seq_length():
            kwargs["position_ids"] = kwargs["position_ids"] + 7
        return forward(self, **kwargs)

    monkeypatch.setattr(type(model.model), "forward", without_positions)
    with caplog.at_level(logging.WARNING):
        backend.generate_until(requests)
    assert caplog.text.count("generation uses hf's own code: the self-check's log-probabilities differ") == 1
    monkeypatch.undo()
    assert backend.generate_until(requests) == expected


def test_prompts_are_assigned_to_their_longest_shared_prefix() -> None:
    few_shot = list(range(100))
    passage = [*few_shot, *range(200, 300)]
    prompts = [
        *([*few_shot, 1000 + k, 1] for k in range(5)),
        *([*passage, 2000 + k, 1] for k in range(5)),
        [7, 8, 9],
        few_shot,
    ]
    plan = plan_prompts(prompts)
    assert [None if index is None else len(plan.prefixes[index]) for index in plan.prefix_of] == [
        *[100] * 5,
        *[200] * 5,
        None,
        None,
    ]
    assert [prefix.tolist() for prefix in plan.prefixes] == [few_shot, passage]
