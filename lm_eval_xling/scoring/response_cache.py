"""The harness's cache of answers (``--use_cache``), kept apart for every model.

The harness stores an answer under the text of its request alone, so that a file that a base model filled answers for
its adapter too. The file's name gets a digest of all that makes a model's answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval_xling.files import file_sha256

__all__ = ["response_cache"]

_IRRELEVANT = frozenset({"batch_size", "max_batch_size", "device"})
"""Model arguments that change an answer by rounding at the most."""
_REPOSITORIES = ("pretrained", "peft", "delta", "tokenizer")
_READ_WHOLE = 1 << 26
"""Files up to so many bytes, and all of an adapter's, count by their content; larger ones by size and time."""


def response_cache(path: str, model: str, arguments: Mapping[str, Any]) -> str:
    """Return the path to give to the harness, which appends the process's number and ``.db``.

    What is asked needs no part in the name: answers stand under the whole text of their request and its options.

    Args:
        path: what the user calls the cache.
        model: the harness's name of the kind of model.
        arguments: of the model.
    """
    setting: dict[str, Any] = {"model": model}
    for name, value in arguments.items():
        if name in _IRRELEVANT:
            continue
        setting[name] = value
        if isinstance(value, str) and value and Path(value).exists():
            setting[f"content of {name}"] = _content(Path(value), arguments.get("subfolder"))
        elif name in _REPOSITORIES and isinstance(value, str):
            setting[f"commit of {name}"] = _commit(value, arguments.get("revision"))
    return f"{path}-{_digest(setting)}"


def _content(path: Path, subfolder: object) -> list[tuple[str, object]]:
    folder = path / subfolder if isinstance(subfolder, str) and (path / subfolder).is_dir() else path
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else [folder]
    whole = any(file.name == "adapter_config.json" for file in files)
    states: list[tuple[str, object]] = []
    for file in files:
        if file.suffix == ".md" or file.name.startswith("."):
            continue
        status = file.stat()
        small = whole or status.st_size <= _READ_WHOLE
        states.append((file.name, file_sha256(file) if small else (status.st_size, status.st_mtime_ns)))
    return states


def _commit(name: str, revision: object) -> str | None:
    """The commit that a revision of a repository on the hub stands for, as far as it can be known."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    wanted = str(revision) if revision else "main"
    try:
        return str(HfApi().model_info(name, revision=wanted, timeout=10).sha)
    except Exception:  # The hub, the network and the name fail in many ways; loading the model will name them.
        pass
    try:
        found = [try_to_load_from_cache(name, file, revision=wanted) for file in ("config.json", "adapter_config.json")]
    except ValueError:
        return None
    return next((Path(path).parent.name for path in found if isinstance(path, str)), None)


def _digest(setting: object) -> str:
    """Sixteen hexadecimal digits that tell settings apart."""
    text = json.dumps(setting, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
