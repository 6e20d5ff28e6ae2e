"""The mirror: a folder of normalised JSON lines, and the manifest that says where each file is from.

::

    MIRROR/manifest.json            datasets ▸ licence, citation, homepage, parts
    MIRROR/mmlu/test/de.jsonl       one file a part, one row a line
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

__all__ = [
    "MANIFEST",
    "VARIABLE",
    "Mirror",
    "StoredPart",
    "decode_rows",
    "encode_manifest",
    "encode_rows",
    "mirror_from_environment",
]

VARIABLE = "XLING_DATA"
"""Environment variable that names the mirror's folder."""

MANIFEST = "manifest.json"
_LAYOUT = 1
_PART_FIELDS = ("language", "split", "rows", "size", "sha256", "source", "revision", "skipped")


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One file of the mirror."""

    dataset: str
    """Name of the dataset."""
    language: str
    """Language code."""
    split: str
    """Split."""
    rows: int
    """Number of rows."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Of the file."""
    source: str
    """``host:owner/name`` it was fetched from, or ``imported:`` and the layout of the raw files."""
    revision: str | None
    """Commit of the source, where it is known."""
    skipped: int = 0
    """Rows of the source that were left out because they are bad."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the raw files it was made from, by name."""

    @property
    def part(self) -> Part:
        """Language and split."""
        return Part(self.language, self.split)

    @property
    def file(self) -> str:
        """Path in the mirror."""
        return f"{self.dataset}/{self.split}/{self.language}.jsonl"


def encode_rows(rows: Iterable[Row]) -> bytes:
    """Return the rows as JSON lines; the same rows always give the same bytes."""
    return "".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows).encode()


def _plain(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": row.id, "fields": dict(row.fields)}
    if row.options:
        plain["options"] = list(row.options)
    if row.answer is not None:
        plain["answer"] = row.answer
    if row.target is not None:
        plain["target"] = row.target
    if row.extra:
        plain["extra"] = dict(row.extra)
    return plain


def decode_rows(data: bytes, language: str) -> Iterator[Row]:
    """Yield the rows of a file of the mirror."""
    # Not splitlines: texts may hold U+2028 and other characters that it takes for line ends.
    for line in data.decode().rstrip("\n").split("\n"):
        plain = json.loads(line)
        yield Row(
            id=plain["id"],
            language=language,
            fields=plain["fields"],
            options=tuple(plain.get("options", ())),
            answer=plain.get("answer"),
            target=plain.get("target"),
            extra=plain.get("extra", {}),
        )


class Mirror:
    """A mirror that exists; reading it needs no network.

    Args:
        folder: the mirror's folder.

    Raises:
        UserError: if there is no manifest, or it was changed by hand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / MANIFEST
        if not path.is_file():
            raise UserError(
                f"there is no mirror: {MANIFEST} is missing", where=folder, fix=f"xling data fetch NAME --to {folder}"
            )
        self.parts: Mapping[tuple[str, Part], StoredPart] = _read_manifest(path, path.stat().st_mtime_ns)

    def names(self) -> list[str]:
        """Names of the datasets that it holds, sorted."""
        return sorted({name for name, _ in self.parts})

    def of(self, dataset: str) -> list[StoredPart]:
        """The parts of a dataset, in the order of split and language."""
        return sorted((p for p in self.parts.values() if p.dataset == dataset), key=lambda p: (p.split, p.language))

    def why_lacking(self, dataset: str, part: Part) -> str | None:
        """What keeps a part from being read, as far as the size of its file shows; ``None`` if nothing does."""
        stored = self.parts.get((dataset, part))
        if stored is None:
            return "the mirror does not hold it"
        path = self.folder / stored.file
        if not path.is_file():
            return f"the file is missing: {stored.file}"
        if path.stat().st_size != stored.size:
            return f"the file has {path.stat().st_size:,} bytes, the manifest says {stored.size:,}: {stored.file}"
        return None

    def rows(self, dataset: str, part: Part) -> list[Row]:
        """Read a part and check that it is what was stored.

        Raises:
            UserError: if the mirror does not hold the part, or its file is missing, truncated or changed.
        """
        stored = self.parts.get((dataset, part))
        if stored is None:
            raise UserError(
                f"the mirror does not hold {part.language!r} {part.split!r} of dataset {dataset!r}",
                where=self.folder,
                fix=self._fix(dataset, part),
            )
        complaint, data = self._read(stored)
        if complaint is not None:
            raise UserError(complaint, where=self.folder / stored.file, fix=self._mend(stored))
        return list(decode_rows(data, part.language))

    def verify(self) -> Iterator[tuple[StoredPart, str | None]]:
        """Yield every part with what is wrong with its file, or ``None``."""
        for stored in self.parts.values():
            yield stored, self._read(stored)[0]

    def strangers(self) -> list[Path]:
        """Files below the mirror that the manifest does not know, except unfinished ones of a killed run."""
        known = {stored.file for stored in self.parts.values()} | {MANIFEST}
        return [
            path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and path.relative_to(self.folder).as_posix() not in known
            and not path.name.startswith(".")
        ]

    def _read(self, stored: StoredPart) -> tuple[str | None, bytes]:
        try:
            data = (self.folder / stored.file).read_bytes()
        except OSError as error:
            return f"the file cannot be read: {error.strerror}", b""
        if len(data) != stored.size:
            return f"the file has {len(data):,} bytes, the manifest says {stored.size:,}", b""
        digest = hashlib.sha256(data).hexdigest()
        if digest != stored.sha256:
            return f"the file was changed: sha256 {digest[:12]}…, the manifest says {stored.sha256[:12]}…", b""
        return None, data

    def _fix(self, dataset: str, part: Part) -> str:
        held = sorted({p.language for p in self.of(dataset) if p.split == part.split})
        fetch = f"xling data fetch {dataset} --to {self.folder}"
        return f"{fetch} (it holds {', '.join(held)} of this split)" if held else fetch

    def _mend(self, stored: StoredPart) -> str:
        if stored.source.startswith("translated:"):
            return f"xling data translate {stored.dataset} --to {stored.language} --with … --mirror {self.folder}"
        if stored.source.startswith("imported:"):
            return f"xling data import {stored.dataset} --from DIR --to {self.folder}"
        return f"xling data fetch {stored.dataset} --to {self.folder}"


@lru_cache(maxsize=8)
def _read_manifest(path: Path, changed: int) -> Mapping[tuple[str, Part], StoredPart]:
    """Read a manifest; ``changed`` is the file's time stamp, so that a newer one is read again."""
    fix = "fetch or import into a new folder"
    try:
        manifest = json.loads(path.read_bytes())
        digest, content = manifest.pop("sha256"), manifest
        layout, datasets = content["layout"], content["datasets"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError("the manifest is not one that xling wrote", where=path, fix=fix) from None
    if layout != _LAYOUT:
        raise UserError(
            f"the mirror has layout {layout}, this version reads layout {_LAYOUT}",
            where=path,
            fix=fix,
        )
    if digest != _digest(content):
        raise UserError("the manifest was changed: its own sha256 does not match", where=path, fix=fix)
    parts = [StoredPart(dataset=name, **part) for name, entry in datasets.items() for part in entry["parts"]]
    return {(stored.dataset, stored.part): stored for stored in parts}


def _digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest without its own digest."""
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def encode_manifest(datasets: Mapping[str, Mapping[str, Any]], parts: Iterable[StoredPart]) -> bytes:
    """Return the manifest of these parts.

    Args:
        datasets: what the manifest says of each dataset, by name.
        parts: every part of the mirror.
    """
    entries: dict[str, dict[str, Any]] = {name: {**about, "parts": []} for name, about in sorted(datasets.items())}
    for stored in sorted(parts, key=lambda p: (p.dataset, p.split, p.language)):
        plain = {name: getattr(stored, name) for name in _PART_FIELDS}
        entries[stored.dataset]["parts"].append({**plain, "inputs": dict(stored.inputs)})
    content = {"layout": _LAYOUT, "datasets": entries}
    text = json.dumps({**content, "sha256": _digest(content)}, ensure_ascii=False)
    # A line a part, to be read by people too; json's own indent makes five times as many, slowly.
    return text.replace('{"language": ', '\n{"language": ').encode() + b"\n"


def mirror_from_environment() -> Mirror | None:
    """Return the mirror that ``XLING_DATA`` names, or ``None`` if the variable is not set."""
    folder = os.environ.get(VARIABLE)
    return Mirror(Path(folder)) if folder else None
