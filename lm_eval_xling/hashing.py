"""Draws that are the same on every machine."""

from __future__ import annotations

import hashlib

__all__ = ["stable_hash"]


def stable_hash(*key: object) -> int:
    """Return 64 bits that depend on the key's text alone: not on process, order or Python's hash seed."""
    text = "\x1f".join(map(str, key))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
