"""Files of question pairs for question alignment: the published format, and what other trainers' formats hold of it.

The published format (Zhang et al. 2024) has rows ``input``, a question that ends in the line ``Translate the input from
German to English:``, and ``answer``, the question in the other language. Chat messages, ShareGPT, Alpaca, and prompts
with completions are read where their prompt begins or ends with such a line, in any wording that names both languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import read_text
from lm_eval_xling.languages import resolve

__all__ = ["TranslatedQuestion", "read_translated_questions", "split_instruction"]

_INSTRUCTION = re.compile(r"\n?Translate the input from (?P<source>.+) to (?P<target>.+?):\s*\Z")
_LINE = re.compile(r"(?:please )?translate\b.*?\bfrom (?P<source>[^:\n]+?) (?:in)?to (?P<target>[^:\n]+?)[.:]?", re.I)
_BEFORE = re.compile(f"{_LINE.pattern}(?:(?<=:)\\s+|\\s*\\n)(?P<text>.+)", re.I | re.S)
_AFTER = re.compile(f"(?P<text>.+)\\n\\s*{_LINE.pattern}", re.I | re.S)
_PUBLISHED = "in the published format"
_FIX = (
    "each row has `input`, which ends in `Translate the input from X to Y:`, and `answer`; chat messages, ShareGPT, "
    "Alpaca and `prompt` with `completion` are read where the prompt begins or ends with such a line"
)


class TranslatedQuestion(NamedTuple):
    """One question in two languages."""

    question: str
    """In the source language."""
    source: str
    """Language code."""
    translation: str
    """The question in the target language."""
    target: str
    """Language code."""


def split_instruction(text: str) -> tuple[str, str, str] | None:
    """Return the question, its language and the language to translate to, as spelled; None without the published line.

    Args:
        text: an ``input`` of the published format.
    """
    found = _INSTRUCTION.search(text)
    return None if found is None else (text[: found.start()], found["source"], found["target"])


def read_translated_questions(path: Path) -> list[TranslatedQuestion]:
    """Read a file of question pairs: a JSON array or JSON lines, in any of the formats.

    Raises:
        UserError: if the file cannot be read or is empty, or a row is no pair; the message names the row's format.
    """
    pairs = [_pair(row, where) for row, where in _rows(path)]
    if not pairs:
        raise UserError("no pairs: the file is empty", where=path, fix=_FIX)
    return pairs


def _rows(path: Path) -> Iterator[tuple[Any, str]]:
    text = read_text(path)
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise UserError(f"not a JSON array: {error}", where=path, fix="fetch the file again") from None
        yield from ((row, f"{path}, row {number}") for number, row in enumerate(rows, 1))
        return
    # Not splitlines: texts may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line), f"{path}, line {number}"
        except ValueError as error:
            raise UserError(
                f"neither a JSON array nor JSON lines: {error}", where=f"{path}, line {number}", fix=_FIX
            ) from None


def _pair(row: Any, where: str) -> TranslatedQuestion:
    if not isinstance(row, dict):
        raise UserError("not a row of a pair file: no JSON object", where=where, fix=_FIX)
    format, prompt, translation = _prompt_and_answer(row, where)
    # White space of the published questions is theirs; elsewhere it only sets the instruction apart.
    found = split_instruction(prompt) if format == _PUBLISHED else _loosely(prompt)
    if found is None:
        raise UserError(
            f"not a row of a pair file: a row {format}, whose prompt names no translation from one language to another",
            where=where,
            fix=_FIX,
        )
    question, source, target = found
    if not question.strip() or not translation.strip():
        raise UserError("an empty question", where=where, fix="remove the row")
    try:
        return TranslatedQuestion(question, resolve(source).code, translation, resolve(target).code)
    except UserError as error:
        raise UserError(error.what, where=where, fix=error.fix) from None


def _loosely(prompt: str) -> tuple[str, str, str] | None:
    text = prompt.strip()
    found = _BEFORE.fullmatch(text) or _AFTER.fullmatch(text)
    return None if found is None else (found["text"].strip(), found["source"], found["target"])


def _prompt_and_answer(row: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """The row's format in words, its prompt, and the answer to it."""
    if _texts(row, "input", "answer"):
        return _PUBLISHED, row["input"], row["answer"]
    if _texts(row, "instruction", "output"):
        prompt = "\n".join(filter(None, (row["instruction"], row.get("input") or "")))
        return "in the Alpaca format", prompt, row["output"]
    if _texts(row, "prompt", "completion"):
        return "of prompt and completion", row["prompt"], row["completion"]
    for name, key, who, what, asking, answering in (
        ("in the ShareGPT format", "conversations", "from", "value", ("human", "user"), ("gpt", "assistant")),
        ("of chat messages", "messages", "role", "content", ("user",), ("assistant",)),
    ):
        turns = row.get(key)
        if isinstance(turns, list):
            said = [(turn.get(who), turn.get(what)) for turn in turns if isinstance(turn, dict)]
            spoken = [(speaker, _plain(text)) for speaker, text in said if speaker in (*asking, *answering)]
            if len(spoken) != 2 or spoken[0][0] not in asking or spoken[1][0] not in answering:
                raise UserError(
                    f"not a row of a pair file: a row {name} with {len(spoken)} turns, not a question and its answer",
                    where=where,
                    fix=_FIX,
                )
            return name, spoken[0][1], spoken[1][1]
    raise UserError(
        f"not a row of a pair file: its fields are {', '.join(row) or 'none'}",
        where=where,
        fix="keep the pairs alone: these are preferences" if {"chosen", "rejected"} <= row.keys() else _FIX,
    )


def _texts(row: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(row.get(name), str) for name in names)


def _plain(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
