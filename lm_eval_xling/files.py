"""Files that are whole or absent, however a run ends, and their digests."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lm_eval_xling.errors import UserError

__all__ = ["UNFINISHED", "disk_full", "file_sha256", "write_atomically"]

UNFINISHED = ".*.part"
"""Names, as a glob pattern, that unfinished files have: what a killed run may leave."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at every moment it is absent, the old one, or the whole new one.

    Args:
        path: the file; its folder is made if it is not there.
        data: the whole content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        # mkstemp lets nobody else read the file.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
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
