"""Every leaf under three chat templates: what a conversation holds, and that no part of a plain prompt is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from lm_eval_xling import catalog
from lm_eval_xling.families import FAMILIES, Family
from lm_eval_xling.harness import tasks_folder
from lm_eval_xling.leaf_dataset import leaf_dataset
from lm_eval_xling.leaf_task import LeafTask
from tests.families.written import rows_of
from tests.tiny import tokenizer

# Our own writing of the three forms; the last two strip what they are given, and Gemma's has no system turn.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# Beginning of a turn, end of a turn, what the model is called.
TEMPLATES = {
    "ChatML": (CHATML, "<|im_start|>{}\n", "<|im_end|>\n", "assistant"),
    "Llama 3": (LLAMA_3, "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", "assistant"),
    "Gemma": (GEMMA, "<start_of_turn>{}\n", "<end_of_turn>\n", "model"),
}


@pytest.fixture(scope="module")
def leaves() -> Iterator[Callable[[Family], list[LeafTask]]]:
    """The tasks of a family's leaves on the rows that we wrote."""
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)

    @cache
    def load(family: Family) -> list[LeafTask]:
        return [manager.load([family.task(leaf)])["tasks"][family.task(leaf)] for leaf in family.leaves]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "load_rows", rows_of)
        leaf_dataset.cache_clear()
        yield load
        leaf_dataset.cache_clear()


@cache
def applied(template: str) -> Callable[..., str]:
    """The harness's own way to a model's template."""
    made = tokenizer()
    made.chat_template = template
    model = SimpleNamespace(tokenizer=made, chat_template_args={})

    def apply(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return HFLM.apply_chat_template(model, history, add_generation_prompt)  # type: ignore[arg-type]

    return apply


def sent(task: LeafTask, document: dict[str, Any], shots: int, template: str, turns: bool) -> tuple[str, list[str]]:
    """Context and continuations, as the harness asks for them."""
    apply = applied(template)
    context = task.fewshot_context(
        document, shots, apply_chat_template=True, fewshot_as_multiturn=turns, chat_template=apply,
        gen_prefix=task.doc_to_prefix(document),
    )  # fmt: skip
    built = task.construct_requests(
        document, context, metadata=(task.config.task, 0, 1), apply_chat_template=True, chat_template=apply
    )
    return context, [] if task.form.generates else [instance.arguments[1] for instance in built]


def answer_of(task: LeafTask, document: dict[str, Any]) -> str:
    """The answer that a demonstration shows, in a turn of its own."""
    if task.form.generates:
        return str(document["target"])
    # Classification closes its quotation mark.
    closing = '"' if document["cue"].endswith('"') else ""
    return document["cue"] + task.form.delimiter + document["choices"][document["answer"]] + closing


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_conversations(family: Family, name: str, leaves: Callable[[Family], list[LeafTask]]) -> None:
    template, begin, end, model = TEMPLATES[name]

    def turn(role: str, text: str) -> str:
        return f"{begin.format(role)}{text}{end}"

    for task in leaves(family):
        document = next(iter(task.eval_docs))
        start = "" if name == "ChatML" else "<bos>"
        told = "\n".join(part for part in (document["description"].strip(), document["request"]) if part)
        if told and name != "Gemma":
            # Without the line feeds that part it from what follows in a plain prompt, and with what a base model sees.
            start += turn("system", told)
        cue = "" if task.form.generates else document["cue"]
        asked = turn("user", document["prompt"]) + begin.format(model) + cue

        for turns in (False, True):
            context, continuations = sent(task, document, 0, template, turns)
            # The cue begins the model's turn, and there alone; nothing is said twice.
            assert context == start + asked, task.config.task
            assert context.count(document["prompt"]) == 1
            assert not context[-1].isspace() or not cue
            assert len(continuations) == (0 if task.form.generates else len(document["choices"]))
            assert all(text.strip() and text == task.form.delimiter + text.lstrip() for text in continuations)
        if task.form.shots == 0:
            continue
        shown = task.sampler.sample(1, document)[0]
        context, continuations = sent(task, document, 1, template, turns=True)
        assert context == start + turn("user", shown["prompt"]) + turn(model, answer_of(task, shown)) + asked
        if continuations:
            # The scored text is what the demonstration's model said: its turn, up to the mark that closes it.
            said = document["cue"] + continuations[document["answer"]]
            assert answer_of(task, document).startswith(said)
        context, _ = sent(task, document, 1, template, turns=False)
        whole = f"{shown['cue']}{task.form.delimiter}{shown['target'] if task.form.generates else ''}"
        if not task.form.generates:
            whole += shown["choices"][shown["answer"]]
        example = f"{shown['prompt']}\n{whole}{task.form.shots_delimiter}"
        assert context == start + turn("user", example + document["prompt"]) + begin.format(model) + cue


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_template_changes_no_plain_prompt(family: Family, leaves: Callable[[Family], list[LeafTask]]) -> None:
    for task in leaves(family):
        document = next(iter(task.eval_docs))
        shots = 0 if task.form.shots == 0 else 1
        prefix = task.doc_to_prefix(document)
        before = task.fewshot_context(document, shots, gen_prefix=prefix)
        sent(task, document, shots, CHATML, turns=True)
        assert task.fewshot_context(document, shots, gen_prefix=prefix) == before
        assert before.endswith(f"{document['prompt']}\n{document['cue']}")
        assert before.startswith(document["description"].rstrip())
        assert (bool(document["request"]) and document["request"] in before) == task.form.generates or not document[
            "request"
        ]
