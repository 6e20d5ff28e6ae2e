"""What a chat model says: its reply without the thinking before it, without Markdown and LaTeX around the words."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["boxed", "plain", "said", "unmarked"]

_THINK_OPEN = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THINK_CLOSE = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<\s*(?:final[_ ]?)?answer\s*>", re.IGNORECASE)
# HTML, and special tokens that a server left in: <|im_end|>.
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9_ ]{0,19}/?>|<\|[^|<>\n]{1,30}\|>")
_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:bf|rm|it|sf|bb|cal)|mbox|boldsymbol|bm|operatorname)\s*\{([^{}]*)\}"
)
_LINE_MARKS = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|(?:>[ \t]*)+|[*+\u2022\u2023\u25cf\u25aa\u00b7][ \t]+)", re.MULTILINE)
# A star between two numbers multiplies.
_EMPHASIS = re.compile(
    r"(?<![0-9A-Za-z)])\*+(?=\S)|(?<=\S)\*+(?![0-9A-Za-z(])|~~|`+|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)|__"
)
_DELIMITERS = re.compile(r"\\[()\[\]]|\$\$|(?<!\\)\$(?![\d\s]*\d)")


def said(text: str, think_end_token: str | None = None) -> str:
    """Return the part of a reply that follows the model's thinking.

    What stands in ``<think>…</think>`` is not part of the reply; a template may have opened the block in the prompt.
    Thinking that was cut off before its end leaves nothing.

    Args:
        text: what the model generated.
        think_end_token: token that ends the thinking of a model that uses another one, as the harness's argument of
            that name; a text without it is read whole, because the harness may have cut the thinking off already.
    """
    if think_end_token and think_end_token in text:
        text = text.rpartition(think_end_token)[2]
    *_, last = [0, *(match.end() for match in _THINK_CLOSE.finditer(text))]
    text = text[last:]
    return "" if _THINK_OPEN.search(text) else text


def boxed(text: str) -> list[str]:
    r"""Return the contents of every ``\boxed{…}`` in order, braces inside them balanced."""
    contents = []
    for match in re.finditer(r"\\f?box(?:ed)?\s*\{", text):
        depth, end = 1, match.end()
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if not depth:
            contents.append(text[match.end() : end - 1])
    return contents


def unmarked(text: str) -> str:
    """Return a text without the signs of Markdown, LaTeX and HTML that only say how it is to look.

    ``<answer>`` becomes the word for it, because it says what follows.
    """
    text = _ANSWER_TAG.sub(" Answer: ", text)
    text = _TAG.sub(" ", text)
    text = re.sub(r"\\f?box(?:ed)?\s*\{", r"\\text{", text)
    while _WRAPPED.search(text):
        text = _WRAPPED.sub(r"\1", text)
    text = _DELIMITERS.sub("", text)
    text = _EMPHASIS.sub("", _LINE_MARKS.sub("", text))
    return text.replace("\r\n", "\n")


def plain(text: str) -> str:
    """Return ``unmarked`` text in NFKC."""
    return unicodedata.normalize("NFKC", unmarked(text))
