"""Tables and columns that the catalog names are those of the published datasets, as ``fixtures/schemas.yaml`` has them.

No network: the schemas were written down by hand from the datasets' cards, and those of files are compared with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lm_eval_xling.catalog import DATASETS, xquad
from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.raw import Record
from lm_eval_xling.catalog.sources import GitHubFiles, HubTables, published_sha256
from lm_eval_xling.catalog.wikitext_hp import LinesOfWikiText

SCHEMAS = yaml.safe_load((Path(__file__).parents[1] / "fixtures" / "schemas.yaml").read_text(encoding="utf-8"))

HUBS = {
    **{e.name: source for e in DATASETS.values() for source in e.sources if isinstance(source, HubTables)},
    # Fetched from elsewhere, but a copy of the hub's tables can be imported.
    "xquad": xquad._HUB,
}
ASKED_IN_VAIN = {"xquad": {"title"}}
"""Columns that files have and the hub's tables lack."""

VALUES: Mapping[str, Any] = {
    "text": "word", "letter": "B", "choice": "3", "integer": 2, "truth": False, "texts": ["word"] * 3,
    "integers": [0] * 3, "subject": "anatomy", "option": "word",
}  # fmt: skip
ARTICLE = ("", " = Ada = \n", "", " She wrote . \n", "")


def parts(name: str) -> list[Part]:
    return [Part(language, split) for split in DATASETS[name].splits for language in DATASETS[name].languages]


def published_tables(name: str) -> dict[tuple[str, str], tuple[int, Mapping[str, Any]]]:
    """Rows and columns of every table of a dataset's repository, by configuration and split."""
    found = {}
    for group in SCHEMAS["hub"][HUBS[name].repository]:
        rows = group["configs"] if isinstance(group["configs"], dict) else dict.fromkeys(group["configs"], 5)
        for config, count in rows.items():
            found.update({(config, split): (count, group["columns"]) for split in group["splits"]})
    return found


def records(count: int, columns: Mapping[str, Any]) -> Iterator[Record]:
    def value(kind: Any, index: int) -> Any:
        if isinstance(kind, dict):
            return {column: value(inner, index) for column, inner in kind.items()}
        return ARTICLE[index % len(ARTICLE)] if kind == "article" else VALUES[kind]

    for index in range(count):
        yield Record({column: value(kind, index) for column, kind in columns.items()}, f"row {index}")


def flat(columns: Mapping[str, Any]) -> set[str]:
    return {*columns, *(name for kind in columns.values() if isinstance(kind, dict) for name in kind)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of all columns that a reader asks for, there or not."""
    names: set[str] = set()
    value, contains = Record.value, Record.__contains__
    monkeypatch.setattr(Record, "value", lambda self, column: names.add(column) or value(self, column))
    monkeypatch.setattr(Record, "__contains__", lambda self, column: names.add(column) or contains(self, column))
    return names


@pytest.mark.parametrize("name", HUBS)
def test_every_part_is_read_from_tables_and_columns_that_the_hub_has(name: str, asked: set[str]) -> None:
    published, hub = published_tables(name), HUBS[name]
    read: dict[tuple[tuple[str | None, str], ...], Part] = {}
    for part in parts(name):
        tables = hub.tables(part)
        assert [
            (config or "default", split) for config, split in tables if (config or "default", split) not in published
        ] == []
        if tables:
            read.setdefault(tables, part)
    assert read
    shapes: dict[str, Part] = {}
    for tables, part in read.items():
        # Tables of the same columns are read alike.
        shapes.setdefault(repr([published[config or "default", split] for config, split in tables]), part)
    for part in shapes.values():
        rows = list(
            hub.read(part, [records(*published[config or "default", split]) for config, split in hub.tables(part)])
        )
        assert rows and all(row.language == part.language for row in rows)
    known = set().union(*(flat(columns) for _, columns in published.values()))
    assert asked <= known | ASKED_IN_VAIN.get(name, set())


@pytest.mark.parametrize("name", SCHEMAS["files"])
def test_files_have_the_columns_of_the_schema_and_no_other_is_asked_for(
    name: str, raw_data: Path, asked: set[str]
) -> None:
    schema = SCHEMAS["files"][name]
    known = set(schema["columns"])
    files = sorted(raw_data.glob(schema["path"]))
    assert set().union(*(keys(json_of(path)) for path in files)) == known
    folders = sorted({path.parent for path in files})
    read = 0
    for part in parts(name):
        for form in DATASETS[name].formats:
            if paths := form.find(folders, part):
                read += bool(list(form.read(part, paths)))
                break
    assert read and asked <= known


def json_of(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(key for inner in value.values() for key in keys(inner))}
    return {key for inner in value for key in keys(inner)} if isinstance(value, list) else set()


def test_a_file_of_github_whose_digest_is_known_is_some_parts_file_and_every_part_is_in_a_known_folder() -> None:
    known = published_sha256()
    named: dict[str, set[str]] = {}
    for entry in DATASETS.values():
        for source in entry.sources:
            source = source.selection if isinstance(source, LinesOfWikiText) else source
            if isinstance(source, GitHubFiles):
                for part in parts(entry.name):
                    named.setdefault(source.repository, set()).update(source.paths(part))
    for repository, digests in known.items():
        assert set(digests) <= named[repository]
        folders = {path.rpartition("/")[0] for path in digests}
        assert {path for path in named[repository] if path.rpartition("/")[0] not in folders} == set()
