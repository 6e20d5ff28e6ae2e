"""Requests in the shapes that the harness makes: shared few-shot prefixes, several continuations, edge cases."""

from __future__ import annotations

import random

import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel

from tests import tiny


def loglikelihood(pairs: list[tuple[str, str]]) -> list[Instance]:
    return [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]


def pairs(seed: int = 0, documents: int = 12) -> list[tuple[str, str]]:
    """Two few-shot prefixes longer than the tiny models' sliding window of 16, and what usually goes wrong."""
    draw = random.Random(seed)

    def text(shortest: int, longest: int) -> str:
        return "".join(draw.choice("abcde fg") for _ in range(draw.randint(shortest, longest)))

    made = []
    for _ in range(2):
        shots = "".join(f"P: {text(20, 30)}\nA: yes\n" for _ in range(3))
        for _ in range(documents // 2):
            context = f"{shots}P: {text(3, 40)}\nA:"
            made += [(context, f" {label}") for label in ("entailment", "e", "contradiction", "x")]
    made += [
        ("", "without a context"),
        ("ends in spaces  ", "x"),
        ("ends in a newline\n", "x"),
        ("a", "b"),
        ("a", "b and more"),
        (made[0][0] * 4, " context longer than the model"),
        (made[0][0] * 4, " context longer than the moose"),
        ("x", " " + text(100, 120)),
        made[0],
        made[5],
    ]
    draw.shuffle(made)
    return made


def decided_model(architecture: str) -> PreTrainedModel:
    """A tiny random model whose predictions depend strongly on what it attends to.

    As initialised, its log-probabilities are all nearly equal, and a wrong mask would hardly change them.
    """
    model = tiny.model(architecture)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(4 if "embed" in name or "head" in name else 6)
    return model
