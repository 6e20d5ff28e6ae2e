"""The durable cache of translations: SQLite, so that killed and concurrent processes leave it whole."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lm_eval_xling.cache_folder import cache_folder
from lm_eval_xling.errors import UserError

__all__ = ["Cache", "Entry", "default_cache"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS translator (number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS translation (
    translator INTEGER NOT NULL REFERENCES translator,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    digest BLOB NOT NULL,
    output TEXT,
    refusal TEXT,
    PRIMARY KEY (translator, source, target, digest)
) WITHOUT ROWID;
"""
_VERSION = 1
_WAIT = 120.0  # seconds that a writer waits for another one
_KEYS = 500  # keys a query; SQLite's oldest limit is 999 variables


class Entry(NamedTuple):
    """What is known of one text."""

    output: str | None
    """The translation; None where it was refused."""
    refusal: str | None
    """Why it was refused, from ``guards.refusal``."""


def default_cache() -> Path:
    """Return the file that all commands share: in the cache folder."""
    return cache_folder("translations") / "cache.sqlite"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Cache:
    """Translations by translator identity, language pair and text.

    Any number of processes may use one file; each opens its own connection. What ``put`` has returned from survives
    a kill of the process.

    Args:
        path: the SQLite file, made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._process = -1
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, object]:
        # Connections do not travel to worker processes.
        return {"path": self.path, "_connection": None, "_process": -1, "_numbers": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _open(self) -> sqlite3.Connection:
        # A connection that was inherited by a fork would corrupt the file.
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
            # Readers do not wait for writers, and a commit survives a kill without a flush to the disk.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise UserError(
                    f"the translation cache has format {version}, this version writes {_VERSION}",
                    where=self.path,
                    fix="name another file with --cache, or upgrade lm-eval-xling",
                )
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        self._connection, self._process, self._numbers = connection, os.getpid(), {}
        return connection

    def _failure(self, error: Exception) -> UserError:
        if "full" in str(error) or "I/O" in str(error):
            fix = "make room and run the same command again: what is done is kept"
        else:
            fix = "name another file with --cache, or move this one away; translations in it are then made anew"
        return UserError(f"the translation cache cannot be used: {error}", where=self.path, fix=fix)

    def _number(self, identity: str) -> int:
        if identity not in self._numbers:
            connection = self._open()
            connection.execute("INSERT OR IGNORE INTO translator (identity) VALUES (?)", (identity,))
            row = connection.execute("SELECT number FROM translator WHERE identity = ?", (identity,)).fetchone()
            self._numbers[identity] = row[0]
        return self._numbers[identity]

    def get(self, identity: str, source: str, target: str, texts: Sequence[str]) -> dict[str, Entry]:
        """Return what is known of the texts; texts that are not known are left out."""
        digests = {_digest(text): text for text in texts}
        found: dict[str, Entry] = {}
        try:
            connection = self._open()
            number = self._number(identity)
            keys = list(digests)
            for start in range(0, len(keys), _KEYS):
                part = keys[start : start + _KEYS]
                rows = connection.execute(
                    "SELECT digest, output, refusal FROM translation WHERE translator = ? AND source = ?"
                    f" AND target = ? AND digest IN ({','.join('?' * len(part))})",
                    (number, source, target, *part),
                )
                found.update((digests[digest], Entry(output, refusal)) for digest, output, refusal in rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return found

    def put(self, identity: str, source: str, target: str, entries: Mapping[str, Entry]) -> None:
        """Keep translations, all or none; what another process kept first stays."""
        try:
            connection = self._open()
            number = self._number(identity)
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(
                    "INSERT OR IGNORE INTO translation VALUES (?, ?, ?, ?, ?, ?)",
                    [(number, source, target, _digest(text), *entry) for text, entry in entries.items()],
                )
                connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself where the disk is full.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failure(error) from error
