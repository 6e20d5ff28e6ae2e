"""How many tokens a word takes in each language, counted by the tokenizer of the model that was evaluated.

Tokenizers cut words of languages that they have seen little of into more pieces (Petrov et al. 2023, *Language model
tokenizers introduce unfairness between languages*, arXiv 2305.15425; Rust et al. 2021, who call it fertility).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from lm_eval_xling.report.conditions import UNKNOWN, condition_of
from lm_eval_xling.report.evaluations import EvaluatedModel, Samples
from lm_eval_xling.splitting import word_spans

__all__ = ["local_tokenizer", "texts_in", "tokens_per_word"]

_MOST_ITEMS = 200
"""Read of every task: the mean of so many hardly moves."""


def local_tokenizer(model: EvaluatedModel) -> Any | None:
    """Return the tokenizer of a model from its folder or from the hub's cache, or None. Nothing is downloaded.

    Args:
        model: as the results name it; an argument ``tokenizer`` goes before the weights, as in the harness.
    """
    arguments = dict(part.partition("=")[::2] for part in model.arguments.split(",") if part)
    return _loaded(arguments.get("tokenizer") or model.source, arguments.get("revision", "main"))


@cache
def _loaded(source: str, revision: str) -> Any | None:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, revision=revision, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, AttributeError):
        # Not here, or a kind that this release of transformers does not know.
        return None


def texts_in(language: str, samples: Samples) -> list[str]:
    """Return the texts of a task's items that are wholly in a language: prompts, and options.

    Args:
        language: code.
        samples: of the task, whose file is read again for the first items.
    """
    texts = []
    with open(samples.path, "rb") as stream:
        for offset in samples.offsets[:_MOST_ITEMS]:
            stream.seek(int(offset))
            texts += _of_document(json.loads(stream.readline())["doc"], language)
    return texts


def _of_document(doc: dict[str, Any], language: str) -> list[str]:
    keys = ("condition", "placement", "question_language", "answer_language", "languages")
    condition = condition_of(*(doc.get(key) for key in keys), form="") or UNKNOWN
    prompt = str(doc.get("prompt") or doc.get("question") or "")
    shown = doc.get("options") or doc.get("choices") or []
    inside = {condition.question, condition.language("context") or condition.question}
    # Where options are listed, they are part of the prompt.
    if shown and all(str(text).strip() in prompt for text in shown):
        inside |= set(condition.options or (condition.answer,))
    texts = [prompt] if inside == {language} else []
    named = condition.options if len(condition.options) == len(shown) else [condition.answer] * len(shown)
    return texts + [str(text) for text, code in zip(shown, named, strict=True) if code == language]


def tokens_per_word(tokenizer: Any, texts: Iterable[str], language: str) -> float:
    """Return the mean number of tokens a word; nan without words.

    Args:
        tokenizer: any of transformers; what it puts around a text is not counted.
        texts: in one language.
        language: its code. Where words are written without spaces, ICU's dictionaries divide them.
    """
    # Equal texts are counted once: options come again from item to item.
    kept: Sequence[str] = [text.strip() for text in dict.fromkeys(texts) if text.strip()]
    words = sum(len(word_spans(text, language)) for text in kept)
    if not words:
        return float("nan")
    tokens = sum(len(ids) for ids in tokenizer(list(kept), add_special_tokens=False)["input_ids"])
    return float(tokens / words)
