"""Texts that hold what splitting could trip over: paragraphs, headings, scripts without spaces, odd white space."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

WORDS = [
    "Dr.",
    "cat",
    "naïve",
    "3.5",
    "—",
    "U.S.",
    "«oui»",
    "don't",
    "北京大学。",
    "私は学生です",
    "ภาษาไทย",
    "नमस्ते।",
    "\U0001f600",
]
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u3000", "\u2028", "\x0b"]

texts = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.one_of(
            st.sampled_from(WORDS), st.sampled_from(SPACES), st.sampled_from([". ", "? ", "。", "= = A b = =\n"])
        ),
        max_size=60,
    ).map("".join),
)
languages = st.sampled_from(["en", "de", "zh", "ja", "th", "ar", "hi"])
units = st.sampled_from(["document", "sentence", "chunk"])


def identity(texts: Sequence[str], source: str, target: str) -> list[str | None]:
    return list(texts)


def refuse(texts: Sequence[str], source: str, target: str) -> list[str | None]:
    return [None] * len(texts)


def mark(texts: Sequence[str], source: str, target: str) -> list[str | None]:
    """A translation from which the source, the text and the target can be read."""
    return [f"⟦{source}>{target}:{text}⟧" for text in texts]
