"""What a user calls a model ▸ what ``from_pretrained`` takes, and what stands in titles and file names."""

from __future__ import annotations

import re
from pathlib import Path

from lm_eval_xling.models.embedded import EMBEDDED_MODELS, model_folder

__all__ = ["model_path", "short_name"]


def model_path(name: str) -> str:
    """Return what ``from_pretrained`` takes: the folder of an embedded model, or the name as it is.

    A folder of the working directory that is named like an embedded model is that folder.

    Raises:
        UserError: if the embedded model's packages are not installed.
    """
    return str(model_folder(name)) if name in EMBEDDED_MODELS and not Path(name).exists() else name


def short_name(name: str, *, parts: int = 1) -> str:
    """Return what tells a model or adapter from others: the last parts of its path or hub id, joined by hyphens.

    Alone, the last part stands without the digest that the cache of embedded models adds. Our trainers call what they
    leave ``adapter`` or ``model``, and it is the run's folder above that has a name.
    """
    found = name.replace("\\", "/").rstrip("/").split("/")
    if found[-1] in ("adapter", "model") and len(found) > 1:
        found.pop()
    if parts > 1:
        return "-".join(found[-parts:])
    return re.sub(r"-[0-9a-f]{12}$", "", found[-1]) or name
