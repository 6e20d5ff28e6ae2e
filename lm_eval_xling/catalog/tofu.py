"""TOFU: 4,000 questions on 200 invented authors, and questions on real authors and on the world.

Parts overlap, and so do their ids: ``full/3960`` is the first row of ``forget01``, ``forget05`` and ``forget10`` at
once. A part with a ``_perturbed`` companion is joined with it: the row has the question and answer of the part, and
the companion's paraphrase and wrong answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Dataset, Format, Part
from lm_eval_xling.catalog.raw import Record, json_lines, locate
from lm_eval_xling.catalog.sources import HubTables, Table
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

__all__ = ["DATASET"]

_AUTHORS: Mapping[str, tuple[int, int]] = {
    "full": (0, 4000),
    "forget01": (3960, 4000),
    "forget05": (3800, 4000),
    "forget10": (3600, 4000),
    "retain99": (0, 3960),
    "retain95": (0, 3800),
    "retain90": (0, 3600),
    "retain_perturbed": (0, 400),
}
"""Splits on the invented authors: first row and end in ``full``."""

_HOLDOUT = ("holdout01", "holdout05", "holdout10")  # each begins with the rows of the one before
_CHOICE = ("real_authors", "world_facts")
_JOINED = ("forget01", "forget05", "forget10")
_QUESTIONS_OF_AN_AUTHOR = 20


def _author_rows(part: Part, base: Sequence[Record], companion: Sequence[Record]) -> Iterator[Row]:
    first, end = _AUTHORS.get(part.split, (0, len(base)))
    if len(base) != end - first:
        raise UserError(f"{len(base)} rows, expected {end - first}", where=base[0].where if base else str(part))
    if companion and len(companion) != len(base):
        raise UserError(f"{len(companion)} rows, but {len(base)} in the part itself", where=companion[0].where)
    for offset, record in enumerate(base):
        index = first + offset
        if part.language == "en" and companion and companion[offset].text("question") != record.text("question"):
            raise companion[offset].error(f"the question is not the one of {record.where}")
        invented = part.split in _AUTHORS
        yield Row(
            id=f"full/{index}" if invented else f"holdout/{index}",
            language=part.language,
            fields={"question": record.text("question")},
            target=record.text("answer"),
            extra={
                **({"author": index // _QUESTIONS_OF_AN_AUTHOR} if invented else {}),
                **_perturbed(companion[offset] if companion else record),
            },
        )


def _perturbed(record: Record) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for column in ("paraphrased_question", "paraphrased_answer"):
        if column in record:
            extra[column] = record.text(column)
    if "perturbed_answer" in record:
        extra["perturbed_answers"] = list(record.texts("perturbed_answer"))
    return extra


def _choice_rows(part: Part, records: Sequence[Record], english: Sequence[Record]) -> Iterator[Row]:
    """Rows with four options; translations come without options, which are put in the order of the English ones."""
    if len(records) != len(english):
        raise UserError(f"{len(records)} rows, but {len(english)} in English", where=records[0].where)
    for index, (record, original) in enumerate(zip(records, english, strict=True)):
        options = [original.text(f"option{position}") for position in range(1, 5)]
        if original.text("answer") not in options:
            raise original.error(f"the answer {original.text('answer')!r} is none of the options")
        answer = options.index(original.text("answer"))
        wrong = [option for position, option in enumerate(options) if position != answer]
        if part.language != "en":
            wrong = list(record.texts("perturbed_answer"))
            if len(wrong) != len(options) - 1:
                raise record.error(f"{len(wrong)} wrong answers, expected {len(options) - 1}")
            options = [*wrong[:answer], record.text("answer"), *wrong[answer:]]
        yield Row(
            id=f"{part.split}/{index}",
            language=part.language,
            fields={"question": record.text("question")},
            options=tuple(options),
            answer=answer,
            target=record.text("answer"),
            extra={"perturbed_answers": wrong},
        )


# ---------------------------------------------------------------------------------------------------------------
# the hub
# ---------------------------------------------------------------------------------------------------------------


def _tables(part: Part) -> tuple[Table, ...]:
    if part.language != "en":
        return ()
    configs = (part.split, f"{part.split}_perturbed") if part.split in _JOINED else (part.split,)
    return tuple((config, "train") for config in configs)


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    records, companion = list(tables[0]), list(tables[1]) if len(tables) > 1 else []
    if part.split in _CHOICE:
        return _choice_rows(part, records, records)
    return _author_rows(part, records, companion)


# ---------------------------------------------------------------------------------------------------------------
# JSON lines, one file a part
# ---------------------------------------------------------------------------------------------------------------


def _file(folders: Sequence[Path], name: str, language: str) -> Path | None:
    # The published translation calls Hebrew by its old code.
    suffix = "" if language == "en" else f"_{'iw' if language == 'he' else language}"
    return locate(folders, f"{name}{suffix}.jsonl") or locate(folders, f"{name}{suffix}.json")


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    language, split = part
    if split in _CHOICE:
        return _find_choice(folders, part)
    own = _file(folders, split, language)
    halves = [_file(folders, half, language) for half in ("retain99", "forget01")]
    whole = _file(folders, "full", language)
    if own is not None:
        base = [own]
    elif split in _AUTHORS and split != "retain_perturbed" and whole is not None:
        base = [whole]
    elif split in _AUTHORS and split != "retain_perturbed":
        base = [half for half in halves if half is not None] if all(halves) else []
    else:
        base = []
    companion = _file(folders, f"{split}_perturbed", language) if split in _JOINED else None
    return (*base, companion) if base and companion is not None else tuple(base)


def _find_choice(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    english = _file(folders, part.split, "en")
    if part.language == "en":
        return () if english is None else (english,)
    translated = _file(folders, f"{part.split}_perturbed", part.language)
    if translated is None:
        return ()
    if english is None:
        raise UserError(
            f"the order of the options of {part.split} comes from the English file, {part.split}.jsonl",
            where=translated.parent,
            fix="give the folder of the English files too: --from TRANSLATIONS --from ENGLISH",
        )
    return translated, english


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    if part.split in _CHOICE:
        return _choice_rows(part, list(json_lines(paths[0])), list(json_lines(paths[-1])))
    is_companion = [path.stem.startswith(f"{part.split}_perturbed") for path in paths]
    base = [record for path, other in zip(paths, is_companion, strict=True) if not other for record in json_lines(path)]
    companion = [
        record for path, other in zip(paths, is_companion, strict=True) if other for record in json_lines(path)
    ]
    if not paths[0].stem.startswith(part.split):  # the whole of TOFU, of which the part is a slice
        first, end = _AUTHORS[part.split]
        base = base[first:end]
    return _author_rows(part, base, companion)


_HUB = HubTables("locuslab/TOFU", _tables, _read_tables)

DATASET = Dataset(
    name="tofu",
    title="TOFU, questions on invented authors, real authors and the world",
    licence="MIT",
    citation="Maini et al. 2024, TOFU: A Task of Fictitious Unlearning for LLMs, arXiv 2401.06121; translations: "
    "Multilingual Amnesia, EACL 2026",
    homepage="https://huggingface.co/datasets/locuslab/TOFU",
    schema="fields question; target: the answer; extra author (number), paraphrased_question, paraphrased_answer, "
    "perturbed_answers; real_authors and world_facts: also 4 options, answer",
    text="question",
    splits=(*_AUTHORS, *_HOLDOUT, *_CHOICE),
    languages=tuple("en fr ar fa he hi id ja ko ru".split()),
    sources=(_HUB,),
    formats=(
        Format(
            "JSON lines, one file a part: full.jsonl, forget01.jsonl, forget01_perturbed.jsonl …, and translations "
            "forget01_LANGUAGE.jsonl, real_authors_perturbed_LANGUAGE.jsonl …",
            _find,
            _read,
        ),
        _HUB.clone(),
    ),
    aligned_by=lambda row: row.answer,
)
