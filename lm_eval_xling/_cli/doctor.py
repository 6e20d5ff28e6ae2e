"""``xling doctor``: what works here, and what to do where something does not."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["EPILOG", "doctor"]

EPILOG = """
Examples:\n
  xling doctor\n
  XLING_DATA=mirror xling doctor
"""

_PACKAGES = ("lm-eval-xling", "lm_eval", "torch", "transformers", "peft", "accelerate", "datasets")


def doctor() -> None:
    """Say which versions, tasks and datasets this environment has, and the fix where one is missing."""
    from lm_eval_xling.harness import check_version, is_visible, tasks_folder

    for package in _PACKAGES:
        try:
            print(f"{package:15} {version(package)}")
        except PackageNotFoundError:
            print(f"{package:15} not installed (pip install {package})")
    check_version()
    print()
    if is_visible():
        print(f"tasks           the harness sees them, in {tasks_folder()}")
    else:
        print(f"tasks           in {tasks_folder()}, which the harness does not search: add")
        print('                --include_path "$(xling tasks --path)", or use `xling eval`')
    mirror = os.environ.get("XLING_DATA")
    print(f"XLING_DATA      {Path(mirror).resolve() if mirror else 'not set: datasets come from the hub'}")
