"""What a run costs, before it starts: its requests and tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.families.available import matching
from lm_eval_xling.harness import chat_template, requests, task_names

__all__ = ["Cost", "costs", "named_tasks", "tokenizer_of"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one task asks a model for."""

    documents: int
    """Items that are scored."""
    requests: int
    """One a document where text is generated, else one an option."""
    prompt_tokens: int
    """Tokens of all requests, scored continuations among them, with no prefix counted once."""
    generated_tokens: int
    """Most tokens that can be generated."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.documents + other.documents,
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
        )


def named_tasks(patterns: Iterable[str], include_path: Sequence[str | Path] = ()) -> list[str]:
    """Return the leaf tasks that names, patterns, tags and groups stand for, in the order of the patterns.

    Raises:
        UserError: a pattern that stands for none.
    """
    known = task_names(include_path=include_path)
    found: dict[str, None] = {}
    for pattern in patterns:
        named = [name for name in known if fnmatchcase(name, pattern)] or list(matching([pattern]))
        if not named:
            raise unknown_name("task", pattern, known)
        found.update(dict.fromkeys(named))
    return list(found)


def tokenizer_of(model: str) -> Any:
    """Return the tokenizer of a model.

    Args:
        model: name of an embedded model, a folder, or a name on the hub.

    Raises:
        UserError: if there is no such tokenizer.
    """
    from transformers import AutoTokenizer

    from lm_eval_xling.models import EMBEDDED_MODELS, model_folder

    embedded = model in EMBEDDED_MODELS and not Path(model).exists()
    try:
        return AutoTokenizer.from_pretrained(model_folder(model) if embedded else model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the tokenizer of {model!r} cannot be loaded",
            where=str(error).splitlines()[0],
            fix="for a model behind an API, name a public model with a similar tokenizer",
        ) from None


def costs(tasks: Iterable[str], tokenizer: Any, *, turns: bool = False, **asked: Any) -> Mapping[str, Cost]:
    """Return what each task costs.

    Args:
        tasks: names of leaf tasks.
        tokenizer: counts the tokens.
        turns: whether the tokenizer's chat template is applied.
        asked: further arguments of ``harness.requests``.

    Raises:
        UserError: as ``harness.requests``, or a tokenizer without a chat template.
    """
    template = chat_template(tokenizer) if turns else None
    return {task: _cost(task, tokenizer, template, asked) for task in tasks}


def _cost(task: str, tokenizer: Any, template: Callable[..., str] | None, asked: Mapping[str, Any]) -> Cost:
    made = requests(task, chat_template=template, **asked)
    texts = [request.context + end for request in made for end in request.continuations or ("",)]
    # A template writes the special tokens itself.
    ids = tokenizer(texts, add_special_tokens=template is None)["input_ids"]
    return Cost(len(made), len(texts), sum(map(len, ids)), sum(request.max_tokens for request in made))
