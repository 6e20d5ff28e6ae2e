"""A causal model with its adapters in one load: hidden states and output path with an adapter off and on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_xling.embedded import EMBEDDED_MODELS, model_folder, short_name
from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.structure import OutputPath, find_output_path

if TYPE_CHECKING:
    import torch

__all__ = ["BASE", "ProbedModel"]

BASE = "base"


class ProbedModel:
    """A causal language model, its tokenizer and any number of adapters.

    Args:
        name: folder, hub id, or a name in ``EMBEDDED_MODELS``.
        adapters: peft adapter folders; each becomes a variant, named as in reports.
        revision: revision on the hub.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto`` (the checkpoint's own).
        device: ``cpu``, ``cuda``, ``cuda:1`` …; by default the accelerator if there is one.

    Raises:
        UserError: if the model or an adapter cannot be loaded, or its architecture cannot be served.
    """

    def __init__(
        self,
        name: str,
        adapters: Sequence[Path] = (),
        *,
        revision: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = name
        self.revision = revision
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.variants: dict[str, Path | None] = {BASE: None}
        source = str(model_folder(name)) if name in EMBEDDED_MODELS and not Path(name).exists() else name
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
            model = AutoModelForCausalLM.from_pretrained(
                source, revision=revision, dtype=dtype if dtype == "auto" else getattr(torch, dtype)
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"the model cannot be loaded: {str(error).splitlines()[0]}",
                where=name,
                fix=f"give a folder, a hub id of a causal model, or one of {', '.join(EMBEDDED_MODELS)}",
            ) from error
        self._peft: Any = None
        for adapter in adapters:
            self._add(model, adapter)
        self.model: Any = (model if self._peft is None else self._peft.get_base_model()).to(self.device).eval()
        if self._peft is not None:
            self._peft.to(self.device).eval()
        self._paths: dict[str, OutputPath] = {}
        check = self.tokenizer("The capital of France is Paris. 北京是中国的首都。", return_tensors="pt")["input_ids"]
        for variant in self.variants:
            with self.use(variant):
                self._paths[variant] = find_output_path(self.model, check[:, :32].to(self.device))

    @property
    def states(self) -> int:
        """Number of hidden states of a token: the embedding and every layer's output."""
        return int(self.model.config.get_text_config().num_hidden_layers) + 1

    @property
    def width(self) -> int:
        """Width of a hidden state."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def max_length(self) -> int | None:
        """Greatest number of tokens that the model reads, where it has one."""
        length = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if length is None else int(length)

    def output_path(self, variant: str) -> OutputPath:
        """Return what turns a variant's hidden states into logits."""
        return self._paths[variant]

    @contextmanager
    def use(self, variant: str) -> Iterator[None]:
        """Run the body with the base model or with one adapter switched on."""
        if self._peft is None:
            yield
            return
        with self._peft.disable_adapter() if variant == BASE else nullcontext():
            if variant != BASE:
                self._peft.set_adapter(variant)
            yield

    def hidden_states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the embedding's and every layer's output, each ``(batch, length, width)``, without any logits."""
        states: tuple[torch.Tensor, ...] = self.model.base_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, output_hidden_states=True
        ).hidden_states
        return states

    def describe(self) -> dict[str, Any]:
        """Return what identifies the model and its adapters in the manifest of a run."""
        return {
            "model": self.name,
            "revision": self.revision or getattr(self.model.config, "_commit_hash", None),
            "architecture": type(self.model).__name__,
            "parameters": int(self.model.num_parameters()),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "adapters": {
                variant: {"path": str(path), "sha256": _digest(path)}
                for variant, path in self.variants.items()
                if path is not None
            },
        }

    def _add(self, model: Any, adapter: Path) -> None:
        from peft import PeftConfig, PeftModel

        if not (adapter / "adapter_config.json").is_file():
            raise UserError(
                "no adapter here: adapter_config.json is missing",
                where=adapter,
                fix="give the folder that training wrote (adapter_config.json, adapter_model.safetensors)",
            )
        variant = _variant_name(adapter, self.variants)
        try:
            if PeftConfig.from_pretrained(str(adapter)).is_prompt_learning:
                raise UserError(
                    "prompt-learning adapters add positions and cannot be compared layer by layer",
                    where=adapter,
                    fix="use an adapter that changes the layers, such as LoRA",
                )
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(model, str(adapter), adapter_name=variant)
            else:
                self._peft.load_adapter(str(adapter), adapter_name=variant)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise UserError(
                f"the adapter does not fit the model: {str(error).strip().splitlines()[0]}",
                where=adapter,
                fix=f"xling doctor --adapter {adapter} --model {self.name}",
            ) from error
        self.variants[variant] = adapter


def _variant_name(adapter: Path, taken: Mapping[str, Path | None]) -> str:
    """Return the adapter's short name, with the folders above it where adapters are named alike."""
    folder = adapter.resolve()
    if any(other is not None and other.resolve() == folder for other in taken.values()):
        raise UserError("the adapter is given twice", where=adapter, fix="give each adapter once")
    # peft uses the name as a key of a module dictionary, where a dot is not allowed.
    names = [short_name(str(folder), parts=parts).replace(".", "_") for parts in range(1, len(folder.parts) + 1)]
    # Folders that differ by a dot and an underscore are told apart by a number at last.
    numbered = (f"{names[0]}-{number}" for number in count(2))
    return next(name for name in chain(names, numbered) if name not in taken)


def _digest(folder: Path) -> str:
    """Sha256 over the adapter's configuration and weights."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("adapter_config.json"), *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
