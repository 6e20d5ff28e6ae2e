"""Filling a mirror: from published files in folders, and from the datasets' sources.

A part is written to a temporary name and renamed, and then entered in the manifest, which is replaced the same
way. So a run may be killed at any moment; the next one skips what is complete and makes the same bytes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from lm_eval_xling.catalog.checking import check_aligned, check_rows
from lm_eval_xling.catalog.dataset import Dataset, DataSource, Fetched, Part
from lm_eval_xling.catalog.mirror import MANIFEST, Mirror, StoredPart, decode_rows, encode_manifest, encode_rows
from lm_eval_xling.catalog.raw import skipping_bad_rows
from lm_eval_xling.catalog.sources import Unreachable, unreachable
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import UNFINISHED, check_folder, file_sha256, nothing_left, write_atomically
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

log = logging.getLogger(__name__)

__all__ = [
    "MirrorWriter",
    "NothingToImport",
    "fetch_dataset",
    "import_dataset",
    "importable_parts",
    "left_out",
    "writing",
]


class NothingToImport(UserError):
    """The folders hold none of a dataset's files."""


class MirrorWriter:
    """A mirror that this process alone is filling.

    Args:
        folder: the mirror's folder; made if it is not there.
        datasets: the entries of the catalog, for what the manifest says of each.
    """

    def __init__(self, folder: Path, datasets: Mapping[str, Dataset]) -> None:
        self.folder = folder
        self._datasets = datasets
        known = Mirror(folder).parts if (folder / MANIFEST).exists() else {}
        self._parts = dict(known)
        self._references: dict[tuple[str, str], tuple[Part, dict[str, object]]] = {}
        self._pending: set[tuple[str, Part]] = set()

    def expect(self, dataset: str, parts: Iterable[Part]) -> None:
        """Say which parts this run brings: what the mirror still holds of them may be of an older release.

        Other languages are therefore not compared with them before they have been stored or found complete.
        """
        self._pending |= {(dataset, part) for part in parts}

    def stored(self, dataset: str) -> list[StoredPart]:
        """What the mirror holds of a dataset."""
        return [stored for stored in self._parts.values() if stored.dataset == dataset]

    def holds(
        self, dataset: str, part: Part, source: str, revision: str | None, inputs: Mapping[str, str] | None = None
    ) -> bool:
        """Whether a part is there, unchanged, from just this source and revision, and from these raw files if given."""
        stored = self._parts.get((dataset, part))
        if stored is None or (stored.source, stored.revision) != (source, revision):
            return False
        if inputs is not None and dict(stored.inputs) != dict(inputs):
            return False
        path = self.folder / stored.file
        complete = path.is_file() and file_sha256(path) == stored.sha256
        if complete:
            self._pending.discard((dataset, part))
        return complete

    def store(self, dataset: Dataset, part: Part, source: str, fetched: Fetched) -> StoredPart:
        """Check the rows of a part, write them, and enter them in the manifest.

        Raises:
            UserError: if a row is bad, or the mirror holds the part from another source.
        """
        held = self._parts.get((dataset.name, part))
        if held is not None and held.source != source:
            raise UserError(
                f"the mirror already holds {dataset.name} {part} from another source: {held.source}",
                where=self.folder / held.file,
                fix="use another folder for the mirror, so that the sources do not mix",
            )
        check_rows(dataset, part, fetched.rows)
        self._check_aligned(dataset, part, fetched.rows)
        data = encode_rows(fetched.rows)
        stored = StoredPart(
            dataset=dataset.name,
            language=part.language,
            split=part.split,
            rows=len(fetched.rows),
            size=len(data),
            sha256=sha256(data).hexdigest(),
            source=source,
            revision=fetched.revision,
            skipped=fetched.skipped,
            inputs=dict(sorted(fetched.inputs.items())),
        )
        write_atomically(self.folder / stored.file, data)
        self._parts[dataset.name, part] = stored
        self._pending.discard((dataset.name, part))
        self._write_manifest()
        return stored

    def _check_aligned(self, dataset: Dataset, part: Part, rows: Sequence[Row]) -> None:
        if dataset.aligned_by is None:
            return
        key = (dataset.name, part.split)
        if key not in self._references:
            held = [p for p in self.stored(dataset.name) if p.split == part.split and p.part != part]
            held = [p for p in held if (dataset.name, p.part) not in self._pending and (self.folder / p.file).is_file()]
            # English if it is there: the other languages are translations of it.
            other = min(held, key=lambda p: (p.language != "en", p.language), default=None)
            if other is None:
                self._references[key] = (part, {row.id: dataset.aligned_by(row) for row in rows})
                return
            data = (self.folder / other.file).read_bytes()
            reference = {row.id: dataset.aligned_by(row) for row in decode_rows(data, other.language)}
            self._references[key] = (other.part, reference)
        check_aligned(dataset, part, rows, *self._references[key])

    def _write_manifest(self) -> None:
        names = {stored.dataset for stored in self._parts.values()}
        about = {
            name: {"licence": entry.licence, "citation": entry.citation, "homepage": entry.homepage}
            for name, entry in self._datasets.items()
            if name in names
        }
        write_atomically(self.folder / MANIFEST, encode_manifest(about, self._parts.values()))


@contextmanager
def writing(folder: Path, datasets: Mapping[str, Dataset]) -> Iterator[MirrorWriter]:
    """Open a mirror for writing; other processes cannot write to it meanwhile.

    Raises:
        UserError: if another process is writing to it, or the folder holds something else.
    """
    from filelock import FileLock, Timeout

    check_folder(folder, "mirror")
    if (
        folder.is_dir()
        and not (folder / MANIFEST).exists()
        and any(not p.name.startswith(".") for p in folder.iterdir())
    ):
        entries = [p for p in folder.iterdir() if p.name not in datasets and not p.name.startswith(".")]
        if entries:
            raise UserError(
                f"the folder is not a mirror: it holds {entries[0].name!r}", where=folder, fix="name a new folder"
            )
    try:
        with nothing_left(folder, ".lock"):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=0):
                for left_over in folder.rglob(UNFINISHED):
                    left_over.unlink(missing_ok=True)
                yield MirrorWriter(folder, datasets)
    except Timeout:
        raise UserError(
            "another xling process is writing to this mirror", where=folder, fix="wait until it has finished"
        ) from None


def importable_parts(dataset: Dataset, folders: Sequence[Path]) -> dict[Part, list[tuple[str, tuple[Path, ...]]]]:
    """Return, for each part that the folders hold, the formats and files that hold it, best first.

    Args:
        dataset: the entry.
        folders: where to look; the direct subfolders of each are searched after it.
    """
    searched = [below for folder in folders for below in (folder, *sorted(p for p in folder.iterdir() if p.is_dir()))]
    languages = dict.fromkeys((*dataset.languages, *LANGUAGES))
    found: dict[Part, list[tuple[str, tuple[Path, ...]]]] = {}
    for split in dataset.splits:
        for part in (Part(language, split) for language in languages):
            candidates = [(form.name, form.find(searched, part)) for form in dataset.formats]
            candidates = [(name, paths) for name, paths in candidates if paths]
            if candidates:
                found[part] = candidates if split in dataset.completed else candidates[:1]
    return found


def import_dataset(
    dataset: Dataset,
    folders: Sequence[Path],
    mirror: MirrorWriter,
    *,
    skip_bad_rows: bool = False,
    progress: Callable[[Sequence[Part]], Iterator[Part]] = iter,
) -> list[StoredPart]:
    """Fill the mirror with what these folders hold of a dataset; complete parts are skipped.

    Args:
        dataset: the entry.
        folders: folders with files in one of the dataset's formats.
        mirror: where to store.
        skip_bad_rows: leave out rows that are bad in themselves, and log each, instead of refusing their part.
        progress: wraps the list of parts, for a progress bar.

    Returns:
        The parts that the folders hold, whether stored now or before.

    Raises:
        NothingToImport: if the folders hold none of the dataset's files.
        UserError: if a row is bad; the other parts are stored.
    """
    found = importable_parts(dataset, folders)
    if not found:
        raise NothingToImport(
            f"there are no files of dataset {dataset.name!r}",
            where=", ".join(map(str, folders)),
            fix="expected " + "; or ".join(form.name for form in dataset.formats),
        )
    reads = {form.name: form.read for form in dataset.formats}
    problems: list[UserError] = []
    mirror.expect(dataset.name, found)
    for part in progress(list(found)):
        candidates = found[part]
        source = f"imported: {candidates[0][0].split(':')[0]}"
        inputs = {_input_name(path, folders): file_sha256(path) for _, paths in candidates for path in paths}
        if mirror.holds(dataset.name, part, source, None, inputs):
            continue
        try:
            with skipping_bad_rows(skip_bad_rows) as bad:
                rows = _merged([list(reads[name](part, paths)) for name, paths in candidates])
            mirror.store(dataset, part, source, Fetched(rows, None, inputs, skipped=len(bad)))
            _log_skipped(bad)
        except UserError as error:
            problems.append(error)
    for path in left_out(dataset, found):
        log.warning("%s: not read, no part of the dataset is this: %s", dataset.name, _input_name(path, folders))
    raise_all(problems)
    return [stored for stored in mirror.stored(dataset.name) if stored.part in found]


def left_out(dataset: Dataset, found: Mapping[Part, Sequence[tuple[str, Sequence[Path]]]]) -> list[Path]:
    """Return what is named as a layout's files are and stands beside those that are read, but is read for no part.

    Args:
        dataset: the entry.
        found: of ``importable_parts``.
    """
    names = {form.name: re.compile(f"(?:{form.names})(?:\\.gz)?") for form in dataset.formats if form.names}
    read: dict[str, set[Path]] = {name: set() for name in names}
    for candidates in found.values():
        for name, paths in candidates:
            if name in names:
                read[name] |= {_unit(path, names[name]) for path in paths}
    every = {unit for units in read.values() for unit in units}
    return sorted(
        path
        for name, units in read.items()
        for folder in {unit.parent for unit in units}
        for path in folder.iterdir()
        if names[name].fullmatch(path.name) and path not in every
    )


def _unit(path: Path, names: re.Pattern[str]) -> Path:
    """The file itself or, for a file of a saved table, the folder of the table."""
    return next((unit for unit in (path, *path.parents[:2]) if names.fullmatch(unit.name)), path)


def fetch_dataset(
    dataset: Dataset,
    mirror: MirrorWriter,
    *,
    languages: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    skip_bad_rows: bool = False,
    progress: Callable[[Sequence[Part]], Iterator[Part]] = iter,
) -> list[StoredPart]:
    """Fill the mirror with a dataset from its sources; complete parts are skipped.

    All parts of a source come from one commit: the catalog's, or the one that the mirror's first part came from.

    Args:
        dataset: the entry.
        mirror: where to store.
        languages: language codes; all if ``None``.
        splits: splits; all if ``None``.
        skip_bad_rows: leave out rows that are bad in themselves, and log each, instead of refusing their part.
        progress: wraps the list of parts, for a progress bar.

    Returns:
        The parts asked for, whether stored now or before.

    Raises:
        UserError: if a source cannot be reached, a language or split is not published, or a row is bad; parts that
            could be had are stored.
    """
    parts = _published_parts(dataset, languages, splits)
    revisions: dict[str, str | None] = {}
    problems: list[UserError] = []
    mirror.expect(dataset.name, parts)
    for part in progress(parts):
        source = dataset.source_of(part)
        assert source is not None  # of published parts alone
        try:
            if source.name not in revisions:
                revisions[source.name] = _revision(dataset, source, mirror)
            revision = revisions[source.name]
            if not mirror.holds(dataset.name, part, source.name, revision):
                with skipping_bad_rows(skip_bad_rows) as bad:
                    fetched = source.fetch(part, revision)
                mirror.store(dataset, part, source.name, replace(fetched, skipped=len(bad)))
                _log_skipped(bad)
        except Unreachable as error:
            raise unreachable(dataset, part, source, error) from error
        except UserError as error:
            problems.append(error)
    raise_all(problems)
    return [stored for stored in mirror.stored(dataset.name) if stored.part in set(parts)]


def _published_parts(dataset: Dataset, languages: Sequence[str] | None, splits: Sequence[str] | None) -> list[Part]:
    for kind, asked, known in (("language", languages, dataset.languages), ("split", splits, dataset.splits)):
        for name in asked or ():
            if name not in known:
                raise unknown_name(f"{kind} of dataset {dataset.name!r}", name, known)
    parts = [
        part
        for part in dataset.parts()
        if (languages is None or part.language in languages) and (splits is None or part.split in splits)
    ]
    if not parts:
        raise UserError(
            f"dataset {dataset.name!r} is not published in this combination of language and split",
            fix=f"published: {', '.join(map(str, dataset.parts()))}; what others translated can be imported: "
            f"xling data list {dataset.name}",
        )
    return parts


def _revision(dataset: Dataset, source: DataSource, mirror: MirrorWriter) -> str | None:
    """The commit to fetch: going on with an unfinished mirror must not mix two."""
    held = {stored.revision for stored in mirror.stored(dataset.name) if stored.source == source.name}
    pinned = source.pinned
    return pinned if pinned is not None else next(iter(held)) if held else source.newest()


def _merged(candidates: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of the first candidate, and the ids that it lacks from the next ones, in the order of the ids."""
    if len(candidates) == 1:
        return list(candidates[0])
    rows: dict[str, Row] = {}
    for candidate in candidates:
        for row in candidate:
            rows.setdefault(row.id, row)
    return sorted(
        rows.values(), key=lambda row: [piece.zfill(9) if piece.isdigit() else piece for piece in row.id.split("/")]
    )


def _input_name(path: Path, folders: Sequence[Path]) -> str:
    """Path below the folder that the user named: no machine's paths in the manifest."""
    for folder in folders:
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name


def _log_skipped(problems: Iterable[UserError]) -> None:
    for problem in problems:
        log.warning("row left out: %s (%s)", problem.what, problem.where)


def raise_all(problems: Sequence[UserError]) -> None:
    """Raise what went wrong with some parts, after the other parts have been stored."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = [f"{problem.where}: {problem.what}" for problem in problems]
        raise UserError(
            f"{len(problems)} parts or datasets could not be stored", where="\n      ".join(lines), fix=problems[0].fix
        )
