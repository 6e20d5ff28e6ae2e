"""Filling a mirror: from published files in folders, and from the datasets' sources.

A part is written to a temporary name and renamed, and then entered in the manifest, which is replaced the same
way. So a run may be killed at any moment; the next one skips what is complete and makes the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from lm_eval_xling.catalog.checking import check_aligned, check_rows
from lm_eval_xling.catalog.dataset import Dataset, Fetched, Part
from lm_eval_xling.catalog.mirror import MANIFEST, Mirror, StoredPart, decode_rows, encode_manifest, encode_rows
from lm_eval_xling.catalog.raw import file_sha256
from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.records import Row

__all__ = ["MirrorWriter", "import_dataset", "importable_parts", "writing"]


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

    def stored(self, dataset: str) -> list[StoredPart]:
        """What the mirror holds of a dataset."""
        return [stored for stored in self._parts.values() if stored.dataset == dataset]

    def holds(self, dataset: str, part: Part, source: str, revision: str | None, inputs: Mapping[str, str]) -> bool:
        """Whether a part is there, unchanged, and from just this source, revision and these raw files."""
        stored = self._parts.get((dataset, part))
        if stored is None or (stored.source, stored.revision) != (source, revision):
            return False
        path = self.folder / stored.file
        return dict(stored.inputs) == dict(inputs) and path.is_file() and file_sha256(path) == stored.sha256

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
            inputs=dict(sorted(fetched.inputs.items())),
        )
        write_atomically(self.folder / stored.file, data)
        self._parts[dataset.name, part] = stored
        self._write_manifest()
        return stored

    def _check_aligned(self, dataset: Dataset, part: Part, rows: Sequence[Row]) -> None:
        others = [p for p in self.stored(dataset.name) if p.split == part.split and p.language != part.language]
        if dataset.aligned_by is None or not others:
            return
        other = min(others, key=lambda p: (p.language != "en", p.language))
        path = self.folder / other.file
        if path.is_file():
            check_aligned(dataset, part, rows, other.part, list(decode_rows(path.read_bytes(), other.language)))

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

    if folder.exists() and not folder.is_dir():
        raise UserError("the mirror must be a folder", where=folder)
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
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            for left_over in folder.rglob(".*.part"):
                left_over.unlink(missing_ok=True)
            yield MirrorWriter(folder, datasets)
    except Timeout:
        raise UserError(
            "another xling process is writing to this mirror", where=folder, fix="wait until it has finished"
        ) from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at every moment it is absent, the old one, or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
    progress: Callable[[Sequence[Part]], Iterator[Part]] = iter,
) -> list[StoredPart]:
    """Fill the mirror with what these folders hold of a dataset; complete parts are skipped.

    Args:
        dataset: the entry.
        folders: folders with files in one of the dataset's formats.
        mirror: where to store.
        progress: wraps the list of parts, for a progress bar.

    Returns:
        The parts that the folders hold, whether stored now or before.

    Raises:
        UserError: if the folders hold none of the dataset's files, or a row is bad; the other parts are stored.
    """
    found = importable_parts(dataset, folders)
    if not found:
        raise UserError(
            f"there are no files of dataset {dataset.name!r}",
            where=", ".join(map(str, folders)),
            fix="expected " + "; or ".join(form.name for form in dataset.formats),
        )
    reads = {form.name: form.read for form in dataset.formats}
    problems: list[UserError] = []
    for part in progress(list(found)):
        candidates = found[part]
        source = f"imported: {candidates[0][0].split(':')[0]}"
        inputs = {_input_name(path, folders): file_sha256(path) for _, paths in candidates for path in paths}
        if mirror.holds(dataset.name, part, source, None, inputs):
            continue
        try:
            rows = _merged([list(reads[name](part, paths)) for name, paths in candidates])
            mirror.store(dataset, part, source, Fetched(rows, None, inputs))
        except UserError as error:
            problems.append(error)
    raise_all(problems)
    return [stored for stored in mirror.stored(dataset.name) if stored.part in found]


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


def raise_all(problems: Sequence[UserError]) -> None:
    """Raise what went wrong with some parts, after the other parts have been stored."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        first = problems[0]
        raise UserError(
            f"{len(problems)} parts could not be stored; the first: {first.what}", where=first.where, fix=first.fix
        )
