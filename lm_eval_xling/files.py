"""Files that are whole or absent, however a run ends, and their digests."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["UNFINISHED", "file_sha256", "write_atomically"]

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


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
