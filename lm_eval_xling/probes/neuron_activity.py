"""Neurons over texts: on how many tokens each is active, and what each text loses without some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.probes.activations import TokenBatch, encode, sweep
from lm_eval_xling.probes.asked_facts import log_probabilities
from lm_eval_xling.probes.language_neurons import random_neurons
from lm_eval_xling.probes.probe import Prompt
from lm_eval_xling.probes.probed_model import ProbedModel

if TYPE_CHECKING:
    import torch

    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["activation_counts", "losses"]

Mask = NDArray[np.bool_]


def activation_counts(
    model: ProbedModel, texts: Sequence[Prompt], *, folder: Path, batch_tokens: int = 2048
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """Return on how many tokens of each text each neuron is active, and the number of tokens of each text.

    Only counts are kept, in a memory-mapped file: an activation is gone when its layer has run.

    Returns:
        Per variant ``(texts, layers, neurons)``; and ``(texts,)``. Tokens that the tokenizer added do not count.
    """
    encoded = encode(model, [prompt.text for prompt in texts])
    depth, width = model.states - 1, model.neurons.width
    seen: list[torch.Tensor] = []

    @contextmanager
    def watch(batch: TokenBatch) -> Iterator[None]:
        own = _own_tokens(batch)[..., None]
        seen.clear()

        def count(_: int, activations: torch.Tensor) -> None:
            seen.append(((activations > 0) & own).sum(1))

        with model.neurons.passed_through(_shape(batch), count):
            yield

    def compute(_: Sequence[torch.Tensor], __: TokenBatch) -> torch.Tensor:
        import torch

        return torch.stack(seen, dim=1)

    counts = {
        variant: sweep(
            model,
            variant,
            [(tokens,) for tokens in encoded],
            compute,
            (depth, width),
            folder=folder,
            name="counts",
            key={"model": model.describe()},
            batch_tokens=batch_tokens,
            watch=watch,
        )
        for variant in model.variants
    }
    return counts, np.array([tokens.special.count(False) for tokens in encoded])


def losses(
    model: ProbedModel,
    texts: Sequence[Prompt],
    languages: Sequence[str],
    found: Mapping[str, Mask],
    *,
    folder: Path,
    batch_tokens: int = 2048,
    seed: int = 0,
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """Return the loss of each text: with all neurons, without each language's, and without as many random ones.

    Args:
        model: the model with its adapters.
        texts: the texts.
        languages: of the neurons.
        found: per variant ``(layers, neurons, languages)``.
        folder: where the numbers stand.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the random neurons.

    Returns:
        Per variant the sums over a text's tokens ``(texts, 1 + 2 * languages)`` in nats; and the number of tokens that
        were predicted, ``(texts,)``.
    """
    encoded = encode(model, [prompt.text for prompt in texts])
    values = {}
    for variant in model.variants:
        of_variant, path = found[variant], model.output_path(variant)

        def compute(
            states: Sequence[torch.Tensor],
            batch: TokenBatch,
            path: OutputPath = path,
            of_variant: Mask = of_variant,
        ) -> torch.Tensor:
            import torch

            columns = [_text_losses(path, states[-1], batch)]
            sets = np.moveaxis(of_variant, -1, 0)
            drawn = [
                np.stack([_random_for(of_variant, number, seed, languages, texts[item]) for item in batch.items])
                for number in range(len(languages))
            ]
            for mask in [*(mask[None] for mask in sets), *drawn]:
                off = torch.from_numpy(mask).to(model.device)

                def deactivate(layer: int, activations: torch.Tensor, off: torch.Tensor = off) -> torch.Tensor:
                    return activations.masked_fill(off[:, layer, None], 0)

                with model.neurons.passed_through(_shape(batch), deactivate):
                    last = model.hidden_states(batch.ids, batch.mask)[-1]
                columns.append(_text_losses(path, last, batch))
            return torch.stack(columns, dim=1)

        values[variant] = sweep(
            model,
            variant,
            [(tokens,) for tokens in encoded],
            compute,
            (1 + 2 * len(languages),),
            folder=folder,
            name="losses",
            key={
                "neurons": np.packbits(of_variant).tobytes().hex(),
                "languages": list(languages),
                "texts": [(prompt.language, prompt.id) for prompt in texts],
                "seed": seed,
                "model": model.describe(),
            },
            # A batch is many passes: few texts at a time, so that a kill loses little.
            batch_tokens=max(1, batch_tokens // 4),
        )
    return values, np.array([tokens.special[1:].count(False) for tokens in encoded])


def _random_for(found: Mask, number: int, seed: int, languages: Sequence[str], text: Prompt) -> Mask:
    """Return random neurons in place of a language's, for one text: ``(layers, neurons)``."""
    drawn_by = stable_hash(seed, languages[number], text.language, text.id)
    return random_neurons(found[..., number].sum(-1), np.asarray(found.any(-1)), drawn_by)


def _text_losses(path: OutputPath, hidden: torch.Tensor, batch: TokenBatch) -> torch.Tensor:
    """Return the summed negative log-likelihood of each text's own tokens, ``(texts,)``: all that a token precedes."""
    import torch

    own = _own_tokens(batch)[:, 1:]
    found = -log_probabilities(path, hidden[:, :-1][own], batch.ids[:, 1:][own][:, None])[:, 0]
    return torch.zeros(len(own), device=hidden.device).index_add_(0, own.nonzero()[:, 0], found)


def _own_tokens(batch: TokenBatch) -> torch.Tensor:
    return batch.mask.bool() & ~batch.special


def _shape(batch: TokenBatch) -> tuple[int, int]:
    return batch.ids.shape[0], batch.ids.shape[1]
