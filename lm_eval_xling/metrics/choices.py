r"""Which option a written answer names: what chat models and servers answer to a multiple-choice question.

An answer is a *statement*: a box (``\boxed{B}``), a sentence that says what the answer is ("The correct answer is B",
"正解はB"), or a line that is nothing but an option ("**B. Paris**"). The last statement counts. A statement that names
two options is no answer, and neither is a text that discusses several without a statement. A text without any
statement is read only if it names a single option.

What is not written there is never read: an unread answer is counted (``answered``), a misread one is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from lm_eval_xling.metrics.replies import boxed, said
from lm_eval_xling.metrics.statements import Statements

__all__ = ["choice_scores", "read_choice", "read_label"]


def read_choice(
    text: str,
    options: Sequence[str],
    letters: Sequence[str],
    language: str,
    think_end_token: str | None = None,
) -> int | None:
    r"""Return the index of the option that a written answer names, or None where it names none or several.

    Read are the letter (``B``, ``(b)``, ``**B.**``, ``Option B``, ``\boxed{B}``, full-width, and the letters by which
    Arabic, Hebrew, Greek, Thai, Hindi and Bengali name options), the option's text, and both; alone on a line, or in a
    sentence that says so in any language of the project. The last such statement counts, whatever reasoning stands
    before or explanation behind it. An option whose text contains another's is told by the longest match; where a text
    is a letter itself, the letter counts.

    Args:
        text: the generated answer, thinking included.
        options: texts of the options, as the question shows them.
        letters: what the options are named by, such as ``A`` to ``D``, ``1`` to ``4``; at least as many as options.
        language: code of the language asked for; it decides only whose words of one or two letters are read.
        think_end_token: as in ``replies.said``.
    """
    answer = said(text, think_end_token)
    letters = letters[: len(options)] if letters else ()
    for content in reversed(boxed(answer)):
        inner = Statements(content, options, letters, language)
        named = inner.decided()
        if named is not None or inner.mentions:
            return named
    return Statements(answer, options, letters, language).decided()


def read_label(text: str, labels: Sequence[str], language: str, think_end_token: str | None = None) -> int | None:
    """Return the index of the label (``positive``, ``negative``, …) that a written answer gives, or None.

    As ``read_choice``, but labels have no letters.

    Args:
        text: the generated answer, thinking included.
        labels: label words, as the instruction names them.
        language: code of the language asked for.
        think_end_token: as in ``replies.said``.
    """
    return read_choice(text, labels, (), language, think_end_token)


def choice_scores(named: int | None, answer: int) -> dict[str, float]:
    """Return the scores of a written answer; their means over the documents are the task's.

    ``acc`` counts an unread answer as wrong; ``answered`` is 1.0 where an answer was read, and only then there is
    ``acc_answered``.

    Args:
        named: index that ``read_choice`` or ``read_label`` returned.
        answer: index of the right option.
    """
    scores = {"acc": float(named == answer), "answered": float(named is not None)}
    return scores if named is None else {**scores, "acc_answered": float(named == answer)}
