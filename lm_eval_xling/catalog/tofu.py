"""TOFU: 4,000 questions on 200 invented authors, and questions on real authors and on the world.

Parts overlap, and so do their ids: ``full/3960`` is the first row of ``forget01``, ``forget05`` and ``forget10`` at
once. A part with a ``_perturbed`` companion is joined with it: the row has the question and answer of the part, and
the companion's paraphrase and wrong answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Dataset, Fetched, Format, Part
from lm_eval_xling.catalog.raw import Record, json_lines, locate, spellings
from lm_eval_xling.catalog.saved import saved_name, saved_records, saved_table
from lm_eval_xling.catalog.sources import GitHubFiles, HubTable, HubTables
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
_HALVES = ("retain99", "forget01")  # together, all of the invented authors
_TRANSLATIONS = tuple("fr ar fa he hi id ja ko ru".split())
_QUESTIONS_OF_AN_AUTHOR = 20
_OPTIONS = 4


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


def _english_choice_rows(part: Part, records: Iterable[Record]) -> Iterator[Row]:
    for index, record in enumerate(records):
        options = [record.text(f"option{position}") for position in range(1, _OPTIONS + 1)]
        if record.text("answer") not in options:
            raise record.error(f"the answer {record.text('answer')!r} is none of the options")
        yield _choice_row(part, index, record, options, options.index(record.text("answer")))


def _translated_choice_rows(part: Part, records: Sequence[Record], english: Sequence[Row]) -> Iterator[Row]:
    """Rows of a translation, which comes without options: they are put in the order of the English ones."""
    if len(records) != len(english):
        raise UserError(f"{len(records)} rows, but {len(english)} in English", where=records[0].where)
    for index, (record, original) in enumerate(zip(records, english, strict=True)):
        wrong, answer = list(record.texts("perturbed_answer")), original.answer or 0
        if len(wrong) != _OPTIONS - 1:
            raise record.error(f"{len(wrong)} wrong answers, expected {_OPTIONS - 1}")
        yield _choice_row(part, index, record, [*wrong[:answer], record.text("answer"), *wrong[answer:]], answer)


def _choice_row(part: Part, index: int, record: Record, options: Sequence[str], answer: int) -> Row:
    return Row(
        id=f"{part.split}/{index}",
        language=part.language,
        fields={"question": record.text("question")},
        options=tuple(options),
        answer=answer,
        target=record.text("answer"),
        extra={"perturbed_answers": [option for position, option in enumerate(options) if position != answer]},
    )


# ---------------------------------------------------------------------------------------------------------------
# the hub
# ---------------------------------------------------------------------------------------------------------------


def _tables(part: Part) -> tuple[HubTable, ...]:
    if part.language != "en":
        return ()
    configs = (part.split, f"{part.split}_perturbed") if part.split in _JOINED else (part.split,)
    return tuple((config, "train") for config in configs)


def _read_tables(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
    records, companion = list(tables[0]), list(tables[1]) if len(tables) > 1 else []
    if part.split in _CHOICE:
        return _english_choice_rows(part, records)
    return _author_rows(part, records, companion)


_HUB = HubTables("locuslab/TOFU", _tables, _read_tables)


# ---------------------------------------------------------------------------------------------------------------
# files: JSON lines, or tables saved by ``datasets``, one a part
# ---------------------------------------------------------------------------------------------------------------


def _files(folders: Sequence[Path], name: str, language: str) -> tuple[Path, ...]:
    """The files of a table: one of JSON lines, or those of a saved table; none if the folders do not hold it."""
    for spelling in spellings(language):
        # The published translation calls Hebrew by its old code, iw.
        full = name if language == "en" else f"{name}_{spelling}"
        lines = locate(folders, f"{full}.jsonl") or locate(folders, f"{full}.json")
        if lines is not None:
            return (lines,)
        saved = saved_table(folders, f"dataset/{full}")
        if saved:
            return saved
    return ()


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    language, split = part
    if split in _CHOICE:
        return _find_choice(folders, part)
    base = _files(folders, split, language)
    if not base and split in _AUTHORS and split != "retain_perturbed":
        halves = [_files(folders, half, language) for half in _HALVES]
        base = _files(folders, "full", language) or (sum(halves, ()) if all(halves) else ())
    companion = _files(folders, f"{split}_perturbed", language) if split in _JOINED else ()
    return (*base, *companion) if base else ()


def _find_choice(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    english = _files(folders, part.split, "en")
    if part.language == "en":
        return english
    translated = _files(folders, f"{part.split}_perturbed", part.language)
    if translated and not english:
        raise UserError(
            f"the order of the options of {part.split} comes from the English file, {part.split}.jsonl",
            where=translated[0].parent,
            fix="give the folder of the English files too: --from TRANSLATIONS --from ENGLISH",
        )
    return (*translated, *english) if translated else ()


def _name(path: Path) -> str:
    """Name of the table that a file belongs to, such as ``forget01_perturbed_iw``."""
    return saved_name(path) if path.suffix == ".arrow" else path.name.split(".")[0]


def _records(paths: Sequence[Path]) -> list[Record]:
    tables = [saved_records([path]) if path.suffix == ".arrow" else json_lines(path) for path in paths]
    return [record for table in tables for record in table]


def _read(part: Part, paths: Sequence[Path]) -> Iterator[Row]:
    beside = f"{part.split}_perturbed"
    own = [path for path in paths if not _name(path).startswith(beside)]
    if part.split in _CHOICE:
        english = list(_english_choice_rows(Part("en", part.split), _records(own)))
        if part.language == "en":
            return iter(english)
        return _translated_choice_rows(part, _records([path for path in paths if path not in own]), english)
    base, companion = _records(own), _records([path for path in paths if path not in own])
    if not _name(paths[0]).startswith(part.split):  # the whole of TOFU, of which the part is a slice
        first, end = _AUTHORS[part.split]
        base = base[first:end]
    return _author_rows(part, base, companion)


_FILES = Format(
    "JSON lines, one file a part: full.jsonl, forget01.jsonl, forget01_perturbed.jsonl …, and translations "
    "forget01_LANGUAGE.jsonl, real_authors_perturbed_LANGUAGE.jsonl …; or folders of these names that `datasets` saved",
    _find,
    _read,
    names=r"(full|forget\d\d|retain\d\d|retain_perturbed|holdout\d\d|real_authors|world_facts)(_.+)?(\.jsonl?)?",
)


# ---------------------------------------------------------------------------------------------------------------
# the translations on GitHub
# ---------------------------------------------------------------------------------------------------------------


def _translated_files(part: Part) -> tuple[str, ...]:
    if part.language not in _TRANSLATIONS or part.split in _HOLDOUT:
        return ()
    if part.split in _CHOICE:
        names: tuple[str, ...] = (f"{part.split}_perturbed",)
    elif part.split == "forget01":
        names = ("forget01", "forget01_perturbed")
    else:
        names = (part.split,) if part.split in ("retain99", "retain_perturbed") else _HALVES
    code = "iw" if part.language == "he" else part.language
    return tuple(f"dataset/{name}_{code}/train/data-00000-of-00001.arrow" for name in names)


@dataclass(frozen=True, slots=True)
class _Translations(GitHubFiles):
    """The published translations; the order of options comes from the English rows of the hub."""

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Download the part's tables and read them."""
        if part.split not in _CHOICE:
            return GitHubFiles.fetch(self, part, revision)
        paths, inputs = self.download(part, revision)
        english = list(_HUB.fetch(Part("en", part.split), None).rows)
        return Fetched(list(_translated_choice_rows(part, _records(paths), english)), revision, inputs)

    def unreachable(self) -> str | None:
        """Why GitHub or, for the English rows, the hub cannot be reached now."""
        return GitHubFiles.unreachable(self) or _HUB.unreachable()

    def at_hand(self, part: Part) -> bool:
        """Whether earlier fetches left the part's tables, and the English ones that it needs."""
        english = Part("en", part.split)
        return GitHubFiles.at_hand(self, part) and (part.split not in _CHOICE or _HUB.at_hand(english))


DATASET = Dataset(
    name="tofu",
    title="TOFU, questions on invented authors, real authors and the world",
    licence="MIT (TOFU and its translations)",
    citation="Maini et al. 2024, TOFU: A Task of Fictitious Unlearning for LLMs, arXiv 2401.06121; translations: "
    "Multilingual Amnesia, EACL 2026, arXiv 2601.05641",
    homepage="https://huggingface.co/datasets/locuslab/TOFU",
    schema="fields question; target: the answer; extra author (number), paraphrased_question, paraphrased_answer, "
    "perturbed_answers; real_authors and world_facts: also 4 options, answer",
    splits=(*_AUTHORS, *_HOLDOUT, *_CHOICE),
    languages=("en", *_TRANSLATIONS),
    text_field="question",
    sources=(
        _HUB,
        _Translations(
            "alirezafarashah/multilingual_unlearning",
            "e8965b5b60fd09c104867b1927ab4d6a78385a10",
            _translated_files,
            _FILES,
        ),
    ),
    formats=(_FILES, _HUB.clone()),
    aligned_by=lambda row: row.answer,
)
