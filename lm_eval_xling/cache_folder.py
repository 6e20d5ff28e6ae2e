"""Where the project keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of cached files, below ``XLING_CACHE`` or the user's cache folder.

    Args:
        kind: ``models``, ``published``, …
    """
    base = os.environ.get("XLING_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xling"
    return Path(base) / kind
