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

import hashlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.records import ComposedItem, Row

__all__ = ["PLACEMENTS", "Parts", "compose", "stable_hash"]

log = logging.getLogger(__name__)

PLACEMENTS = ("en", "full", "question", "options", "gt", "gt_question", "onewrong", "threewrong", "mixup")
"""Every placement of the paper, by the name that task names and ``--metadata`` use."""

Parts = Mapping[str, str]
"""An explicit placement: language by part, ``{"context": "de", "question": "en", "options": "fr"}``."""

_OPTIONS = "options"


def stable_hash(*key: object) -> int:
    """Return 64 bits that depend on the key's text alone: not on process, order or Python's hash seed."""
    text = "\x1f".join(map(str, key))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def compose(
    rows: Mapping[str, Iterable[Row]],
    placement: str | Parts,
    *,
    target: str | None = None,
    base: str = "en",
    seed: int = 0,
    missing: str = "error",
    equal_options: str = "error",
) -> list[ComposedItem]:
    """Show each item's parts in the languages that the placement assigns to them.

    Args:
        rows: rows by language, parallel by id. Gold answers come from the English rows where there are any,
            otherwise from the base language's.
        placement: a name in ``PLACEMENTS``, or a language for each part by name.
        target: the second language of every named placement but ``en`` and ``mixup``.
        base: language of the parts that the placement does not name.
        seed: another seed draws other permutations and other wrong options.
        missing: ``error``, or ``drop`` the ids that a needed language lacks and log how many.
        equal_options: what happens where two options become the same text: ``error``, ``drop`` the item and
            log how many, or ``keep`` it.

    Returns:
        Items in the base language's order.

    Raises:
        UserError: unknown placement or parameter value, a language without rows, an id that occurs twice, a
            missing translation, options that differ in number or become equal, or a number of languages that
            does not fit ``mixup``.
    """
    _check_choice("missing", missing, ("error", "drop"))
    _check_choice("equal_options", equal_options, ("error", "drop", "keep"))
    needed = _needed_languages(placement, target, base, rows)
    by_id = {language: _index(language, rows) for language in needed}
    gold = _index("en", rows) if "en" in rows else by_id[base]
    ids = list(by_id[needed[0]])
    complete = [i for i in ids if i in gold and all(i in by_id[language] for language in needed)]
    lacking = sorted(set(gold).union(*by_id.values()).difference(complete))
    if lacking and missing == "error":
        raise UserError(
            f"{len(lacking)} of {len(lacking) + len(complete)} ids are missing in one of the languages "
            f"{', '.join(needed)}, the first {_first_gap(lacking[0], by_id, gold)}",
            where=f"placement {placement}",
            fix="""complete the data, or pass --metadata '{"xling": {"missing": "drop"}}' to leave them out""",
        )
    if lacking:
        log.warning("placement %s: %d ids that lack a translation were dropped", placement, len(lacking))
    items: list[ComposedItem] = []
    equal = 0
    for item_id in complete:
        item = _compose_one(item_id, by_id, gold[item_id], placement, target, base, seed, needed)
        if len(set(item.options)) < len(item.options):
            equal += 1
            if equal_options == "error":
                raise UserError(
                    f"two options become equal: {list(item.options)}",
                    where=f"id {item_id}, placement {placement}",
                    fix="""pass --metadata '{"xling": {"equal_options": "drop"}}' to leave such rows out""",
                )
            if equal_options == "drop":
                continue
        items.append(item)
    if equal:
        log.warning("placement %s: two options are equal in %d items (%s)", placement, equal, equal_options)
    return items


def _compose_one(
    item_id: str,
    by_id: Mapping[str, Mapping[str, Row]],
    gold: Row,
    placement: str | Parts,
    target: str | None,
    base: str,
    seed: int,
    needed: Sequence[str],
) -> ComposedItem:
    first = by_id[needed[0]][item_id]
    n_options = len(first.options)
    answer = gold.answer
    if answer is None or not 0 <= answer < n_options:
        raise UserError(f"the answer {answer!r} is not the index of one of {n_options} options", where=f"id {item_id}")
    field_languages, option_languages = _assign(
        item_id, tuple(first.fields), n_options, answer, placement, target, base, seed, needed
    )
    options = []
    for index, language in enumerate(option_languages):
        row = by_id[language][item_id]
        if len(row.options) != n_options:
            raise UserError(
                f"{len(row.options)} options in {row.language}, but {n_options} in {first.language}",
                where=f"id {item_id}",
                fix="translations of an item need the same options in the same order",
            )
        options.append(row.options[index])
    return ComposedItem(
        id=item_id,
        fields={name: by_id[language][item_id].fields[name] for name, language in field_languages.items()},
        options=tuple(options),
        answer=answer,
        field_languages=field_languages,
        option_languages=option_languages,
        extra=gold.extra,
    )


def _assign(
    item_id: str,
    fields: Sequence[str],
    n_options: int,
    answer: int,
    placement: str | Parts,
    target: str | None,
    base: str,
    seed: int,
    needed: Sequence[str],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the language of every field and of every option."""
    if not isinstance(placement, str):
        in_fields = {name: placement.get(name, base) for name in fields}
        return in_fields, (placement.get(_OPTIONS, base),) * n_options
    in_fields = dict.fromkeys(fields, base)
    in_options = [base] * n_options
    if placement == "en":
        return in_fields, tuple(in_options)
    if placement == "mixup":
        if len(needed) != len(fields) + n_options:
            raise UserError(
                f"mixup shows {len(fields) + n_options} parts ({', '.join(fields)} and {n_options} options) in as "
                f"many languages, but {len(needed)} are given: {', '.join(needed)}",
                where=f"id {item_id}",
                fix=f"name {len(fields) + n_options} languages",
            )
        order = _permutation(stable_hash(seed, "mixup", item_id), needed)
        return dict(zip(fields, order, strict=False)), tuple(order[len(fields) :])
    assert target is not None
    if placement == "full":
        return dict.fromkeys(fields, target), (target,) * n_options
    if placement in ("question", "gt_question"):
        in_fields["question"] = target
    if placement == "options":
        in_options = [target] * n_options
    elif placement in ("gt", "gt_question"):
        in_options[answer] = target
    elif placement in ("onewrong", "threewrong"):
        wrong = [index for index in range(n_options) if index != answer]
        if placement == "onewrong":
            wrong = [wrong[stable_hash(seed, "onewrong", item_id) % len(wrong)]]
        for index in wrong:
            in_options[index] = target
    return in_fields, tuple(in_options)


def _permutation(number: int, languages: Sequence[str]) -> list[str]:
    """Return the permutation with the given number in the factorial number system (Lehmer code)."""
    pool = list(languages)
    number %= math.factorial(len(pool))
    order = []
    for remaining in range(len(pool), 0, -1):
        position, number = divmod(number, math.factorial(remaining - 1))
        order.append(pool.pop(position))
    return order


def _needed_languages(
    placement: str | Parts, target: str | None, base: str, rows: Mapping[str, Iterable[Row]]
) -> tuple[str, ...]:
    """Return the languages that a placement shows, the one whose order the items follow first."""
    if not isinstance(placement, str):
        needed = tuple(dict.fromkeys([*placement.values(), base]))
    elif placement == "mixup":
        # Sorted, so that the order in which languages are named does not change any item.
        needed = tuple(sorted(rows))
    elif placement == "en":
        needed = (base,)
    elif placement not in PLACEMENTS:
        raise unknown_name("placement", placement, PLACEMENTS)
    elif target is None:
        raise UserError(f"placement {placement!r} needs a target language")
    elif target == base:
        raise UserError(f"placement {placement!r} needs a target language other than the base language {base!r}")
    else:
        needed = (target,) if placement == "full" else (base, target)
    for language in needed:
        if language not in rows:
            raise UserError(
                f"no rows in {language!r}; there are rows in {', '.join(sorted(rows)) or 'no language'}",
                where=f"placement {placement}",
            )
    return needed


def _index(language: str, rows: Mapping[str, Iterable[Row]]) -> dict[str, Row]:
    index: dict[str, Row] = {}
    for row in rows[language]:
        if row.id in index:
            raise UserError(f"id {row.id!r} occurs twice", where=f"rows in {language}")
        index[row.id] = row
    return index


def _first_gap(item_id: str, by_id: Mapping[str, Mapping[str, Row]], gold: Mapping[str, Row]) -> str:
    without = [language for language, index in by_id.items() if item_id not in index]
    if item_id not in gold:
        without.append("the gold rows")
    return f"{item_id!r} (not in {', '.join(dict.fromkeys(without))})"


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise unknown_name(f"value of {name!r}", value, known)
