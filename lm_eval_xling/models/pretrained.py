"""Name or folder ▸ tokenizer and model in evaluation mode on a device, and one error for all that goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.models.embedded import EMBEDDED_MODELS
from lm_eval_xling.models.names import model_path

if TYPE_CHECKING:
    import torch

__all__ = ["DTYPES", "choose_device", "load_model", "load_tokenizer", "loading", "torch_dtype"]

DTYPES = ("float32", "bfloat16", "float16", "auto")
"""Types of weights; ``auto`` is the checkpoint's own."""


@contextmanager
def loading(name: object, *, what: str = "the model cannot be loaded", fix: str | None = None) -> Iterator[None]:
    """Turn whatever loading raises inside the block into one message.

    Args:
        name: of the model, as the user gave it.
        what: went wrong.
        fix: what to do; by default the three ways to name a causal model.

    Raises:
        UserError: with the first line of the original error, which stays as its cause.
    """
    from safetensors import SafetensorError

    try:
        yield
    # RuntimeError: weights of other shapes than the configuration says; the rest comes from damaged files.
    except (OSError, ValueError, ImportError, KeyError, TypeError, RuntimeError, EOFError, SafetensorError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{what}: {lines[0]}",
            where=name,
            fix=fix or f"give a folder, a hub id of a causal model, or one of {', '.join(EMBEDDED_MODELS)}",
        ) from error


def load_tokenizer(name: str, *, revision: str | None = None, fix: str | None = None) -> Any:
    """Return the tokenizer of a model.

    Args:
        name: folder, hub id, or the name of an embedded model.
        revision: on the hub.
        fix: as in ``loading``.

    Raises:
        UserError: if there is none.
    """
    from transformers import AutoTokenizer

    with loading(name, what="the tokenizer cannot be loaded", fix=fix):
        return AutoTokenizer.from_pretrained(model_path(name), revision=revision or "main", trust_remote_code=False)


def load_model(
    name: str,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype = "float32",
    device: str | None = None,
    kind: str = "causal",
    fix: str | None = None,
    **options: Any,
) -> Any:
    """Return a model of transformers in evaluation mode.

    Args:
        name: folder, hub id, or the name of an embedded model.
        revision: on the hub.
        dtype: one of ``DTYPES``, or a type of torch.
        device: where the model is moved; ``None`` leaves it where transformers loads it, on the CPU.
        kind: ``causal`` or ``seq2seq``.
        fix: as in ``loading``.
        options: further arguments of ``from_pretrained``.

    Raises:
        UserError: if there is no such model, or its files are damaged.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    family = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}[kind]
    precision = torch_dtype(dtype)
    with loading(name, fix=fix):
        # Said outright: where nothing is said, transformers asks on the terminal whether to run a repository's code.
        model = family.from_pretrained(
            model_path(name), revision=revision or "main", dtype=precision, trust_remote_code=False, **options
        )
    return (model if device is None else model.to(device)).eval()


def torch_dtype(dtype: str | torch.dtype) -> Any:
    """Return the type of torch for a name in ``DTYPES``, ``auto`` as it is.

    Raises:
        UserError: if there is no such type.
    """
    import torch

    if not isinstance(dtype, str) or dtype == "auto":
        return dtype
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    return getattr(torch, dtype)


def computes_in_bfloat16() -> bool | None:
    """Return whether this machine has instructions for bfloat16; None where torch does not tell.

    Without them bfloat16 is converted for every product, and slower than float32.
    """
    import torch

    if torch.accelerator.is_available():
        return not torch.cuda.is_available() or bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older releases of torch do not tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(present for name, present in capabilities.items() if name.endswith("bf16")) if capabilities else None


def choose_device(wanted: str | None = None) -> str:
    """Return the device to run on: the wanted one, or by default the accelerator if there is one.

    Where an accelerator is wanted and torch sees none, this is said once and the CPU is used.

    Args:
        wanted: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, …

    Raises:
        UserError: if there is no device of that name.
    """
    import torch

    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UserError(f"no device {wanted!r}", fix="give cpu, cuda, cuda:1, … or mps") from error
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps}.get(device.type)
    if backend is not None and not backend.is_available():
        logging.getLogger(__name__).warning("device %s: this torch sees none, so the CPU is used", wanted)
        return "cpu"
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise UserError(f"no device {wanted!r}: there are {torch.cuda.device_count()}", fix="give cuda:0, …")
    return wanted
