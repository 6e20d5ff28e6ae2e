"""Scripts of pages that need no network, and the policy that lets a page run its own script and nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

__all__ = ["SORTING", "content_policy", "read_script"]

SORTING = "sorting.js"
"""Script of this folder: makes every ``table.sortable`` sort by a click on a heading's ``button``. A cell is sorted by
its ``data-value``, or by its text; what is empty or ``inf`` stays last in both directions."""


def read_script(name: str) -> str:
    """Return the text of a script of this folder."""
    return files("lm_eval_xling.drawing").joinpath(name).read_text(encoding="utf-8")


def content_policy(script: str) -> str:
    """Return the content security policy of a page: its own script by digest, inline styles, embedded images and fonts.

    Args:
        script: text of the only script element, exactly as it stands in the page.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
