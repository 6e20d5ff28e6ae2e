"""Facts as a model reads them, and the log-likelihoods of their answers while layers read other states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.activations import Tokens, encode, end_of_text
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel

if TYPE_CHECKING:
    import torch

    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["Edit", "Question", "check_facts", "log_odds", "log_probabilities", "option_log_likelihoods", "questions"]

Edit = Callable[[int, "torch.Tensor", int], "torch.Tensor"]
"""From a layer's index, the states that it is given, ``(rows, copies, length, width)``, and the position of the first
of them, to those that it reads."""

# Logits held at once: 80 MB in float32, and as much for their probabilities.
_LOGITS_AT_ONCE = 20_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt that asks for a fact, in tokens."""

    prompt: Tokens
    """The text before the answer."""
    subject: int
    """Position of the subject's last token."""
    options: tuple[tuple[int, ...], ...]
    """Tokens of each continuation, at least one."""
    answer: int
    """Index of the right one."""


def check_facts(prompts: Sequence[Prompt]) -> None:
    """Refuse prompts that name no subject, have no continuations of which one is right, or others in each language.

    Raises:
        UserError: if there is one.
    """
    for prompt in prompts:
        if not prompt.subject or prompt.subject not in prompt.text:
            what = f"the text has no subject {prompt.subject!r}" if prompt.subject else "the prompt names no subject"
        elif len(prompt.choices) < 2 or not all(prompt.choices):
            what = f"the prompt has {len(list(filter(None, prompt.choices)))} choices, and two are needed"
        elif (
            isinstance(prompt.answer, bool)
            or not isinstance(prompt.answer, int)
            or not 0 <= prompt.answer < len(prompt.choices)
        ):
            what = f"the answer is {prompt.answer!r}, no index of the {len(prompt.choices)} choices"
        else:
            continue
        raise UserError(
            what,
            where=f"prompt {prompt.id} ({prompt.language})",
            fix='write {"id": "1", "language": "de", "text": "Land: Peru\\nHauptstadt:", "subject": "Peru", "choices": '
            '[" Lima", " Quito"], "answer": 0}, or give a task of facts such as xling_atlas_de_de',
        )
    shape: dict[str, Prompt] = {}
    for prompt in prompts:
        first = shape.setdefault(prompt.id, prompt)
        if (len(prompt.choices), prompt.answer) != (len(first.choices), first.answer):
            raise UserError(
                f"the same fact has choice {first.answer} of {len(first.choices)} right in {first.language}, and "
                f"{prompt.answer} of {len(prompt.choices)} in {prompt.language}",
                where=f"prompt {prompt.id}",
                fix="give each language the same choices in the same order",
            )


def questions(model: ProbedModel, prompts: Sequence[Prompt]) -> list[Question]:
    """Return prompts that ``check_facts`` lets pass as the model reads them.

    A continuation's tokens are those that the text has with it and not without it, as in the harness.

    Raises:
        UserError: if a text is longer than the model reads, or a continuation adds no token to it.
    """
    made = []
    for prompt, tokens in zip(prompts, encode(model, [prompt.text for prompt in prompts]), strict=True):
        where = f"prompt {prompt.id} ({prompt.language})"
        options = []
        for choice in prompt.choices:
            whole = prompt.text + choice
            both = model.tokenizer(whole)["input_ids"]
            both = both[: end_of_text(model.tokenizer, whole, both)]
            if model.max_length is not None and len(both) > model.max_length:
                raise UserError(
                    f"the prompt has {len(both)} tokens, and the model reads {model.max_length}",
                    where=where,
                    fix="give fewer demonstrations: --num-fewshot",
                )
            options.append(tuple(both[len(tokens.ids) :]))
            if not options[-1]:
                raise UserError(f"the choice {choice!r} adds no token to the text", where=where, fix="reword it")
        written = model.tokenizer(prompt.text, return_offsets_mapping=True)
        # Demonstrations come first, and may have the same subject.
        last = prompt.text.rindex(prompt.subject) + len(prompt.subject) - 1
        spans = written["offset_mapping"][: len(tokens.ids)]
        subject = max(position for position, (start, end) in enumerate(spans) if start <= last < end)
        assert prompt.answer is not None
        made.append(Question(tokens, subject, tuple(options), prompt.answer))
    return made


def option_log_likelihoods(
    model: ProbedModel,
    path: OutputPath,
    question: Question,
    *,
    rows: int = 1,
    edit: Edit | None = None,
    start: int = 0,
) -> torch.Tensor:
    """Return the log-likelihood of each continuation under several edits of the same prompt.

    What stands before ``start`` runs once and is not edited; from there on every row runs, and the continuations run
    after each row's own keys and values. The numbers are those of passes over prompt and continuation, up to rounding.

    Args:
        model: the model, whose variant is switched on.
        path: of the variant, from states to logits.
        question: prompt and continuations.
        rows: number of edits.
        edit: what each layer reads instead of what it is given; without one the rows are alike.
        start: first position that is edited.

    Returns:
        ``(rows, options)`` in nats, float32.
    """
    import torch
    from transformers import DynamicCache

    from lm_eval_xling.models.layers import edited

    ids = torch.tensor(question.prompt.ids, device=model.device)
    cache = DynamicCache(config=model.model.config.get_text_config())
    if start:
        model.model.base_model(input_ids=ids[None, :start], past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(rows)
    copies, first = 1, start

    def change(layer: int, hidden: torch.Tensor) -> torch.Tensor:
        if edit is None:
            return hidden
        return edit(layer, hidden.view(rows, copies, *hidden.shape[1:]), first).flatten(0, 1)

    def states(tokens: torch.Tensor) -> torch.Tensor:
        with edited(model.layers, change):
            output = model.model.base_model(input_ids=tokens, past_key_values=cache, use_cache=True)
        found: torch.Tensor = output.last_hidden_state
        return found

    opening = torch.tensor([option[0] for option in question.options], device=model.device)
    after_prompt = states(ids[None, start:].expand(rows, -1))[:, -1]
    found = log_probabilities(path, after_prompt, opening.expand(rows, -1))
    longest = max(map(len, question.options))
    if longest > 1:
        copies, first = len(question.options), len(ids)
        cache.batch_repeat_interleave(copies)
        # Padding stands to the right, where no token of the continuation attends to it.
        read = torch.zeros(copies, longest - 1, dtype=torch.long, device=model.device)
        for row, option in enumerate(question.options):
            read[row, : len(option) - 1] = torch.tensor(option[:-1])
        after = states(read.repeat(rows, 1)).view(rows, copies, longest - 1, -1)
        for row, option in enumerate(question.options):
            if len(option) > 1:
                said = torch.tensor(option[1:], device=model.device)
                of_option = after[:, row, : len(option) - 1].flatten(0, 1)
                found[:, row] += log_probabilities(path, of_option, said.repeat(rows)[:, None]).view(rows, -1).sum(-1)
    return found


def log_odds(log_likelihoods: torch.Tensor, answer: int) -> torch.Tensor:
    """Return the log-odds of the right continuation against the others together, in nats, of ``(..., options)``.

    Above 0 the right one is more likely than all others together; by chance it is ``-log(options - 1)``.
    """
    import torch

    others = [option for option in range(log_likelihoods.shape[-1]) if option != answer]
    return log_likelihoods[..., answer] - torch.logsumexp(log_likelihoods[..., others], dim=-1)


def log_probabilities(path: OutputPath, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities of tokens ``(states, tokens)``, some after each of the states ``(states, width)``.

    The head runs on few states at a time, so that memory does not grow with their number.
    """
    import torch

    size = max(1, _LOGITS_AT_ONCE // path.vocabulary)
    found = []
    for begin in range(0, len(hidden), size):
        logits = path.logits(hidden[begin : begin + size], finished=path.last_is_normed)
        found.append(logits.gather(-1, tokens[begin : begin + size]) - logits.logsumexp(-1, keepdim=True))
    return torch.cat(found)
