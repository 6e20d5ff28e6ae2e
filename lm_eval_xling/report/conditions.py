"""In which condition a document was shown: the one place where the report reads it.

A document of this release carries ``condition``: its placement, the form of the answer, and the language of each of
its parts. Documents of runs that were made before carry ``placement``, ``question_language``, ``answer_language`` and
``languages`` beside their other fields, and for runs without samples the leaf's settings in the results have to do.
Documents of other tasks of the harness say nothing, and nothing is read into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lm_eval_xling.composing import PLACEMENT_WORDS
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Switched

__all__ = [
    "BASE",
    "FORMS",
    "SEVERAL",
    "UNKNOWN",
    "LoggedCondition",
    "combined",
    "condition_of",
    "condition_of_leaf",
    "in_words",
    "name",
    "rank_of",
]

BASE = "en"
SEVERAL = "mul"
"""ISO 639-2: multiple languages, in one text or from item to item."""
FORMS = ("letters", "cloze", "generate")
# Parts that are read beside the item, not parts of it.
_BESIDE = frozenset({"demonstrations", "reasoning", "labels"})


@dataclass(frozen=True, slots=True)
class LoggedCondition:
    """How a document, or every document of a task, was shown."""

    placement: str = ""
    """Name of the placement; empty where it is unknown, ``mul`` where it differs from item to item."""
    form: str = ""
    """``letters``, ``cloze``, ``generate``, or a family's own; empty where it is unknown."""
    languages: tuple[tuple[str, str], ...] = ()
    """Part to language code, sorted by part; ``mul`` for a part in several languages."""
    codes: tuple[str, ...] = ()
    """Every language in which a part of an item stands, sorted."""
    switched: tuple[tuple[str, Switched], ...] = ()
    """Part to how it is code-switched, sorted by part; empty where none is."""

    def language(self, part: str) -> str:
        """Return the language code of a part, or an empty string."""
        return next((code for name, code in self.languages if name == part), "")

    @property
    def question(self) -> str:
        """Language of the question: a code, ``mul``, or empty where unknown."""
        return self.language("question")

    @property
    def answer(self) -> str:
        """Language of the right answer: a code, ``mul``, or empty where unknown."""
        return self.language("answer")

    @property
    def options(self) -> tuple[str, ...]:
        """Language of every option, in their order; empty without options."""
        return tuple(code for _, code in sorted(_numbered(self.languages)))

    @property
    def others(self) -> tuple[tuple[str, str], ...]:
        """Part to language for what is neither question nor answer nor option: context, demonstrations."""
        return tuple((p, code) for p, code in self.languages if p not in ("question", "answer") and not _is_option(p))

    @property
    def is_pair(self) -> bool:
        """Whether all questions are in one language and all answers, with every option, in one language."""
        known = self.question not in ("", SEVERAL) and self.answer not in ("", SEVERAL) and not self.switched
        return known and all(code == self.answer for code in self.options)

    @property
    def is_english(self) -> bool:
        """Whether every part of the item stands in English."""
        parts = [code for part, code in self.languages if part not in _BESIDE]
        return self.question == BASE and bool(self.answer) and all(code == BASE for code in parts) and not self.switched


UNKNOWN = LoggedCondition()
"""Of a task that says nothing of its condition."""


def _is_option(part: str) -> bool:
    return part.startswith("option_")


def _numbered(languages: Iterable[tuple[str, str]]) -> Iterable[tuple[int, str]]:
    return ((int(part[7:]), code) for part, code in languages if _is_option(part) and part[7:].isdigit())


def _condition(
    placement: str, form: str, languages: Mapping[str, str], switched: Mapping[str, Switched] | None = None
) -> LoggedCondition:
    switched = switched or {}
    codes = {code for part, code in languages.items() if part not in _BESIDE and code != SEVERAL}
    codes |= {code for how in switched.values() for code in (how.matrix, how.embedded)}
    return LoggedCondition(
        placement, form, tuple(sorted(languages.items())), tuple(sorted(codes)), tuple(sorted(switched.items()))
    )


def condition_of(
    condition: Any, placement: Any, question_language: Any, answer_language: Any, languages: Any, *, form: str
) -> LoggedCondition | None:
    """Return the condition of a document, in either shape, or None where the document has neither.

    Args:
        condition: the document's ``condition``.
        placement: the field of that name, as all that follow, of a document of an older run.
        question_language: of an older run.
        answer_language: of an older run.
        languages: of an older run.
        form: of an older run, which did not log it.
    """
    if isinstance(condition, Mapping) and isinstance(condition.get("languages"), Mapping):
        # A part that an item lacks is null, because the harness's datasets give every row the same keys.
        parts = {str(part): str(code) for part, code in condition["languages"].items() if code is not None}
        logged = condition.get("switched")
        switched = {
            str(part): Switched(**how)
            for part, how in (logged.items() if isinstance(logged, Mapping) else ())
            # Without a translator none is logged.
            if isinstance(how, Mapping) and {*how, "translator"} == set(Switched.__slots__)
        }
        return _condition(str(condition.get("placement") or ""), str(condition.get("form") or ""), parts, switched)
    if placement is None and question_language is None and answer_language is None and languages is None:
        return None
    parts = {}
    if isinstance(languages, Mapping):
        parts = {str(part): str(code) for part, code in languages.items() if code is not None}
    for part, code in (("question", question_language), ("answer", answer_language)):
        if code is not None:
            parts[part] = SEVERAL if code == "mixed" else str(code)
    return _condition(str(placement or ""), form, parts)


def combined(conditions: Iterable[LoggedCondition]) -> LoggedCondition:
    """Return what all documents of a task have in common: a part that differs from item to item is ``mul``."""
    distinct = set(conditions)
    if not distinct:
        return UNKNOWN
    parts: dict[str, set[str]] = {}
    for condition in distinct:
        for part, code in condition.languages:
            parts.setdefault(part, set()).add(code)
    return LoggedCondition(
        placement=_one(condition.placement for condition in distinct),
        form=_one(condition.form for condition in distinct),
        languages=tuple(sorted((part, _one(codes)) for part, codes in parts.items())),
        codes=tuple(sorted({code for condition in distinct for code in condition.codes})),
        switched=next(iter(distinct)).switched if len({condition.switched for condition in distinct}) == 1 else (),
    )


def _one(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else SEVERAL


# Placement ▸ languages of question and right answer, where "?" is the second language.
_PLACED = {
    "en": (BASE, BASE),
    "full": ("?", "?"),
    "question": ("?", BASE),
    "options": (BASE, "?"),
    "gt": (BASE, "?"),
    "gt_question": ("?", "?"),
    "onewrong": (BASE, BASE),
    "threewrong": (BASE, BASE),
}
# Of these the right answer's language is not that of the wrong ones.
_UNEQUAL = frozenset({"gt", "gt_question", "onewrong", "threewrong"})


def condition_of_leaf(leaf: Mapping[str, Any]) -> tuple[LoggedCondition, str]:
    """Return the condition that the settings of a leaf name, and what else they name.

    For runs without samples alone, which say it better.

    Args:
        leaf: in an older run the ``leaf`` of the results, in a newer one what the family says of the leaf.
    """
    placement = str(leaf.get("placement") or "")
    form = str(leaf.get("form") or ("generate" if leaf.get("generate") else ""))
    parts = {}
    if placement in _PLACED:
        named = str(leaf.get("language") or BASE)
        asked, answered = (code.replace("?", named) for code in _PLACED[placement])
        parts = {"question": asked, "answer": answered}
        if placement in _UNEQUAL:
            # Which option stands where is known of the documents only; that they differ is known here.
            parts |= {"option_0": SEVERAL, "option_1": named if named != answered else BASE}
    elif placement:
        parts = {"question": SEVERAL, "answer": SEVERAL}
    else:
        for part, keys in (
            ("question", ("question_language", "question", "language", "source")),
            ("answer", ("answer_language", "answer", "options", "context", "language", "target", "reasoning")),
        ):
            code = next((str(leaf[key]) for key in keys if key in leaf), "")
            if code in LANGUAGES or code == SEVERAL:
                parts[part] = code
    rest = {key: value for key, value in leaf.items() if key not in ("family", "placement", "form", "generate")}
    variant = ", ".join(
        str(value) if isinstance(value, str) else key
        for key, value in sorted(rest.items())
        if value and value not in LANGUAGES and value != SEVERAL
    )
    return _condition(placement, form, parts) if parts else UNKNOWN, variant


# ---------------------------------------------------------------------------------------------------------------
# words
# ---------------------------------------------------------------------------------------------------------------

# "en" stands in English only where the base language is, which the parts say.
_WORDS = {placement: words for placement, words in PLACEMENT_WORDS.items() if placement != "en"}
_WORDS["mixup_paper"] = f"{_WORDS['mixup']}, as published"


def rank_of(condition: str) -> int:
    """Return the place of a condition in the order in which they are shown, by the placement that its name holds."""
    placement = condition.partition(" (")[0]
    return list(_WORDS).index(placement) if placement in _WORDS else len(_WORDS)


def name(code: str) -> str:
    """Return the English name of a language, ``several languages``, or the code where it has no name here."""
    return "several languages" if code == SEVERAL else LANGUAGES[code].name if code in LANGUAGES else code


def _is_as_named(condition: LoggedCondition, other: str) -> bool:
    asked, answered = (code.replace("?", other) for code in _PLACED[condition.placement])
    return (condition.question, condition.answer) == (asked, answered)


def in_words(condition: LoggedCondition, *, any_language: bool = False) -> str:
    """Return what a reader calls a condition, or an empty string where nothing is known.

    Args:
        condition: of a task.
        any_language: whether several tasks of the placement are meant, each in another language.
    """
    if condition.switched:
        return _switched_in_words(condition, any_language)
    others = [code for code in condition.codes if code != BASE]
    told = "another language" if any_language else name(others[0]) if len(others) == 1 else ""
    words = _WORDS.get(condition.placement)
    if words is not None and "{target}" not in words:
        return words
    # With another base language the names mean something else, which the words below say.
    if words is not None and told and (any_language or _is_as_named(condition, others[0])):
        return words.format(target=told, base=name(BASE))
    if any_language:
        return ""
    if condition.is_english:
        return "all in English"
    if not condition.question and not condition.answer:
        return ""
    context = condition.language("context")
    texts = [("question", condition.question), ("answer", condition.answer)]
    if context and context not in (condition.answer, SEVERAL):
        texts.insert(0, ("context", context))
    if len({code for _, code in texts if code}) == 1:
        return f"all in {name(texts[-1][1])}"
    return ", ".join(f"{part} in {name(code)}" for part, code in texts if code)


# By kind of translator; other kinds are models.
_MADE_BY = {"": "", "apertium": " by Apertium", "lexicon": " by a lexicon", "parallel": " by given translations"}


def _made_by(how: Switched) -> str:
    """Return where the pieces come from, in words; nothing where they come from the item's own translation."""
    return _MADE_BY.get(how.translator.partition(":")[0], " by a translation model")


def _switched_in_words(condition: LoggedCondition, any_language: bool) -> str:
    def called(code: str) -> str:
        return "another language" if any_language and code != BASE else name(code)

    if any_language and not all(BASE in (how.matrix, how.embedded) for _, how in condition.switched):
        return ""
    parts: dict[Switched, list[str]] = {}
    for part, how in condition.switched:
        parts.setdefault(how, []).append(part)
    words = [
        f"{' and '.join(named)} in {called(how.matrix)} with {how.share} % {called(how.embedded)}{_made_by(how)}"
        for how, named in parts.items()
    ]
    switched = dict(condition.switched)
    others = {"context": condition.language("context"), "question": condition.question, "answer": condition.answer}
    words += [f"{part} in {called(code)}" for part, code in others.items() if code and part not in switched]
    return ", ".join(words)
