"""Which checkpoints are whole: each gets a manifest when it is finished, and only such ones are continued from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lm_eval_xling.files import write_atomically

__all__ = ["MANIFEST", "complete_checkpoint", "seal", "step_of"]

MANIFEST = "complete.json"
"""Sizes of a checkpoint's files; written last."""


def seal(checkpoint: Path) -> None:
    """Write down that a checkpoint is finished."""
    # The weights must reach the disk before the manifest that vouches for them.
    files = sorted(path for path in checkpoint.iterdir() if path.is_file() and path.name != MANIFEST)
    for path in files:
        # For writing, because Windows flushes no other.
        with path.open("r+b") as stream:
            os.fsync(stream.fileno())
    sizes = {path.name: path.stat().st_size for path in files}
    write_atomically(checkpoint / MANIFEST, json.dumps(sizes).encode())


def complete_checkpoint(folder: Path, *, say: Callable[[str], None]) -> Path | None:
    """Return the latest whole checkpoint of a run, and remove later ones that were cut off.

    Args:
        folder: folder with ``checkpoint-STEP`` folders; need not be there.
        say: receives one line for each checkpoint that is removed.
    """
    found = sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True) if folder.is_dir() else []
    for checkpoint in found:
        if _whole(checkpoint):
            return checkpoint
        say(f"{checkpoint.name} was cut off while it was written: continuing from an earlier one")
        shutil.rmtree(checkpoint)
    return None


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step of a checkpoint folder."""
    return int(checkpoint.name.rpartition("-")[2])


def _whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(
        (checkpoint / name).is_file() and (checkpoint / name).stat().st_size == size for name, size in sizes.items()
    )
