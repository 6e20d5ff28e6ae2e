"""What the multiple-choice families share: option identifiers, the question block, the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lm_eval_xling import catalog
from lm_eval_xling.composing import PLACEMENTS, Parts, compose
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.leaves import Leaf
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.records import ComposedItem, Document, Row

__all__ = [
    "OPTION_IDS",
    "ComposedParameters",
    "compose_rows",
    "document",
    "lettered",
    "placement_leaves",
    "placement_subgroups",
]

OPTION_IDS: Mapping[str, tuple[str, ...]] = {
    "A-D": ("A", "B", "C", "D"),
    "1-4": ("1", "2", "3", "4"),
    "C-F": ("C", "D", "E", "F"),
}
"""Option identifiers that the paper tried."""


@dataclass(frozen=True, slots=True)
class ComposedParameters:
    """Parameters of every composed multiple-choice family."""

    base_language: str = "en"
    """Language of the parts that a placement does not translate."""
    languages: tuple[str, ...] = ("en", "fr", "de", "es", "it")
    """Languages of ``mixup``: as many as an item has parts."""
    option_ids: Literal["A-D", "1-4", "C-F"] = "A-D"
    """Identifiers before the options."""
    seed: int = 0
    """Draws the permutations of ``mixup`` and the wrong option of ``onewrong``."""
    missing: Literal["error", "drop"] = "error"
    """What to do with ids that a language lacks."""
    equal_options: Literal["error", "drop", "keep"] = "keep"
    """What to do with items in which two options are the same text. The published sets keep them."""

    def resolved(self) -> ComposedParameters:
        """Return the parameters with every language given by its code."""
        return replace(self, base_language=resolve(self.base_language).code, languages=resolve_all(self.languages))


_TRANSLATED = ("fr", "de", "es", "it")


def placement_leaves() -> list[Leaf]:
    """Return the leaves that every composed family of Chua et al. has: ``en``, ``mixup``, placement × language."""
    return [
        Leaf("en", {"placement": "en"}),
        *(
            Leaf(f"{placement}_{language}", {"placement": placement, "language": language})
            for placement in PLACEMENTS
            if placement not in ("en", "mixup")
            for language in _TRANSLATED
        ),
        Leaf("mixup", {"placement": "mixup"}),
    ]


def placement_subgroups(family: str, metrics: Sequence[str]) -> list[Any]:
    """Return a group's members: ``en``, ``mixup``, and for every placement the average over its languages."""
    averages: list[Any] = [
        {
            "group": placement,
            "task": [f"xling_{family}_{placement}_{language}" for language in _TRANSLATED],
            "aggregate_metric_list": [{"metric": metric, "aggregation": "mean"} for metric in metrics],
        }
        for placement in PLACEMENTS
        if placement not in ("en", "mixup")
    ]
    return [f"xling_{family}_en", *averages, f"xling_{family}_mixup"]


def compose_rows(
    dataset: str,
    split: str,
    placement: str | Parts,
    target: str | None,
    parameters: ComposedParameters,
    *,
    fill_missing: bool = False,
) -> list[ComposedItem]:
    """Load the languages that a placement shows, and English for the gold answers, and compose.

    Args:
        dataset: name in the catalog.
        split: split of the dataset.
        placement: name or explicit parts, as in ``composing.compose``.
        target: the placement's second language.
        parameters: the family's parameters, with resolved languages.
        fill_missing: drop ids without a translation whatever ``parameters.missing`` says (for demonstrations,
            which the caller fills up).
    """
    if not isinstance(placement, str):
        shown = tuple(placement.values())
    elif placement == "mixup":
        shown = parameters.languages
    else:
        shown = () if target is None else (target,)
    base = parameters.base_language
    rows: dict[str, Sequence[Row]] = {}
    for language in dict.fromkeys(shown if placement == "mixup" else (base, *shown)):
        rows[language] = catalog.load_rows(dataset, language, split)
    if placement != "mixup" or "en" in rows:
        rows.setdefault("en", catalog.load_rows(dataset, "en", split))
    return compose(
        rows,
        placement,
        target=target,
        base=base,
        seed=parameters.seed,
        missing="drop" if fill_missing else parameters.missing,
        equal_options=parameters.equal_options,
    )


def lettered(question: str, options: Sequence[str], option_ids: Sequence[str], answer_line: str) -> str:
    """Return the question, a line an option, and the line that the answer completes."""
    if len(options) > len(option_ids):
        raise UserError(f"{len(options)} options, but only the identifiers {', '.join(option_ids)}", where=question)
    lines = [f"{name}. {option}" for name, option in zip(option_ids, options, strict=False)]
    return "\n".join([question, *lines, answer_line])


def document(
    item: ComposedItem,
    *,
    family: str,
    placement: str,
    prompt: str,
    choices: Sequence[str],
    instruction: str = "",
    main_field: str = "question",
    **more: Any,
) -> Document:
    """Return the harness's document of a composed item (design.md, Document)."""
    option_languages = {f"option_{index}": language for index, language in enumerate(item.option_languages)}
    return {
        "id": item.id,
        "family": family,
        "placement": placement,
        "question_language": item.field_languages[main_field],
        "answer_language": item.option_languages[item.answer],
        "languages": {**item.field_languages, **option_languages},
        **item.fields,
        "options": list(item.options),
        # The harness puts no delimiter between a description and what follows it.
        "description": f"{instruction}\n\n" if instruction else "",
        "prompt": prompt,
        "choices": list(choices),
        "answer": item.answer,
        **more,
    }
