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
from lm_eval_xling.catalog.dataset import Dataset, Fetched, Format, Part, Source
from lm_eval_xling.catalog.raw import Record
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import file_sha256, read_text, write_atomically
from lm_eval_xling.records import Row

__all__ = ["GitHubFiles", "HubFiles", "HubTables", "Unreachable", "unreachable"]

_GITHUB = "https://raw.githubusercontent.com"
_TIMEOUT = 5.0  # seconds to connect, and to answer whether a source is there

Table = tuple[str | None, str]
"""Configuration (``None``: the only one) and split of a hub dataset."""


class Unreachable(Exception):
    """A source does not answer, or does not have what the catalog says it has."""


def unreachable(dataset: Dataset, part: Part, source: Source, reason: Unreachable) -> UserError:
    """Return the error that a dataset's source cannot be reached, with the way round it."""
    return UserError(
        f"dataset {dataset.name!r} ({part}) cannot be reached: {reason}",
        where=source.name,
        fix=f"where there is a network: xling data fetch {dataset.name} --to MIRROR; then: export XLING_DATA=MIRROR",
    )


@dataclass(frozen=True, slots=True)
class HubTables:
    """A dataset on the hub that ``datasets.load_dataset`` reads."""

    repository: str
    """``owner/name`` on the hub."""
    tables: Callable[[Part], tuple[Table, ...]]
    """The tables that a part is read from; empty if the hub does not have the part."""
    read: Callable[[Part, Sequence[Iterable[Record]]], Iterable[Row]]
    """The rows of a part from its tables."""

    @property
    def name(self) -> str:
        """``hub:owner/name``."""
        return f"hub:{self.repository}"

    def covers(self, part: Part) -> bool:
        """Whether the hub has the part."""
        return bool(self.tables(part))

    @property
    def pinned(self) -> None:
        """No commit: the mirror's manifest records the one that was fetched."""
        return None

    def newest(self) -> str | None:
        """The newest commit."""
        return _hub_commit(self.repository)

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Read the part through ``datasets``, whose own cache serves it when offline."""
        tables = [_table(self.repository, config, split, revision) for config, split in self.tables(part)]
        return Fetched(list(self.read(part, tables)), revision, {})

    def unreachable(self) -> str | None:
        """Why the hub cannot be reached now."""
        return _hub_unreachable(self.repository)

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
class HubFiles:
    """Files of a hub repository that are read as files, because ``datasets`` would misread them."""

    repository: str
    """``owner/name`` on the hub."""
    patterns: Callable[[Part], tuple[str, ...]]
    """The files of a part, as glob patterns; empty if the hub does not have the part."""
    format: Format
    """Their layout."""

    @property
    def name(self) -> str:
        """``hub:owner/name``."""
        return f"hub:{self.repository}"

    def covers(self, part: Part) -> bool:
        """Whether the hub has the part."""
        return bool(self.patterns(part))

    @property
    def pinned(self) -> None:
        """No commit: the mirror's manifest records the one that was fetched."""
        return None

    def newest(self) -> str | None:
        """The newest commit."""
        return _hub_commit(self.repository)

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Read the part from the hub's cache, which is filled first."""
        from huggingface_hub import snapshot_download

        with _hub():
            folder = snapshot_download(
                self.repository, repo_type="dataset", revision=revision, allow_patterns=list(self.patterns(part))
            )
        return _read_files(self, self.format, part, Path(folder), revision)

    def unreachable(self) -> str | None:
        """Why the hub cannot be reached now."""
        return _hub_unreachable(self.repository)


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

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Download the part's files, unless they are in the cache, and read them."""
        commit = revision or self.commit
        folder = cache_folder("published") / self.repository.replace("/", "__") / commit
        known = published_sha256().get(self.repository, {})
        for path in self.paths(part):
            _download(f"{_GITHUB}/{self.repository}/{commit}/{quote(path)}", folder / path, known.get(path))
        return _read_files(self, self.format, part, folder, commit)

    def unreachable(self) -> str | None:
        """Why GitHub cannot be reached now."""
        import requests

        try:
            requests.head(f"{_GITHUB}/{self.repository}/{self.commit}/README.md", timeout=_TIMEOUT).raise_for_status()
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


def _hub_unreachable(repository: str) -> str | None:
    try:
        _hub_commit(repository)
    except Unreachable as error:
        return str(error)
    return None


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
