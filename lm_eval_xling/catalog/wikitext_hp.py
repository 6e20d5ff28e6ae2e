"""The lines of WikiText-103 about Harry Potter: the in-domain corpus of Chua et al. 2024."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lm_eval_xling.catalog.dataset import Fetched, Format, Part
from lm_eval_xling.catalog.raw import Record, locate
from lm_eval_xling.catalog.sources import GitHubFiles, HubTable, HubTables
from lm_eval_xling.errors import UserError
from lm_eval_xling.files import read_text
from lm_eval_xling.records import Row

__all__ = ["COPY", "SPLIT", "LinesOfWikiText"]

SPLIT = "train_103_hp"
"""Name of the split."""

_INDICES = "HP/Wiki103-HP/HP_related_index_for_wikitext-103.json"
_LINES = 1_165_029
"""Lines of the training split that are not blank, as the paper's repository counts them."""


def _tables(part: Part) -> tuple[HubTable, ...]:
    return (("wikitext-103-v1", "train"),) if part == Part("en", SPLIT) else ()


def _read_indices(path: Path) -> list[int]:
    try:
        found = json.loads(read_text(path))["HP-related-index"]
        if not found or not all(type(index) is int for index in found):
            raise ValueError("no list of numbers")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("it does not hold HP-related-index, a list of numbers of lines", where=path) from error
    return list(dict.fromkeys(found))


def _rows(indices: Sequence[int], texts: Iterable[str], where: str) -> Iterator[Row]:
    """Select lines in the order of the indices, which count the lines that are not blank from 0."""
    wanted = set(indices)
    chosen: dict[int, str] = {}
    count = 0
    for text in texts:
        if text.strip():
            if count in wanted:
                chosen[count] = text.strip()
            count += 1
    if wanted - set(chosen):
        raise UserError(
            f"line {max(wanted - set(chosen))} is named, and there are {count} lines that are not blank",
            where=where,
            fix=f"take wikitext-103-v1, whose training split has {_LINES:,}",
        )
    for index in indices:
        yield Row(id=str(index), language="en", fields={"text": chosen[index]})


def _table(indices: Sequence[int] = (), repository: str = "Salesforce/wikitext") -> HubTables:
    """The hub's table, of which some lines are read."""

    def read(part: Part, tables: Sequence[Iterable[Record]]) -> Iterator[Row]:
        return _rows(indices, (record.value("text") for record in tables[0]), "wikitext-103-v1, train")

    return HubTables(repository, _tables, read)


_INDEX_FILE = GitHubFiles(
    "google-research/crosslingual-knowledge-barriers",
    "62d79fe53fa5c8d3284471654be5b5de7fd71251",
    lambda part: (_INDICES,) if _tables(part) else (),
    Format("HP_related_index_for_wikitext-103.json", lambda folders, part: (), lambda part, paths: ()),
)


@dataclass(frozen=True, slots=True)
class LinesOfWikiText:
    """WikiText-103 from the hub, of which a file of the paper's repository selects the lines."""

    repository: str = "Salesforce/wikitext"
    """Of the text, on the hub."""
    selection: GitHubFiles = _INDEX_FILE
    """The file that selects the lines."""

    @property
    def name(self) -> str:
        """``hub:owner/name`` of the text."""
        return self._text().name

    def covers(self, part: Part) -> bool:
        """Whether it is the one part that is made so."""
        return self.selection.covers(part)

    @property
    def pinned(self) -> None:
        """No commit: the mirror's manifest records that of the text; that of the selection is fixed."""
        return None

    def newest(self) -> str | None:
        """The newest commit of the text."""
        return self._text().newest()

    def fetch(self, part: Part, revision: str | None) -> Fetched:
        """Download the selection, unless it is in the cache, and read its lines from the hub's table."""
        (path,), inputs = self.selection.download(part, None)
        return replace(self._text(_read_indices(path)).fetch(part, revision), inputs=inputs)

    def at_hand(self, part: Part) -> bool:
        """Whether both were fetched before."""
        return self.selection.at_hand(part) and self._text().at_hand(part)

    def unreachable(self) -> str | None:
        """Why the hub or GitHub cannot be reached now."""
        return self._text().unreachable() or self.selection.unreachable()

    def _text(self, indices: Sequence[int] = ()) -> HubTables:
        return _table(indices, self.repository)


def _find(folders: Sequence[Path], part: Part) -> tuple[Path, ...]:
    selection, copy = locate(folders, _INDICES), _table().clone().find(folders, part)
    return (selection, *copy) if selection and copy else ()


def _read(part: Part, paths: Sequence[Path]) -> Iterable[Row]:
    return _table(_read_indices(paths[0])).clone().read(part, paths[1:])


COPY = Format(f"{_INDICES.rpartition('/')[2]} beside a copy of the hub's Salesforce/wikitext", _find, _read)
"""Local files of the part."""
