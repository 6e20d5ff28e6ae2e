"""Language-specific neurons (Tang et al. 2024, arXiv 2402.16438): where they are, and which texts need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes import bands
from lm_eval_xling.probes.language_neurons import language_neurons
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.neuron_activity import activation_counts, losses
from lm_eval_xling.probes.neuron_pictures import draw_neurons
from lm_eval_xling.probes.probe import ALL_LANGUAGES, Findings, Measure, Picture, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import BASE, ProbedModel
from lm_eval_xling.probes.prompt_sources import common_items

__all__ = ["PROBE", "NeuronsSettings", "neurons"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class NeuronsSettings:
    """What the numbers of language neurons depend on."""

    entropy_share: float = setting(
        0.01, min=0.0, max=0.5, help="Number of language neurons, as a share of all neurons."
    )
    activity_quantile: float = setting(
        0.95, min=0.0, max=1.0, help="Quantile of all activation probabilities that an active neuron is above."
    )
    held_out: int = setting(
        20, min=3, help="Number of texts of each language, the last, whose loss is measured; the others find neurons."
    )
    seed: int = setting(0, help="Draws the random neurons; of the bands.")


def neurons(
    model: ProbedModel,
    texts: Sequence[Prompt],
    *,
    folder: Path,
    entropy_share: float = 0.01,
    activity_quantile: float = 0.95,
    held_out: int = 20,
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
    """Return where the neurons of each language are, and what texts lose without them.

    The activation probability of a neuron in a language is the share of its tokens whose activation is above 0, tokens
    that the tokenizer added left out. Language neurons are those of ``language_neurons``, each variant's own. They are
    deactivated by setting their activations to 0 at all positions of the held-out texts (section 3.4 of the paper);
    the control deactivates as many random neurons of the same layers that are of no language, others for each text.

    Args:
        model: the model with its adapters.
        texts: of at least two languages; texts of the same id are the same item.
        folder: where counts and losses stand, so that a killed run continues.
        entropy_share: number of language neurons as a share of all neurons.
        activity_quantile: quantile of the activation probabilities that an active neuron is above.
        held_out: number of items at the end whose loss is measured.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the random neurons, and of the bootstrap.

    Returns:
        Numbers of neurons by layer and language and by the number of languages that share them, with bands of the
        grouped jackknife over items; and losses in nats a token, and how they change without each language's neurons,
        with bands of the bootstrap over texts.
    """
    languages, groups = common_items(texts)
    finding = [prompt for group in groups for prompt in group[:-held_out]]
    measured = [prompt for group in groups for prompt in group[-held_out:]]
    counts, lengths = activation_counts(model, finding, folder=folder, batch_tokens=batch_tokens)
    items = len(groups[0]) - held_out

    def found_by(variant: str, kept: NDArray[np.int64]) -> Mask:
        shape = (len(languages), items)
        rows = counts[variant].reshape(*shape, *counts[variant].shape[1:])
        tokens = lengths.reshape(shape)[:, kept].sum(1)
        # Layer by layer, because the file of all counts may be larger than memory.
        sums = [rows[:, kept, layer].sum(1, dtype=np.float64) / tokens[:, None] for layer in range(rows.shape[2])]
        return language_neurons(
            np.moveaxis(np.stack(sums), 1, -1), entropy_share=entropy_share, activity_quantile=activity_quantile
        )

    whole = {variant: found_by(variant, np.arange(items)) for variant in model.variants}
    values, tokens = losses(model, measured, languages, whole, folder=folder, batch_tokens=batch_tokens, seed=seed)
    return Findings(
        [
            *_counted(languages, found_by, list(model.variants), items, seed),
            *_lost(languages, values, tokens, measured, seed),
        ],
        columns=_columns(languages),
        values={variant: _at_output(array, model.states) for variant, array in values.items()},
        ids=[prompt.id for prompt in measured],
        languages=[prompt.language for prompt in measured],
        facts={
            "texts_per_language": {"find": items, "held_out": held_out},
            "language_neurons": {
                variant: {
                    language: [[int(layer) + 1, int(neuron)] for layer, neuron in np.argwhere(mask[..., number])]
                    for number, language in enumerate(languages)
                }
                for variant, mask in whole.items()
            },
        },
    )


def _columns(languages: Sequence[str]) -> list[str]:
    return [
        "loss",
        *(f"loss_without_{language}" for language in languages),
        *(f"loss_without_random_{language}" for language in languages),
    ]


def _at_output(values: NDArray[np.float32], states: int) -> NDArray[np.float32]:
    """Return losses as an observation of the model's output alone, ``(texts, layers + 1, columns)``."""
    placed = np.full((len(values), states, values.shape[1]), np.nan, np.float32)
    placed[:, -1] = values
    return placed


def _counted(
    languages: Sequence[str],
    found_by: Callable[[str, NDArray[np.int64]], Mask],
    variants: Sequence[str],
    items: int,
    seed: int,
) -> list[Measure]:
    """Return numbers of neurons by layer and over all, of each language and by how many languages share them."""
    shares = range(1, len(languages) + 1)

    def numbers(variant: str) -> bands.Statistic:
        def statistic(kept: NDArray[np.int64]) -> Array:
            found = found_by(variant, kept)
            shared = found.sum(-1)
            by_layer = np.concatenate([found.sum(1), np.stack([(shared == k).sum(1) for k in shares], -1)], -1)
            # In one statistic, because finding the neurons is what takes time.
            return np.concatenate([by_layer, by_layer.sum(0, keepdims=True)]).astype(float)

        return statistic

    measures = []
    for variant in variants:
        compared: list[tuple[str | None, bands.Statistic]] = [(None, numbers(variant))]
        if variant != BASE:
            compared.append((BASE, bands.minus(numbers(variant), numbers(BASE))))
        for minus, statistic in compared:
            value, low, high = bands.jackknife_band(statistic, items, seed=seed)
            if minus is None:
                low = np.maximum(low, 0)
            layers = range(len(value) - 1)
            for ending, rows in (("", layers), ("_total", [len(layers)])):
                columns = [(f"neurons{ending}", language) for language in languages]
                columns += [(f"shared{ending}.{k}", ALL_LANGUAGES) for k in shares]
                measures += [
                    Measure(
                        quantity=name,
                        variant=variant,
                        minus=minus,
                        language=language,
                        other=None,
                        # Layers as elsewhere: the embedding, 0, has no neurons.
                        layer=None if ending else row + 1,
                        value=float(value[row, column]),
                        low=float(low[row, column]),
                        high=float(high[row, column]),
                        n=items,
                    )
                    for column, (name, language) in enumerate(columns)
                    for row in rows
                ]
    return measures


def _lost(
    languages: Sequence[str],
    values: Mapping[str, NDArray[np.float32]],
    tokens: NDArray[np.int64],
    texts: Sequence[Prompt],
    seed: int,
) -> list[Measure]:
    """Return losses of each language's texts, and by how much they rise without each language's neurons."""
    measures: list[Measure] = []
    kinds = len(languages)
    for language in languages:
        rows = [row for row, prompt in enumerate(texts) if prompt.language == language]
        of_language = {variant: np.asarray(array[rows], float)[:, None] for variant, array in values.items()}
        a_token = _per_token(tokens[rows])

        def a_token_less(
            array: Array, base: Array, a_token: Callable[[Array], bands.Statistic] = a_token
        ) -> bands.Statistic:
            return a_token(array - base)

        compared: list[tuple[str, str | None, slice, slice | None]] = [("loss", None, slice(0, 1), None)]
        for number, other in enumerate(languages):
            own, drawn = slice(1 + number, 2 + number), slice(1 + kinds + number, 2 + kinds + number)
            compared += [
                ("loss_change", other, own, slice(0, 1)),
                ("random_change", other, drawn, slice(0, 1)),
                ("beyond_random", other, own, drawn),
            ]
        for name, of, column, less in compared:
            measures += levels_and_differences(
                {
                    variant: array[..., column] - (0 if less is None else array[..., less])
                    for variant, array in of_language.items()
                },
                a_token,
                difference=a_token_less,
                names=(name,),
                language=language,
                other=of,
                seed=seed,
            )
    return measures


def _per_token(tokens: NDArray[np.int64]) -> Callable[[Array], bands.Statistic]:
    """Return the statistic of sums over texts that is their sum over the number of tokens."""
    counted = bands.mean(tokens.astype(float)[:, None, None])

    def of(sums: Array) -> bands.Statistic:
        summed = bands.mean(sums)
        return lambda weights: summed(weights) / counted(weights)

    return of


def _measure(
    model: ProbedModel, texts: Sequence[Prompt], settings: NeuronsSettings, folder: Path, batch_tokens: int
) -> Findings:
    return neurons(
        model,
        texts,
        folder=folder,
        entropy_share=settings.entropy_share,
        activity_quantile=settings.activity_quantile,
        held_out=settings.held_out,
        batch_tokens=batch_tokens,
        seed=settings.seed,
    )


def _prepare(texts: Sequence[Prompt], settings: NeuronsSettings) -> NeuronsSettings:
    _, groups = common_items(texts)
    if len(groups[0]) < settings.held_out + 3:
        raise UserError(
            f"each language has {len(groups[0])} texts, of which {settings.held_out} are held out: at least 3 must be "
            "left to find neurons with",
            fix="give more texts, or a smaller --held-out",
        )
    return settings


def _draw(findings: Findings, _: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    return draw_neurons(findings.measures, folder, probe=PROBE, model=model)


PROBE = Probe(
    name="neurons",
    title="Language-specific neurons",
    summary="Find the neurons that few languages activate, layer by layer, and what texts lose without them.",
    reads="sentences",
    settings=NeuronsSettings,
    quantities={
        "neurons": Quantity(
            "neurons of the language", "neurons", "Neurons of a layer that few languages activate, this one among them."
        ),
        "neurons_total": Quantity(
            "neurons of the language, all layers", "neurons", "The same over all layers together."
        ),
        "shared.": Quantity(
            "neurons of {} of the languages", "neurons", "Language neurons of a layer that so many languages share: {}."
        ),
        "shared_total.": Quantity(
            "neurons of {} of the languages, all layers",
            "neurons",
            "Language neurons of all layers that so many languages share: {}.",
        ),
        "loss": Quantity("loss", "nats a token", "Loss of held-out texts with all neurons."),
        "loss_change": Quantity(
            "language neurons set to 0",
            "nats a token",
            "By how much the loss of held-out texts rises without the neurons of the second language.",
        ),
        "random_change": Quantity(
            "random neurons set to 0",
            "nats a token",
            "By how much it rises without as many random neurons of the same layers that are of no language.",
        ),
        "beyond_random": Quantity(
            "language neurons less random ones",
            "nats a token",
            "How much more it rises without the language's neurons than without the random ones.",
        ),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --parallel flores --out neurons",
        "--model gemma-3-270m --texts en.txt --texts de.txt --texts zh.txt --held-out 50 --peft ADAPTER --out n",
    ),
)
