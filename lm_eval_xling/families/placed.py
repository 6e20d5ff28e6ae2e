"""Multiple-choice items shown by placement: what MMLU, the quiz, atlas, Belebele and own data share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from lm_eval_xling import catalog
from lm_eval_xling.catalog.papers import CHUA as FIVE
from lm_eval_xling.composing import PLACEMENT_WORDS, PLACEMENTS, Placement, compose, placement_named
from lm_eval_xling.errors import UserError
from lm_eval_xling.families.family import Form, Group, Leaf
from lm_eval_xling.families.prompts import identifiers
from lm_eval_xling.families.switching import (
    ONLY_SWITCHED,
    SWITCHING,
    SwitchingParameters,
    switched_placement,
    units_of,
)
from lm_eval_xling.languages import identify
from lm_eval_xling.records import ComposedItem, Condition, Document, Row

__all__ = [
    "FIVE",
    "ROW_PARAMETERS",
    "PlacedParameters",
    "beside_others",
    "compose_rows",
    "leaf_placement",
    "letters_of",
    "part_languages",
    "placed_document",
    "placement_groups",
    "placement_in_words",
    "placement_leaves",
    "used_parameters",
]

ROW_PARAMETERS = ("missing", "equal_options")
"""Parameters of every leaf that composes rows."""

_SWITCHABLE = ("full", "question", "gt_question")
"""Placements that show a question in the target language."""

_TRANSLATED = tuple(code for code in FIVE if code != "en")

P = TypeVar("P", bound="PlacedParameters")


@dataclass(frozen=True, slots=True)
class PlacedParameters(SwitchingParameters):
    """Parameters of every family whose items are shown by placement."""

    base_language: str = "en"
    """Language of the parts that a placement does not translate."""
    languages: tuple[str, ...] | None = None
    """Languages of ``mixup``, by default the paper's five; of every other placement the one that takes the place of the
    leaf's language."""
    repeat_languages: bool = False
    """Let ``mixup`` show several parts in one language where there are fewer languages than parts."""
    option_ids: Literal["A-D", "1-4", "C-F"] = "A-D"
    """Identifiers before the options."""
    seed: int = 0
    """Draws the languages of ``mixup``, the wrong option of ``onewrong``, and what is code-switched."""
    missing: Literal["error", "drop"] = "error"
    """What to do with ids that a language lacks."""
    equal_options: Literal["error", "drop", "keep"] = "keep"
    """What to do with items in which two options are the same text. The published sets keep them."""

    def resolved(self: P) -> P:
        """Return the parameters with every language given by its code."""
        return replace(
            self,
            base_language=identify(self.base_language).code,
            languages=None if self.languages is None else tuple(identify(name).code for name in self.languages),
        )


def used_parameters(placement: str) -> tuple[str, ...]:
    """Return the names of the parameters that change the items of a placement."""
    if placement == "mixup":
        return ("languages", "repeat_languages", "seed", *ROW_PARAMETERS)
    target = () if placement == "en" else ("languages",)
    drawn = SWITCHING if placement in _SWITCHABLE else ("seed",) if placement == "onewrong" else ()
    return ("base_language", *target, *drawn, *ROW_PARAMETERS)


def beside_others(placement: str) -> Mapping[str, str]:
    """Return which of ``used_parameters`` change the items only beside another, as ``Leaf.beside``."""
    if placement not in _SWITCHABLE:
        return {}
    return {**ONLY_SWITCHED, "base_language": "switched"} if placement == "full" else ONLY_SWITCHED


def placement_leaves(
    form: str, parameters: Sequence[str] = (), alternatives: tuple[str, ...] = (), prefix: str = ""
) -> list[Leaf]:
    """Return the leaves that every family of Chua et al. has: ``en``, ``mixup``, placement × language.

    Args:
        form: key of their form.
        parameters: what changes all of them beside the placement's own parameters.
        alternatives: keys of their other forms.
        prefix: of their names.
    """

    def leaf(name: str, placement: str, **language: str) -> Leaf:
        condition = {"placement": placement, **language}
        used = (*used_parameters(placement), *parameters)
        return Leaf(f"{prefix}{name}", form, condition, used, alternatives, beside_others(placement))

    return [
        leaf("en", "en"),
        *(
            leaf(f"{placement}_{language}", placement, language=language)
            for placement in PLACEMENTS
            if placement not in ("en", "mixup")
            for language in _TRANSLATED
        ),
        leaf("mixup", "mixup"),
    ]


def placement_in_words(placement: str, language: str | None = None) -> str:
    """Return what a placement shows in which language, as a person reads it."""
    return PLACEMENT_WORDS[placement].format(
        base="the base language", target=identify(language).name if language else None
    )


def placement_groups(metrics: tuple[str, ...], prefix: str = "") -> tuple[Group | str, ...]:
    """Return a group's members: ``en``, ``mixup``, and for every placement the average over its languages."""
    averages = [
        Group(f"{prefix}{placement}", tuple(f"{prefix}{placement}_{language}" for language in _TRANSLATED), metrics)
        for placement in PLACEMENTS
        if placement not in ("en", "mixup")
    ]
    return (f"{prefix}en", *averages, f"{prefix}mixup")


def leaf_placement(leaf: Leaf, parameters: PlacedParameters) -> Placement:
    """Return the placement of a leaf, in the languages that the parameters ask for, code-switched if they say so.

    Raises:
        UserError: if several target languages are named.
    """
    name = leaf.condition["placement"]
    if name == "mixup":
        languages = FIVE if parameters.languages is None else parameters.languages
        if not languages:
            raise UserError("no language to draw from", where="languages", fix=f"name some, such as {', '.join(FIVE)}")
        return placement_named(name, languages=languages, seed=parameters.seed, repeat=parameters.repeat_languages)
    target = leaf.condition.get("language")
    if parameters.languages is not None:
        if len(parameters.languages) != 1:
            raise UserError(
                f"placement {name!r} has one target language, but {len(parameters.languages)} are given: "
                f"{', '.join(parameters.languages) or 'none'}",
                where="languages",
                fix="""name one, such as --metadata '{"xling": {"languages": ["sw"]}}'""",
            )
        (target,) = parameters.languages
    placement = placement_named(name, base=parameters.base_language, target=target, seed=parameters.seed)
    return switched_placement(placement, parameters.base_language, parameters) if name in _SWITCHABLE else placement


def compose_rows(
    dataset: str,
    split: str,
    placement: Placement,
    parameters: PlacedParameters,
    *,
    load: Callable[[str, str, str], Iterable[Row]] | None = None,
    gold: str = "en",
    fill_missing: bool = False,
) -> list[ComposedItem]:
    """Load the languages that a placement shows, and that of the gold answers, and compose.

    Args:
        dataset: name in the catalog.
        split: split of the dataset.
        placement: which part is shown in which language.
        parameters: the family's parameters, with resolved languages.
        load: instead of ``catalog.load_rows``.
        gold: language of the gold answers.
        fill_missing: drop ids without a translation whatever ``parameters.missing`` says (for demonstrations,
            which the caller fills up).
    """
    rows = load or catalog.load_rows
    return compose(
        {language: rows(dataset, language, split) for language in dict.fromkeys((*placement.languages, gold))},
        placement,
        gold=gold,
        missing="drop" if fill_missing else parameters.missing,
        equal_options=parameters.equal_options,
    )


def part_languages(item: ComposedItem, main: str = "question") -> dict[str, str]:
    """Return the language of every part by name, as ``Condition.languages`` has them."""
    options = {f"option_{index}": language for index, language in enumerate(item.option_languages)}
    shown = {**item.field_languages, **{name: text.how.language for name, text in item.switched.items()}}
    fields = {("question" if name == main else name): language for name, language in shown.items()}
    return {**fields, "answer": item.option_languages[item.answer], **options}


def placed_document(
    item: ComposedItem,
    *,
    family: str,
    placement: str,
    form: Form,
    prompt: tuple[str, str],
    option_ids: Sequence[str] = (),
    main: str = "question",
    **more: Any,
) -> Document:
    """Return the document of a composed item.

    Args:
        item: the item.
        family: name of the family.
        placement: as reports name it.
        form: ``cloze`` scores the options' texts, other forms their identifiers.
        prompt: prompt and cue.
        option_ids: an identifier an option; not needed for ``cloze``.
        main: the field whose language is the question's.
        more: further parts of the document.
    """
    letters = tuple(option_ids[: len(item.options)])
    choices = item.options if form.name == "cloze" else letters
    fields: Mapping[str, Any] = {"letters": list(letters)} if letters else {}
    fields = {**item.fields, **fields, **units_of(item.switched), **more.pop("fields", {})}
    switched = {("question" if name == main else name): text.how for name, text in item.switched.items()}
    return Document(
        id=item.id,
        family=family,
        condition=Condition(placement, form.name, part_languages(item, main), switched),
        prompt=prompt[0],
        cue=prompt[1],
        choices=() if form.generates else choices,
        answer=item.answer,
        options=item.options,
        target=more.pop("target", choices[item.answer] if form.generates else None),
        fields=fields,
        **more,
    )


def letters_of(item: ComposedItem, parameters: PlacedParameters) -> tuple[str, ...]:
    """Return the identifiers of an item's options."""
    return identifiers(parameters.option_ids, len(item.options), f"id {item.id}")
