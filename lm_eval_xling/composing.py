"""Parallel multiple-choice rows and a placement ▸ crosslingual items.

A placement says which part of an item is shown in which language (Chua et al. 2024, arXiv 2406.16135, section 3):

=============== ============== ====================================================
placement       question       options
=============== ============== ====================================================
``en``          base           base
``full``        target         target
``question``    target         base
``options``     base           target
``gt``          base           only the right one in the target language
``gt_question`` target         only the right one in the target language
``onewrong``    base           one random wrong one in the target language
``threewrong``  base           every wrong one in the target language
``mixup``       one language   every option in another one: a random permutation
=============== ============== ====================================================

The base language is English in the paper and any language here. What an item becomes depends on its id, the
placement and the seed alone, through a hash that is the same on every machine.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import ComposedItem, Row, SwitchedText

__all__ = [
    "PLACEMENTS",
    "PLACEMENT_WORDS",
    "Parts",
    "Placement",
    "TextPart",
    "compose",
    "explicit_placement",
    "join",
    "mixup_placement",
    "named_placement",
    "placement_named",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The languages in which one item is shown."""

    fields: Mapping[str, str]
    """Language code of every text part, by its name."""
    options: tuple[str, ...]
    """Language code of every option."""


class TextPart(NamedTuple):
    """A text part of an item."""

    name: str
    """Of the field."""
    language: str
    """Code of the language that the placement shows it in."""
    rows: Mapping[str, Row]
    """The item by language."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which part of an item is shown in which language."""

    name: str
    """As in task names."""
    languages: tuple[str, ...]
    """Codes of all languages that it may show; items follow the order of the first one's rows."""
    parts: Callable[[Row], Parts]
    """The languages of one item, from its gold row: fields, number of options, and the index of the right one."""
    texts: Callable[[Sequence[TextPart]], Sequence[SwitchedText | None]] | None = None
    """Composes the text parts of all items, because a translator takes many at once; ``None``, as without this
    function, for a part that stands as it is."""


_Choice = Callable[[Row, int], Sequence[int]]


def _wrong(row: Row) -> list[int]:
    return [index for index in range(len(row.options)) if index != row.answer]


def _one_wrong(row: Row, seed: int) -> Sequence[int]:
    wrong = _wrong(row)
    return [wrong[stable_hash(seed, "onewrong", row.id) % len(wrong)]] if wrong else []


# By placement: whether the question, and which options, are shown in the target language.
_NAMED: Mapping[str, tuple[bool, _Choice]] = {
    "full": (True, lambda row, seed: range(len(row.options))),
    "question": (True, lambda row, seed: ()),
    "options": (False, lambda row, seed: range(len(row.options))),
    "gt": (False, lambda row, seed: () if row.answer is None else (row.answer,)),
    "gt_question": (True, lambda row, seed: () if row.answer is None else (row.answer,)),
    "onewrong": (False, _one_wrong),
    "threewrong": (False, lambda row, seed: _wrong(row)),
}

PLACEMENTS = ("en", *_NAMED, "mixup")
"""Every placement of the paper, by the name that task names and ``--metadata`` use."""
PLACEMENT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "en": "all in {base}",
        "full": "all in {target}",
        "question": "question in {target}, options in {base}",
        "options": "question in {base}, options in {target}",
        "gt": "right option in {target}, the rest in {base}",
        "gt_question": "question and right option in {target}, wrong options in {base}",
        "onewrong": "one wrong option in {target}, the rest in {base}",
        "threewrong": "wrong options in {target}, the rest in {base}",
        "mixup": "each part in another language",
    }
)
"""What each placement shows, for people: with places for the names of the base and of the target language."""


def named_placement(name: str, *, base: str = "en", target: str | None = None, seed: int = 0) -> Placement:
    """Return a placement of the paper between two languages.

    Args:
        name: a name in ``PLACEMENTS`` but ``mixup``.
        base: language code of the parts that the placement does not name.
        target: code of the second language, of every placement but ``en``.
        seed: another seed draws other wrong options for ``onewrong``.

    Raises:
        UserError: an unknown name, or a target that is missing or the base language.
    """
    if name == "en":
        return Placement(name, (base,), lambda row: Parts(dict.fromkeys(row.fields, base), (base,) * len(row.options)))
    if name not in _NAMED:
        raise unknown_name("placement", name, PLACEMENTS)
    if target is None:
        raise UserError(f"placement {name!r} needs a target language")
    if target == base:
        raise UserError(f"placement {name!r} needs a target language other than the base language {base!r}")
    second: str = target
    question, choose = _NAMED[name]

    def parts(row: Row) -> Parts:
        if name == "full":
            fields = dict.fromkeys(row.fields, second)
        else:
            fields = {part: second if question and part == "question" else base for part in row.fields}
        translated = set(choose(row, seed))
        return Parts(fields, tuple(second if index in translated else base for index in range(len(row.options))))

    return Placement(name, (second,) if name == "full" else (base, second), parts)


def explicit_placement(name: str, languages: Mapping[str, str]) -> Placement:
    """Return a placement that names the language of every part.

    Args:
        name: how the placement is called.
        languages: language code by part: the names of fields, and ``options``.
    """

    def parts(row: Row) -> Parts:
        return Parts(
            {field: languages[field] for field in row.fields}, (languages.get("options", ""),) * len(row.options)
        )

    return Placement(name, tuple(dict.fromkeys(languages.values())), parts)


def mixup_placement(languages: Sequence[str], *, seed: int = 0, repeat: bool = False) -> Placement:
    """Return the placement that shows every part of an item in a language of its own, drawn for each item.

    The draw is one without repetition: of as many languages as an item has parts it is a permutation, as in the
    paper, and of more languages every ordered choice is equally likely.

    Args:
        languages: codes; their order changes nothing.
        seed: another seed draws other languages.
        repeat: allow fewer languages than parts; each then stands in as many parts as another, or in one more.

    Raises:
        UserError: a language is named twice.
    """
    pool = tuple(sorted(languages))
    if len(set(pool)) < len(pool):
        raise UserError(f"a language is named twice: {', '.join(languages)}", where="languages", fix="name each once")

    def parts(row: Row) -> Parts:
        count = len(row.fields) + len(row.options)
        if len(pool) < count and not repeat:
            raise UserError(
                f"mixup shows {count} parts ({', '.join(row.fields)} and {len(row.options)} options) in as many "
                f"languages, but {len(pool)} are given: {', '.join(pool)}",
                where=f"id {row.id}",
                fix=f"""name {count} languages, or pass --metadata '{{"xling": {{"repeat_languages": true}}}}'""",
            )
        drawn = _draw(stable_hash(seed, "mixup", row.id), pool, count % len(pool) if count > len(pool) else count)
        if count > len(pool):
            every = sorted([*pool * (count // len(pool)), *drawn])
            drawn = _draw(stable_hash(seed, "mixup positions", row.id), every, count)
        return Parts(dict(zip(row.fields, drawn, strict=False)), tuple(drawn[len(row.fields) :]))

    return Placement("mixup", pool, parts)


def placement_named(
    name: str,
    *,
    base: str = "en",
    target: str | None = None,
    languages: Sequence[str] = (),
    seed: int = 0,
    repeat: bool = False,
) -> Placement:
    """Return any placement of the paper by its name; see ``named_placement`` and ``mixup_placement``."""
    if name == "mixup":
        return mixup_placement(languages, seed=seed, repeat=repeat)
    return named_placement(name, base=base, target=target, seed=seed)


def _draw(number: int, pool: Sequence[str], count: int) -> list[str]:
    """Return the ordered choice of ``count`` entries with the given number in the factorial number system."""
    left = list(pool)
    number %= math.perm(len(left), count)
    drawn = []
    for remaining in range(count - 1, -1, -1):
        position, number = divmod(number, math.perm(len(left) - 1, remaining))
        drawn.append(left.pop(position))
    return drawn


def compose(
    rows: Mapping[str, Iterable[Row]],
    placement: Placement,
    *,
    gold: str = "en",
    missing: str = "error",
    equal_options: str = "error",
) -> list[ComposedItem]:
    """Show each item's parts in the languages that the placement assigns to them.

    Args:
        rows: rows by language, parallel by id; more languages than the placement shows may be there.
        placement: which part is shown in which language.
        gold: language whose rows give the gold answers; the placement's first where it has no rows.
        missing: ``error``, or ``drop`` the ids that a needed language lacks and log how many.
        equal_options: what happens where two options become the same text: ``error``, ``drop`` the item and
            log how many, or ``keep`` it.

    Returns:
        Items in the order of the placement's first language.

    Raises:
        UserError: unknown parameter value, a language without rows, an id that occurs twice, a missing translation,
            options that differ in number or become equal, or too few languages for ``mixup``.
    """
    _check_choice("missing", missing, ("error", "drop"))
    _check_choice("equal_options", equal_options, ("error", "drop", "keep"))
    for language in placement.languages:
        if language not in rows:
            raise UserError(
                f"no rows in {language!r}; there are rows in {', '.join(sorted(rows)) or 'no language'}",
                where=f"placement {placement.name}",
            )
    gold = gold if gold in rows else placement.languages[0]
    needed = {language: rows[language] for language in (*placement.languages, gold)}
    items: list[ComposedItem] = []
    equal = 0
    joined = [
        (parallel, _parts(parallel, parallel[gold], placement))
        for parallel in join(needed, missing=missing, where=f"placement {placement.name}")
    ]
    for (parallel, parts), switched in zip(joined, _switched(joined, placement), strict=True):
        item = _compose_one(parallel, parallel[gold], parts, switched)
        if len(set(item.options)) < len(item.options):
            equal += 1
            if equal_options == "error":
                raise UserError(
                    f"two options become equal: {list(item.options)}",
                    where=f"id {item.id}, placement {placement.name}",
                    fix="""pass --metadata '{"xling": {"equal_options": "drop"}}' to leave such rows out""",
                )
            if equal_options == "drop":
                continue
        items.append(item)
    if equal:
        log.warning("placement %s: two options are equal in %d items (%s)", placement.name, equal, equal_options)
    return items


def join(rows: Mapping[str, Iterable[Row]], *, missing: str = "error", where: object) -> Sequence[Mapping[str, Row]]:
    """Return the rows of each id by language, in the order of the first language.

    Args:
        rows: rows by language.
        missing: ``error``, or ``drop`` the ids that a language lacks and log how many.
        where: what is joined, for messages.

    Raises:
        UserError: an id that occurs twice, or that a language lacks.
    """
    by_id: dict[str, dict[str, Row]] = {}
    for language, given in rows.items():
        index = by_id.setdefault(language, {})
        for row in given:
            if row.id in index:
                raise UserError(f"id {row.id!r} occurs twice", where=f"{where}, rows in {language}")
            index[row.id] = row
    ids = dict.fromkeys(item_id for index in by_id.values() for item_id in index)
    lacking = {
        item_id: absent
        for item_id in ids
        if (absent := [language for language, index in by_id.items() if item_id not in index])
    }
    if lacking and missing == "error":
        first = next(iter(lacking))
        raise UserError(
            f"{len(lacking)} of {len(ids)} ids are missing in one of the languages {', '.join(by_id)}, "
            f"the first {first!r} (not in {', '.join(lacking[first])})",
            where=where,
            fix="""complete the data, or evaluate with --metadata '{"xling": {"missing": "drop"}}' to leave them out""",
        )
    if lacking:
        log.warning("%s: %d ids that a language lacks were dropped", where, len(lacking))
    first_language = next(iter(by_id.values()), {})
    return OnDemand(
        [item_id for item_id in first_language if item_id not in lacking],
        lambda item_id: {language: index[item_id] for language, index in by_id.items()},
    )


def _parts(parallel: Mapping[str, Row], gold: Row, placement: Placement) -> Parts:
    """Return the languages of an item's parts.

    Raises:
        UserError: a gold answer that is no option, or options that differ in number.
    """
    where = f"id {gold.id}"
    n_options = len(gold.options)
    if gold.answer is None or not 0 <= gold.answer < n_options:
        raise UserError(f"the answer {gold.answer!r} is not the index of one of {n_options} options", where=where)
    for row in parallel.values():
        if len(row.options) != n_options:
            raise UserError(
                f"{len(row.options)} options in {row.language}, but {n_options} in {gold.language}",
                where=where,
                fix="translations of an item need the same options in the same order",
            )
    return placement.parts(gold)


def _switched(
    joined: Sequence[tuple[Mapping[str, Row], Parts]], placement: Placement
) -> list[Mapping[str, SwitchedText]]:
    """Return the code-switched texts of each item, by part."""
    if placement.texts is None:
        return [{}] * len(joined)
    asked = [TextPart(name, code, rows) for rows, parts in joined for name, code in parts.fields.items()]
    made = iter(placement.texts(asked))
    return [{name: text for name in parts.fields if (text := next(made)) is not None} for _, parts in joined]


def _compose_one(
    parallel: Mapping[str, Row], gold: Row, parts: Parts, switched: Mapping[str, SwitchedText]
) -> ComposedItem:
    assert gold.answer is not None
    fields = {name: parallel[language].fields[name] for name, language in parts.fields.items()}
    return ComposedItem(
        id=gold.id,
        fields=fields | {name: text.mixed.text for name, text in switched.items()},
        options=tuple(parallel[language].options[index] for index, language in enumerate(parts.options)),
        answer=gold.answer,
        field_languages={**parts.fields, **{name: text.how.matrix for name, text in switched.items()}},
        option_languages=parts.options,
        extra=gold.extra,
        switched=switched,
    )


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise unknown_name(f"value of {name!r}", value, known)
