"""Where datasets are fetched from: tables and files of the hub, and files of a GitHub repository at a commit."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lm_eval_xling.cache_folder import cache_folder
from lm_eval_xling.catalog.checking import check_rows
from lm_eval_xling.catalog.dataset import Dataset, DataSource, Fetched, Format, Part
from lm_eval_xling.catalog.raw import Record
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256, read_text, write_atomically
from lm_eval_xling.records import Row

__all__ = [
    "GitHubFiles",
    "HubFiles",
    "HubTable",
    "HubTables",
    "Unreachable",
    "not_published",
    "rows_of_source",
    "unreachable",
]

_GITHUB = "https://raw.githubusercontent.com"
_TIMEOUT = 5.0  # seconds to connect, and to answer whether a source is there

HubTable = tuple[str | None, str]
"""Configuration (``None``: the only one) and split of a hub dataset."""


class Unreachable(Exception):
    """A source does not answer, or does not have what the catalog says it has."""


def unreachable(dataset: Dataset, part: Part, source: DataSource, reason: Unreachable) -> UserError:
    """Return the error that a dataset's source cannot be reached, with the way round it."""
    return UserError(
        f"dataset {dataset.name!r} ({part}) cannot be reached: {reason}",
        where=source.name,
        fix=f"where there is a network: xling data fetch {dataset.name} --to MIRROR; then: export XLING_DATA=MIRROR",
    )


def not_published(dataset: Dataset, part: Part) -> UserError:
    """Return the error that no source of a dataset has a part, with what it has."""
    published = [known.language for known in dataset.parts() if known.split == part.split]
    return UserError(
        f"dataset {dataset.name!r} is not published in language {part.language!r}, split {part.split!r}",
        fix=f"published: {', '.join(published) or 'nothing'}; other translations: "
        f"xling data import {dataset.name} --from DIR --to MIRROR, and export XLING_DATA=MIRROR",
    )


def rows_of_source(dataset: Dataset, part: Part) -> Sequence[Row]:
    """Return the rows of a part from the source that publishes it, checked.

    Raises:
        UserError: if no source has the part, it cannot be reached, or a row is bad.
    """
    source = dataset.source_of(part)
    if source is None:
        raise not_published(dataset, part)
    try:
        rows = source.fetch(part, source.pinned).rows
    except Unreachable as error:
        raise unreachable(dataset, part, source, error) from error
    check_rows(dataset, part, rows)
    return rows


@dataclass(frozen=True, slots=True)
class _HubRepository:
    """What tables and files of the hub have in common."""

    repository: str
    """``owner/name`` on the hub."""

    @property
    def name(self) -> str:
        """``hub:owner/name``."""
        return f"hub:{self.repository}"

    @property
    def pinned(self) -> None:
        """No commit: the mirror's manifest records the one that was fetched."""
        return None

    def newest(self) -> str | None:
        """The newest commit."""
        return _hub_commit(self.repository)

    def unreachable(self) -> str | None:
        """Why the hub cannot be reached now."""
        try:
            _hub_commit(self.repository)
        except Unreachable as error:
            return str(error)
        return None


@dataclass(frozen=True, slots=True)
class HubTables(_HubRepository):
    """A dataset on the hub that ``datasets.load_dataset`` reads."""

    tables: Callable[[Part], tuple[HubTable, ...]]
    """The tables that a part is read from; empty if the hub does not have the part."""
    read: Callable[[Part, Sequence[Iterable[Record]]], Iterable[Row]]
    """The rows of a part from its tables."""

    def covers(self, part: Part) -> bool:
        """Whether the hub has the part."""
        return bool(self.tables(part))

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Read the part through ``datasets``, whose own cache serves it when offline."""
        tables = [_table(self.repository, config, split, revision) for config, split in self.tables(part)]
        return Fetched(list(self.read(part, tables)), revision, {})

    def at_hand(self, part: Part) -> bool:
        """Whether the cache of ``datasets`` holds every table of the part."""
        return all(_in_datasets_cache(self.repository, *table) for table in self.tables(part))

    def clone(self) -> Format:
        """The layout of a local copy of the hub's repository, whose README lists the files of each table."""

        def find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
            for folder in folders:
                files = [_files_of_table(folder, *table) for table in self.tables(part)]
                if files and all(files):
                    # README.md first: its folder is the copy.
                    return (folder / "README.md", *(path for paths in files for path in paths))
            return ()

        def read(part: Part, paths: Sequence[Path]) -> Iterable[Row]:
            folder = str(paths[0].parent)
            return self.read(part, [_table(folder, config, split, None) for config, split in self.tables(part)])

        return Format(f"copy of the hub's {self.repository}, with its README.md", find, read)


@dataclass(frozen=True, slots=True)
class HubFiles(_HubRepository):
    """Files of a hub repository that are read as files, because ``datasets`` would misread them."""

    patterns: Callable[[Part], tuple[str, ...]]
    """The files of a part, as glob patterns; empty if the hub does not have the part."""
    format: Format
    """Their layout."""

    def covers(self, part: Part) -> bool:
        """Whether the hub has the part."""
        return bool(self.patterns(part))

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Read the part from the hub's cache, which is filled first."""
        return _read_files(self, self.format, part, self._folder(part, revision), revision)

    def at_hand(self, part: Part) -> bool:
        """Whether the hub's cache holds files of the part."""
        try:
            return bool(self.format.find([self._folder(part, None, local=True)], part))
        except Unreachable:
            return False

    def _folder(self, part: Part, revision: str | None, *, local: bool = False) -> Path:
        from huggingface_hub import snapshot_download

        with _hub():
            return Path(
                snapshot_download(
                    self.repository,
                    repo_type="dataset",
                    revision=revision,
                    allow_patterns=list(self.patterns(part)),
                    local_files_only=local,
                )
            )


@dataclass(frozen=True, slots=True)
class GitHubFiles:
    """Files of a GitHub repository at a commit; what was downloaded stays in the cache."""

    repository: str
    """``owner/name`` on GitHub."""
    commit: str
    """40 hexadecimal digits."""
    paths: Callable[[Part], tuple[str, ...]]
    """The files of a part; empty if the repository does not have the part."""
    format: Format
    """Their layout."""

    @property
    def name(self) -> str:
        """``github:owner/name``."""
        return f"github:{self.repository}"

    def covers(self, part: Part) -> bool:
        """Whether the repository has the part."""
        return bool(self.paths(part))

    @property
    def pinned(self) -> str:
        """The commit that the catalog names."""
        return self.commit

    def newest(self) -> str:
        """The commit that the catalog names."""
        return self.commit

    def address(self, path: str, commit: str) -> str:
        """The address of a file at a commit."""
        return f"{_GITHUB}/{self.repository}/{commit}/{quote(path)}"

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Download the part's files, unless they are in the cache, and read them."""
        self.download(part, revision)
        return _read_files(self, self.format, part, self._folder(revision or self.commit), revision or self.commit)

    def download(self, part: Part, revision: str | None) -> tuple[tuple[Path, ...], dict[str, str]]:
        """Download the part's files, unless they are in the cache.

        Returns:
            Where they are, and the sha256 of each by its path in the repository.
        """
        commit = revision or self.commit
        folder = self._folder(commit)
        known = published_sha256().get(self.repository, {})
        for path in self.paths(part):
            _download(self.address(path, commit), folder / path, known.get(path))
        paths = tuple(folder / path for path in self.paths(part))
        return paths, {path: file_sha256(folder / path) for path in self.paths(part)}

    def at_hand(self, part: Part) -> bool:
        """Whether an earlier fetch downloaded every file of the part."""
        return all((self._folder(self.commit) / path).is_file() for path in self.paths(part))

    def _folder(self, commit: str) -> Path:
        return cache_folder("published") / self.repository.replace("/", "__") / commit

    def unreachable(self) -> str | None:
        """Why GitHub cannot be reached now."""
        import requests

        try:
            requests.head(self.address("README.md", self.commit), timeout=_TIMEOUT).raise_for_status()
        except requests.RequestException as error:
            return _reason(error)
        return None


def _read_files(
    source: HubFiles | GitHubFiles, form: Format, part: Part, folder: Path, revision: str | None
) -> Fetched:
    paths = form.find([folder], part)
    if not paths:
        raise Unreachable(f"it has no files of {part} (expected {form.name})")
    inputs = {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
    return Fetched(list(form.read(part, paths)), revision, inputs)


# ---------------------------------------------------------------------------------------------------------------
# the hub
# ---------------------------------------------------------------------------------------------------------------


@contextmanager
def _hub() -> Iterator[None]:
    """Turn the many errors of the hub's clients into ``Unreachable``."""
    from datasets.exceptions import DatasetsError
    from huggingface_hub import errors

    # The base class of the HTTP library that the hub's client uses, which has changed between its releases.
    http_error: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    # An unknown configuration or split is a ValueError, broken files are a DatasetsError.
    try:
        yield
    except (OSError, ValueError, DatasetsError, http_error) as error:
        raise Unreachable(_reason(error)) from error


def _table(repository: str, config: str | None, split: str, revision: str | None) -> Iterator[Record]:
    from datasets import load_dataset

    with _hub():
        table = load_dataset(repository, config, split=split, revision=revision)
    place = f"{repository}, {config}/{split}" if config else f"{repository}, {split}"
    for index, values in enumerate(table):
        yield Record(values, f"{place}, row {index}")


def _hub_commit(repository: str) -> str | None:
    from huggingface_hub import HfApi

    with _hub():
        commit: str | None = HfApi().dataset_info(repository, timeout=_TIMEOUT).sha
    return commit


def _in_datasets_cache(repository: str, config: str | None, split: str) -> bool:
    """Whether ``datasets`` prepared a table before: it looks for just these files when the hub cannot be reached."""
    from datasets import config as settings
    from datasets.naming import camelcase_to_snakecase

    owner, name = repository.split("/")
    folder = Path(settings.HF_DATASETS_CACHE) / f"{owner}___{camelcase_to_snakecase(name)}"
    start = glob.escape(config) if config else "*"
    return any(any(folder.glob(f"{start}/*/*/*-{split}{end}.arrow")) for end in ("", "-*-of-*"))


def _files_of_table(folder: Path, config: str | None, split: str) -> list[Path]:
    """The files of a table in a local copy, as the front matter of its README says; empty if it has no such table."""
    readme = folder / "README.md"
    if not readme.is_file():
        return []
    patterns = _front_matter_tables(readme, readme.stat().st_mtime_ns).get((config or "default", split), ())
    # glob, not Path.glob: the patterns may be absolute or hold "**", and a folder's own name may hold brackets.
    found = [path for pattern in patterns for path in glob.glob(f"{glob.escape(str(folder))}/{pattern}")]
    return sorted(map(Path, found))


@cache
def _front_matter_tables(readme: Path, changed: int) -> dict[tuple[str, str], tuple[str, ...]]:
    import yaml

    pieces = read_text(readme).split("---\n", 2)
    if len(pieces) < 3 or pieces[0]:
        return {}
    try:
        head = yaml.safe_load(pieces[1])
    except yaml.YAMLError:
        return {}
    tables: dict[tuple[str, str], tuple[str, ...]] = {}
    for config in head.get("configs", ()) if isinstance(head, dict) else ():
        files: Any = config.get("data_files", ())
        for entry in [{"split": "train", "path": files}] if isinstance(files, str) else files:
            entry = {"split": "train", "path": entry} if isinstance(entry, str) else entry
            paths = entry["path"]
            tables[config["config_name"], entry["split"]] = (paths,) if isinstance(paths, str) else tuple(paths)
    return tables


# ---------------------------------------------------------------------------------------------------------------
# GitHub
# ---------------------------------------------------------------------------------------------------------------


@cache
def published_sha256() -> Mapping[str, Mapping[str, str]]:
    """sha256 by repository and path, for the published files whose bytes are known."""
    import yaml

    known: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())
    return known


def _download(url: str, target: Path, sha256: str | None) -> None:
    """Download a file, unless it is there; it gets its name only when it is whole and what was expected."""
    if target.is_file() and sha256 in (None, file_sha256(target)):
        return
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=Retry(3, backoff_factor=1, status_forcelist=(429, 502, 503))))
        try:
            answer = session.get(url, timeout=(_TIMEOUT, 60))
            answer.raise_for_status()
        except requests.RequestException as error:
            raise Unreachable(_reason(error)) from error
    found = hashlib.sha256(answer.content).hexdigest()
    if sha256 is not None and found != sha256:
        raise Unreachable(f"{url} has sha256 {found}, expected {sha256}")
    write_atomically(target, answer.content)


def _reason(error: BaseException) -> str:
    """What went wrong, in the middle of a sentence: the libraries' own texts run over many lines."""
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
