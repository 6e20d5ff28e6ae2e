"""WikiText's lines ▸ articles in plain text: joined, detokenised, headings kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lm_eval_xling.catalog.wikitext import split_articles

__all__ = ["articles", "detokenise"]

# "a (b" and "a “b”" as published: "a ( b", "a " b "". Each rule takes away the spaces that tokenisation put in.
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r" @([-,.])@ ", r"\1"),
        (r'" ([^"]*?) "', r'"\1"'),
        # A lone quotation mark of the pair stands in another paragraph: before the text, it opens.
        (r'^" (?=[^"]*$)', '"'),
        (r"([(\[{]) ", r"\1"),
        (r" ([)\]}])", r"\1"),
        (r"(?<=\d) : (?=\d\d\b)", ":"),
        (r"(?<=[^=\s]) ([,;:.?!]+)(?= |$|[\"')\]])", r"\1"),
        (r" '(?=(?:s|m|d|t|re|ll|ve|S)\b)", "'"),
        (r"(?<=s) '(?= )", "'"),
        (r"(?<=\w) '(?=$|[.,;:?!)\"])", "'"),
        (r"([$£€¥]) (?=\d)", r"\1"),
        (r"(?<=\d) ([%°])", r"\1"),
        (r"(?<=\d) / (?=\d)", "/"),
    )
]


# The same number of marks on both sides, one for each level.
_HEADING = re.compile(r"((?:= )+)(?!=)(.*?[^\s=])((?: =)+)")


def detokenise(line: str) -> str:
    """Return a line of WikiText as it is written in print: ``Valkyria Chronicles III , 1 @,@ 000`` ▸ ``…III, 1,000``.

    Headings get marks without spaces between them (``== Title ==``); ``<unk>`` stays, for nobody knows the word.
    """
    line = line.strip()
    heading = _HEADING.fullmatch(line)
    if heading and len(heading[1]) == len(heading[3]):
        marks = "=" * (len(heading[1]) // 2)
        return f"{marks} {detokenise(heading[2])} {marks}"
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return line


def articles(lines: Iterable[str]) -> Iterator[str]:
    """Yield WikiText's articles detokenised, without blank lines; memory holds one article at a time.

    Args:
        lines: of the published files, or the rows of the hub's dataset.
    """
    for article in split_articles(lines):
        yield "\n".join(map(detokenise, article.lines))
