"""A model with several adapters, of which none or one is on at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.models.adapters import adapter_tokenizer, attach, embedding_rows

__all__ = ["AdaptedModel"]


class AdaptedModel:
    """A base model, its adapters, and the tokenizer that all of them read with.

    An adapter may bring a vocabulary that begins with the base model's and goes on: then it is read with its own
    tokenizer, as the harness does with ``tokenizer=ADAPTER``. The base model gets rows for the added tokens, of which
    its ``vocabulary`` says that they are not its own.

    Args:
        model: of transformers.
        tokenizer: of the model.
        adapters: peft's folders by the name that ``use`` knows.
        model_name: for messages.

    Raises:
        UserError: if an adapter is damaged or does not fit, or two bring different vocabularies.
    """

    def __init__(self, model: Any, tokenizer: Any, adapters: Mapping[str, Path], *, model_name: str) -> None:
        self.model = model
        self.tokenizer = _common_tokenizer(tokenizer, adapters)
        self.vocabulary: int = model.get_output_embeddings().weight.shape[0]
        """Rows of the base model's own output embedding."""
        rows = {name: found for name, folder in adapters.items() if (found := embedding_rows(model, folder))}
        self.extended = {name for name, found in rows.items() if found > self.vocabulary}
        """Adapters that bring embeddings of further tokens."""
        if len(set(rows.values())) > 1:
            raise UserError(f"the adapters have embeddings for {rows} tokens", fix="give one of them at a time")
        for size in set(rows.values()) - {self.vocabulary}:
            # Rows that an adapter does not bring become the mean of the others, as in the harness, always the same.
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model.resize_token_embeddings(size)
            self.vocabulary = min(self.vocabulary, size)
        # As parameters: a module that peft wraps gives the weight of the adapter that is on.
        modules = (model.get_input_embeddings(), model.get_output_embeddings())
        self._own = list({id(module.weight): module.weight for module in modules}.values())
        self._peft: Any = None
        self._names: dict[str, str] = {}
        self._embeddings: dict[str, list[tuple[torch.nn.Parameter, torch.Tensor]]] = {}
        for name, folder in adapters.items():
            self._attach(name, folder, model_name)

    def to(self, device: str) -> None:
        """Move model and adapters to a device."""
        (self.model if self._peft is None else self._peft).to(device)

    @contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Run the body with one adapter switched on, or with none."""
        if self._peft is None:
            yield
            return
        if name is not None:
            self._peft.set_adapter(self._names[name])
        with self._peft.disable_adapter() if name is None else nullcontext():
            before = [(weight, weight.data) for weight, _ in self._embeddings.get(name or "", ())]
            for weight, own in self._embeddings.get(name or "", ()):
                weight.data = own.to(weight.device)
            try:
                yield
            finally:
                for weight, data in before:
                    weight.data = data

    def _attach(self, name: str, folder: Path, model_name: str) -> None:
        # A name of ours: names are parts of the weights' names, and one that is a module's would be taken for it.
        self._names[name] = f"xling{len(self._names)}"
        brings_embeddings = embedding_rows(self.model, folder) is not None
        before = [(weight, weight.detach().clone()) for weight in self._own] if brings_embeddings else []
        self._peft = attach(self._peft or self.model, folder, self._names[name], model_name=model_name)
        self.model = self._peft.get_base_model()
        for weight, base in before:
            # Embeddings that peft saved without keeping them apart were written over the model's.
            if not torch.equal(weight, base):
                self._embeddings.setdefault(name, []).append((weight, weight.detach().clone()))
                weight.data.copy_(base)


def _common_tokenizer(tokenizer: Any, adapters: Mapping[str, Path]) -> Any:
    """Return the tokenizer that every variant reads with: the model's, or the one of adapters that add tokens."""
    common, source = tokenizer, None
    for folder in adapters.values():
        own = adapter_tokenizer(folder, tokenizer)
        if own is tokenizer:
            continue
        known, new = tokenizer.get_vocab(), own.get_vocab()
        strange = [token for token, index in known.items() if new.get(token) != index]
        if strange:
            raise UserError(
                f"the adapter's tokenizer is not the model's with added tokens: {len(strange)} tokens differ, such as "
                f"{strange[0]!r}",
                where=folder,
                fix="give the model that the adapter was trained on",
            )
        if source is not None and new != common.get_vocab():
            raise UserError(
                "two adapters bring different vocabularies", where=f"{source}, {folder}", fix="give one at a time"
            )
        common, source = own, folder
    return common
