"""The programs of examples/, imported as when they are run: with the files beside them, and without their folder on the
path afterwards, where ``notebook`` would stand for Jupyter's package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["EXAMPLES", "program"]

EXAMPLES = Path(__file__).parents[1] / "examples"


def program(name: str) -> ModuleType:
    """Return a module of examples/."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))
