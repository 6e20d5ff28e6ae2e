"""What the catalog says of a dataset: its parts, the layouts of its files, its sources, and the entry itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from lm_eval_xling.records import Row

__all__ = ["Dataset", "Fetched", "Format", "Part", "DataSource"]


class Part(NamedTuple):
    """The rows of a dataset in one language and one split: what is stored in one file of the mirror."""

    language: str
    """Language code, or ``languages.MULTIPLE`` for published rows that mix languages."""
    split: str
    """A name in ``Dataset.splits``."""

    def __str__(self) -> str:
        return f"{self.language} {self.split}"


@dataclass(frozen=True, slots=True)
class Format:
    """One published layout of a dataset's files."""

    name: str
    """The layout in words, with the file names: an import that finds nothing says what it looked for."""
    find: Callable[[Sequence[Path], Part], tuple[Path, ...]]
    """The files, in these folders, that hold a part; empty if they do not hold it."""
    read: Callable[[Part, Sequence[Path]], Iterable[Row]]
    """The rows of a part from the files that ``find`` gave."""
    names: str = ""
    """Regular expression of the layout's names, in any language: what is named so beside the files that were read,
    but was not read, is reported. Empty where names say nothing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A part as it came from its source."""

    rows: Sequence[Row]
    """In the source's order."""
    revision: str | None
    """Commit of the source, where it is known."""
    inputs: Mapping[str, str]
    """sha256 of the files that were read, by name; empty where the source hands out tables, not files."""
    skipped: int = 0
    """How many bad rows were left out."""


class DataSource(Protocol):
    """A place that a dataset can be fetched from."""

    @property
    def name(self) -> str:
        """``host:owner/name`` of the repository."""

    def covers(self, part: Part) -> bool:
        """Whether the source publishes a part."""

    @property
    def pinned(self) -> str | None:
        """The commit that the catalog names, if it names one."""

    def newest(self) -> str | None:
        """The commit that a fetch beginning now would use."""

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Read a part at a commit (``None``: the newest, or what is cached when offline)."""

    def unreachable(self) -> str | None:
        """Why the source cannot be reached now, or ``None`` if it can."""

    def at_hand(self, part: Part) -> bool:
        """Whether an earlier fetch left a part in a cache, so that it can be read without a network."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset: what it is, where it comes from, and how its raw form becomes rows."""

    name: str
    """As in ``load_rows`` and ``xling data fetch``."""
    title: str
    """What it is, in one line."""
    licence: str
    """Licence of the data, with the doubts its publisher leaves."""
    citation: str
    """Authors, year, title, identifier."""
    homepage: str
    """Where to read about it."""
    schema: str
    """What a row's ``fields``, ``options``, ``answer``, ``target`` and ``extra`` hold."""
    splits: tuple[str, ...]
    """Splits that are published; the first is the one that is scored."""
    languages: tuple[str, ...]
    """Languages that are published, English first; a mirror may hold others that were imported."""
    text_field: str | None = None
    """The field of ``Row.fields`` with the row's own text, in every language the same content: what measures of
    parallel texts read (MEXA). Of two such fields the one that repeats less. ``None`` where rows are not parallel."""
    sources: tuple[DataSource, ...] = ()
    """Where to fetch from; the first that covers a part gives it."""
    formats: tuple[Format, ...] = ()
    """Layouts that can be imported; the first that finds a part gives it."""
    completed: frozenset[str] = field(default_factory=frozenset)
    """Splits to which the later formats add the ids that the earlier ones lack: demonstrations, never scored."""
    aligned_by: Callable[[Row], object] | None = None
    """Where ids are positions in the published files: what must be equal in all languages of an id."""
    built_in: Callable[[Part], Sequence[Row]] | None = None
    """Reads the rows from the package itself: no mirror, no network."""

    def parts(self) -> list[Part]:
        """Every published part, split by split."""
        return [
            part
            for split in self.splits
            for part in (Part(language, split) for language in self.languages)
            if self.built_in is not None or self.source_of(part) is not None
        ]

    def source_of(self, part: Part) -> DataSource | None:
        """The source that gives a part, or ``None`` if no source publishes it."""
        return next((source for source in self.sources if source.covers(part)), None)
