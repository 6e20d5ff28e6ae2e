"""Text files of users and datasets, files that are whole or absent however a run ends, and their digests."""

from __future__ import annotations

import codecs
import errno
import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from lm_eval_xling.errors import UserError

__all__ = [
    "UNFINISHED",
    "atomic_file",
    "check_folder",
    "disk_full",
    "file_sha256",
    "json_lines",
    "nothing_left",
    "plain_suffix",
    "read_text",
    "text_lines",
    "write_atomically",
]

UNFINISHED = ".*.part"
"""Names, as a glob pattern, that unfinished files have: what a killed run may leave."""


def text_lines(path: Path, *, newline: str | None = None) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, compressed by gzip or not, without a byte order mark at its beginning.

    Args:
        path: the file.
        newline: as of ``open``: by default every line ends in a line feed; ``""`` keeps the ends of the file.

    Raises:
        UserError: if the file cannot be opened, is not UTF-8, or is a broken gzip file.
    """
    try:
        with _opened(path, newline) as stream:
            yield from stream
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def json_lines(path: Path, *, fix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object of every line of a file of JSON lines after its place, ``PATH:LINE``; blank lines are skipped.

    Args:
        path: the file, as of ``text_lines``.
        fix: what a line looks like, for the message.

    Raises:
        UserError: as ``text_lines``, or if a line is no JSON object.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"the line is no JSON: {error}", where=where, fix=fix) from None
        if not isinstance(value, dict):
            raise UserError("the line is no JSON object", where=where, fix=fix)
        yield where, value


def read_text(path: Path) -> str:
    """Return the text of a file that ``text_lines`` reads, every line end as a line feed.

    Raises:
        UserError: as ``text_lines``.
    """
    try:
        with _opened(path, None) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def plain_suffix(path: Path) -> str:
    """Return the suffix of a file's name, before ``.gz`` if it has that one: ``.jsonl`` of ``a.jsonl.gz``."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def _opened(path: Path, newline: str | None) -> TextIO:
    # utf-8-sig: editors and spreadsheets on Windows begin a file with U+FEFF, which is no character of its text.
    if _compressed(path):
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=newline))
    return path.open(encoding="utf-8-sig", newline=newline)


def _compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, UnicodeDecodeError):
        encoding, place = _not_utf8(path)
        return UserError(
            f"the file is not UTF-8: {place}", where=path, fix=f"iconv -f {encoding} -t UTF-8 FILE > NEW, and use NEW"
        )
    if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
        return UserError("the gzip file is truncated or broken", where=path, fix="copy or fetch it again")
    return UserError(
        f"the file cannot be read: {getattr(error, 'strerror', None) or error}", where=path, fix="check the path"
    )


def _not_utf8(path: Path) -> tuple[str, str]:
    """A guess of the encoding, and the place of the first byte that is not UTF-8, in the uncompressed file."""
    opened = gzip.open(path, "rb") if _compressed(path) else path.open("rb")
    with cast(BinaryIO, opened) as stream:
        offset = 0
        for number, line in enumerate(stream, 1):
            if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return "UTF-16", "it begins as UTF-16 does"
            try:
                line.decode()
            except UnicodeDecodeError as error:
                place = offset + error.start
                return "ENCODING", f"byte 0x{line[error.start]:02x} at offset {place:,}, line {number}: {error.reason}"
            offset += len(line)
    return "ENCODING", "it ends within a character"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at every moment it is absent, the old one, or the whole new one.

    Args:
        path: the file; its folder is made if it is not there.
        data: the whole content.
    """
    with atomic_file(path) as stream:
        stream.write(data)


@contextmanager
def atomic_file(path: Path, *, folder: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name when all is written, and is removed if that fails.

    Args:
        path: the file; its folder is made if it is not there.
        folder: where the unfinished file stands, on the same file system; by default beside the whole one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp, whose files nobody else may read: who may is the user's umask to say.
    temporary = (folder or path.parent) / f".{path.name}-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as stream:
            yield cast(BinaryIO, stream)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_folder(folder: Path, option: str) -> None:
    """Refuse a folder to write to that is a file, or would stand in one.

    Args:
        folder: need not be there.
        option: how the user named it, for the message.

    Raises:
        UserError: if it cannot be a folder.
    """
    standing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if standing is not None and not standing.is_dir():
        raise UserError("a folder is needed, and this is a file", where=f"{option} {standing}", fix="name another")


@contextmanager
def nothing_left(folder: Path, *names: str) -> Iterator[None]:
    """Take back, after a user's error, files that only say that a run has begun, and the folder made for them.

    Args:
        folder: where the run writes.
        names: of those files. If anything else was written, they stay.
    """
    before = {path.name for path in folder.iterdir()} if folder.is_dir() else None
    try:
        yield
    except UserError:
        after = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        made = after - (before or set())
        if made and made <= set(names):
            for name in made:
                (folder / name).unlink()
            if before is None:
                folder.rmdir()
        raise


@contextmanager
def disk_full(where: Path) -> Iterator[None]:
    """Turn the error of a full disk into one that the user can mend.

    Args:
        where: what is being written, for the message.

    Raises:
        UserError: if no space is left, or a quota or the limit of the file size is reached.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UserError(
            f"the disk is full: {error.strerror}",
            where=error.filename or where,
            fix="make room and run the same command again: what is done is kept",
        ) from error


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
