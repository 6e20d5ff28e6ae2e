"""A causal model with its adapters in one load: hidden states and output path with an adapter off and on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import choose_device, load_model, load_tokenizer, loading, short_name

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lm_eval_xling.models.mlp_neurons import Neurons
    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["BASE", "ProbedModel"]

BASE = "base"

_CHECK = "The capital of France is Paris. 北京是中国的首都。"


class ProbedModel:
    """A causal language model, its tokenizer and any number of adapters.

    An adapter that brings a larger vocabulary is read with its own tokenizer, as the harness does with
    ``tokenizer=ADAPTER``; the base model then gives the added tokens no probability, as when it is probed alone.

    Args:
        name: folder, hub id, or the name of an embedded model.
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
        from lm_eval_xling.models.adapted import AdaptedModel
        from lm_eval_xling.models.output_path import find_output_path

        self.name = name
        self.revision = revision
        self.device = choose_device(device)
        self.variants: dict[str, Path | None] = {BASE: None}
        for adapter in adapters:
            self.variants[_variant_name(adapter, self.variants)] = adapter
        tokenizer = load_tokenizer(name, revision=revision)
        model = load_model(name, revision=revision, dtype=dtype)
        folders = {variant: folder for variant, folder in self.variants.items() if folder is not None}
        for folder in folders.values():
            _refuse_prompt_learning(folder)
        self._adapted = AdaptedModel(model, tokenizer, folders, model_name=name)
        self._adapted.to(self.device)
        self.tokenizer = self._adapted.tokenizer
        self.model: Any = self._adapted.model
        self._paths: dict[str, OutputPath] = {}
        check = self.tokenizer(_CHECK, return_tensors="pt")["input_ids"][:, :32].to(self.device)
        for variant in self.variants:
            with self.use(variant):
                path = find_output_path(self.model, check)
            own = path.vocabulary if variant in self._adapted.extended else self._adapted.vocabulary
            self._paths[variant] = replace(path, vocabulary=own)

    @property
    def states(self) -> int:
        """Number of hidden states of a token: the embedding and every layer's output."""
        return int(self.model.config.get_text_config().num_hidden_layers) + 1

    @cached_property
    def layers(self) -> tuple[nn.Module, ...]:
        """The decoder layers, in order."""
        from lm_eval_xling.models.layers import decoder_layers

        check = self.tokenizer(_CHECK, return_tensors="pt")["input_ids"][:, :8].to(self.device)
        return tuple(decoder_layers(self.model, check)[0])

    @cached_property
    def neurons(self) -> Neurons:
        """The neurons of the layers' MLPs."""
        from lm_eval_xling.models.mlp_neurons import find_neurons

        check = self.tokenizer(_CHECK, return_tensors="pt")["input_ids"][:, :8].to(self.device)
        return find_neurons(self.model, self.layers, check)

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

    @property
    def readable(self) -> int:
        """Number of tokens that every variant has an embedding of its own for."""
        return self._adapted.vocabulary

    @property
    def vocabulary(self) -> int:
        """Number of logits, those of tokens that an adapter added among them."""
        return max(path.vocabulary for path in self._paths.values())

    @contextmanager
    def use(self, variant: str) -> Iterator[None]:
        """Run the body with the base model or with one adapter switched on."""
        with self._adapted.use(None if variant == BASE else variant):
            yield

    def hidden_states(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the embedding's and every layer's output, each ``(batch, length, width)``, without any logits."""
        from lm_eval_xling.models.layers import hidden_states

        return hidden_states(self.model, input_ids, attention_mask)

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


def _refuse_prompt_learning(adapter: Path) -> None:
    from peft import PeftConfig

    from lm_eval_xling.models.adapters import read_adapter_config

    read_adapter_config(adapter)
    with loading(adapter, what="the adapter cannot be loaded"):
        learns_prompt = PeftConfig.from_pretrained(str(adapter)).is_prompt_learning
    if learns_prompt:
        raise UserError(
            "prompt-learning adapters add positions and cannot be compared layer by layer",
            where=adapter,
            fix="use an adapter that changes the layers, such as LoRA",
        )


def _variant_name(adapter: Path, taken: Mapping[str, Path | None]) -> str:
    """Return the adapter's short name, with the folders above it where adapters are named alike."""
    folder = adapter.resolve()
    if any(other is not None and other.resolve() == folder for other in taken.values()):
        raise UserError("the adapter is given twice", where=adapter, fix="give each adapter once")
    # Names of files: a dot would begin an ending.
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
