"""The harness's request cache (``--cache_requests``), kept apart for everything that changes a prompt.

The harness names a cached file after the task, the number of demonstrations and the tokenizer. Our tasks also change
with their parameters and their data, and any task with the generation arguments, the seed and the template. Each
combination gets a folder of its own beside the harness's cache, named by digests.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lm_eval_xling.catalog.mirror import MANIFEST, VARIABLE
from lm_eval_xling.files import file_sha256

__all__ = ["delete_requests", "digest", "keep_requests_apart", "keep_runs_apart"]

_NOTHING = "0" * 16
_OURS = re.compile(r"-xling-(?P<run>[0-9a-f]{16})-(?P<data>[0-9a-f]{16})$")
"""End of a folder's name: digest of the command line, and of the setting of our tasks."""
_TEMPLATE_ARGUMENTS = ("chat_template_args", "enable_thinking", "revision", "subfolder", "trust_remote_code")
"""Model arguments that change what a chat template writes, or which tokenizer is loaded."""
_TOKENIZER_FILES = ("tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json", "chat_template*")


def keep_requests_apart(parameters: Mapping[str, Any] | None, model_arguments: Mapping[str, Any]) -> None:
    """Point the harness's request cache to the folder of one setting of our tasks.

    Called where the harness asks for a task's documents, which it does before it looks for cached requests.

    Args:
        parameters: what stands under ``xling`` in the metadata.
        model_arguments: of the model; its tokenizer counts tokens and writes the chat template.
    """
    setting = {
        "parameters": parameters or {},
        "files": {value: _state(Path(value)) for value in _strings(parameters) if Path(value).exists()},
        "mirror": _mirror(os.environ.get(VARIABLE)),
        "model": _tokenizer(model_arguments),
        "version": _version(),
    }
    _enter(None, digest(setting))


def keep_runs_apart(arguments: Mapping[str, Any]) -> None:
    """Point the harness's request cache to the folder of one command line, before any task is loaded.

    Args:
        arguments: by name, of the harness's command line.
    """
    names = ("apply_chat_template", "system_instruction", "fewshot_as_multiturn", "gen_kwargs", "seed", "samples")
    setting = {name: arguments.get(name) for name in (*names, "metadata")}
    setting["model"] = _tokenizer(arguments.get("model_args") or {})
    _enter(digest({**setting, "version": _version()}), _NOTHING)


def delete_requests() -> None:
    """Delete the folders of this module; the harness deletes only what stands in its own."""
    base = _base()
    for folder in base.parent.glob(f"{glob.escape(base.name)}-xling-*"):
        if _OURS.search(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def digest(setting: object) -> str:
    """Return 16 hexadecimal digits that tell settings apart."""
    text = json.dumps(setting, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _enter(run: str | None, data: str) -> None:
    from lm_eval.caching import cache

    # One folder beside the harness's own, and none inside another: releases up to 0.4.12 make only the last of a path.
    known = _OURS.search(cache.PATH)
    run = run or (known["run"] if known else _NOTHING)
    cache.PATH = f"{_base()}-xling-{run}-{data}"


def _base() -> Path:
    from lm_eval.caching import cache

    return Path(_OURS.sub("", cache.PATH))


def _version() -> str:
    from importlib.metadata import version

    return version("lm-eval-xling")


def _mirror(folder: str | None) -> str | None:
    return None if folder is None else _state(Path(folder, MANIFEST)) or folder


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value] if value and len(value) < 4096 and "\0" not in value else []
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for entry in value for text in _strings(entry)] if isinstance(value, list | tuple) else []


def _tokenizer(arguments: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        return {"arguments": str(arguments)}
    name = arguments.get("tokenizer") or arguments.get("pretrained") or arguments.get("model")
    setting = {key: arguments[key] for key in _TEMPLATE_ARGUMENTS if key in arguments}
    if not isinstance(name, str):
        return setting
    files = {file for pattern in _TOKENIZER_FILES for file in Path(name).glob(pattern)} if Path(name).is_dir() else ()
    return {**setting, "name": name, "files": {file.name: _state(file) for file in sorted(files)}}


def _state(path: Path) -> str | None:
    """What tells that a file, or a description and the files beside it, is not the one of before."""
    try:
        if path.is_dir():
            return digest(sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in path.iterdir()))
        status = path.stat()
        return _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _sha256(path: Path, modified: int, size: int) -> str:
    """Digest of a file, read again when it has changed."""
    return file_sha256(path)
