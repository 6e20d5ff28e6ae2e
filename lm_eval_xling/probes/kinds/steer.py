"""Steering along language directions: do answers need, or gain from, the stage in another language?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.drawing import line_style
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.languages import resolve
from lm_eval_xling.probes import bands, canvas
from lm_eval_xling.probes.activations import TokenBatch, representations, sweep
from lm_eval_xling.probes.asked_facts import Question, check_facts, log_odds, option_log_likelihoods, questions
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probe import Findings, Measure, Picture, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import common_items, parallel_sentences

if TYPE_CHECKING:
    import torch

    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["COLUMNS", "PROBE", "SteerSettings", "steer"]

COLUMNS = ("add", "add_random", "ablate", "ablate_random", "log_odds")
"""Log-odds with the direction added or projected out, with a random one (control) likewise, and of the plain prompt."""
LANGUAGE_DIRECTION, RANDOM_DIRECTION = "language direction", "random direction"

Array = NDArray[np.float64]


def _by_language(prompts: Sequence[Prompt]) -> Mapping[str, tuple[str, ...]]:
    languages, groups = common_items(prompts)
    return {language: tuple(prompt.text for prompt in group) for language, group in zip(languages, groups, strict=True)}


@dataclass(frozen=True, slots=True)
class SteerSettings:
    """What the numbers of steering depend on."""

    parallel: Mapping[str, tuple[str, ...]] = setting(
        metavar="DIR|DATASET",
        read=lambda source: _by_language(parallel_sentences(source)),
        help="Sentences that the directions are made of: a folder with one file a language, or a dataset.",
    )
    """Language to sentences, the same in number and order."""
    towards: str = setting("en", read=lambda code: resolve(code).code, help="Language that prompts are steered to.")
    sentences: int = setting(100, min=3, help="Greatest number of parallel sentences.")
    seed: int = setting(0, help="Draws the random directions; of the bands.")


def steer(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    parallel: Mapping[str, Sequence[str]],
    *,
    folder: Path,
    towards: str = "en",
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
    """Return by how much answers gain when a layer's states are moved towards a language, or lose the difference to it.

    The direction of a layer is the mean state of sentences in ``towards`` less that of their translations in the
    prompt's language (difference of means, Marks and Tegmark 2023, arXiv 2310.06824), over all tokens that the
    tokenizer did not add. ``add`` adds it to what one layer reads, ``ablate`` projects it out (Arditi et al. 2024,
    arXiv 2406.11717, equations 3 and 4), at all such positions of prompt and answer, one layer at a time. The control
    is a random direction of the same length, another one for each prompt and layer.

    Args:
        model: the model with its adapters.
        prompts: facts in languages that ``parallel`` has; those in ``towards`` are left out.
        parallel: sentences by language, the same in number and order.
        folder: where directions and numbers stand, so that a killed run continues.
        towards: language that prompts are steered to.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the random directions, and of the bands.

    Returns:
        Means over the facts of each language, in nats of log-odds of the right continuation against the others
        together: ``add`` and ``ablate`` of either direction less the prompt as it is, and how much the language's
        direction does beyond a random one. Bands are of subjects.
    """
    import torch

    depth = model.states - 1
    if depth < 2:
        raise UserError("the model has a single layer", where=model.name, fix="probe a model with more layers")
    steered = [prompt for prompt in prompts if prompt.language != towards]
    languages = list(dict.fromkeys(prompt.language for prompt in steered))
    steered = [prompt for language in languages for prompt in steered if prompt.language == language]
    asked = questions(model, steered)
    groups = [
        [Prompt(str(number), language, text) for number, text in enumerate(parallel[language])]
        for language in [towards, *languages]
    ]
    vectors = representations(model, groups, "mean", folder=folder, name="sentences", batch_tokens=batch_tokens)
    values = {}
    for variant in model.variants:
        path = model.output_path(variant)
        means = np.asarray(vectors[variant]).mean(1, dtype=np.float64)[:, :depth]
        directions = {language: means[0] - means[1 + number] for number, language in enumerate(languages)}

        def compute(
            states: Sequence[torch.Tensor],
            batch: TokenBatch,
            path: OutputPath = path,
            directions: Mapping[str, Array] = directions,
        ) -> torch.Tensor:
            found = []
            for index in batch.items:
                direction = directions[steered[index].language]
                pair = np.stack([direction, _random_directions(direction, seed, steered[index])])
                wanted = torch.from_numpy(pair).to(states[0])
                found.append(_steered(model, path, asked[index], wanted, batch_tokens))
            return torch.stack(found)

        values[variant] = sweep(
            model,
            variant,
            [(question.prompt,) for question in asked],
            compute,
            (depth, len(COLUMNS)),
            folder=folder,
            name="steer",
            key={
                "questions": [(question.options, question.answer) for question in asked],
                "directions": {language: array.tobytes().hex() for language, array in directions.items()},
                "seed": seed,
                "model": model.describe(),
            },
            # A prompt's edits are many passes: few prompts at a time, so that a kill loses little.
            batch_tokens=batch_tokens // (4 * depth),
        )
    return Findings(
        _measures(values, steered, seed),
        columns=COLUMNS,
        values=values,
        ids=[prompt.id for prompt in steered],
        languages=[prompt.language for prompt in steered],
        facts={"sentences": len(groups[0])},
    )


def _random_directions(direction: Array, seed: int, prompt: Prompt) -> Array:
    """Return random directions as long as those given, ``(layers, width)``."""
    random = np.random.default_rng(stable_hash(seed, prompt.language, prompt.id)).normal(size=direction.shape)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    scaled: Array = random / np.linalg.norm(random, axis=-1, keepdims=True) * length
    return scaled


def _steered(
    model: ProbedModel, path: OutputPath, question: Question, directions: torch.Tensor, batch_tokens: int
) -> torch.Tensor:
    """Return the log-odds of a prompt under each edit of each layer: ``(layers, COLUMNS)``.

    Args:
        model: the model, whose variant is switched on.
        path: of the variant.
        question: the prompt.
        directions: that of the language and the control's, ``(2, layers, width)``.
        batch_tokens: greatest number of tokens in a batch.
    """
    import torch

    depth = directions.shape[1]
    # What the tokenizer puts before a text gathers attention and is far from all other states.
    start = question.prompt.special.index(False)
    edits = [(adds, number, layer) for adds in (True, False) for number in (0, 1) for layer in range(depth)]
    tokens = max(len(question.prompt.ids) - start, sum(map(len, question.options)))
    size = max(1, batch_tokens // tokens)
    found = []
    for begin in range(0, len(edits), size):
        some = edits[begin : begin + size]

        def edit(
            layer: int, hidden: torch.Tensor, _: int, some: Sequence[tuple[bool, int, int]] = some
        ) -> torch.Tensor:
            hidden = hidden.clone()
            for row, (adds, number, of_layer) in enumerate(some):
                if of_layer == layer:
                    change = with_direction if adds else without_direction
                    hidden[row] = change(hidden[row], directions[number, layer])
            return hidden

        likelihoods = option_log_likelihoods(model, path, question, rows=len(some), edit=edit, start=start)
        found.append(log_odds(likelihoods, question.answer))
    plain = log_odds(option_log_likelihoods(model, path, question, start=start), question.answer)
    return torch.cat([torch.cat(found).view(4, depth).T, plain.expand(depth, 1)], dim=1)


def with_direction(states: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Return states ``(..., width)`` with a direction added."""
    return states + direction


def without_direction(states: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Return states ``(..., width)`` less their component along a direction; as they are where it has no length."""
    square = direction @ direction
    return states if square == 0 else states - (states @ direction / square)[..., None] * direction


def _measures(values: Mapping[str, NDArray[np.float32]], prompts: Sequence[Prompt], seed: int) -> list[Measure]:
    measures: list[Measure] = []
    for language in dict.fromkeys(prompt.language for prompt in prompts):
        rows = [row for row, prompt in enumerate(prompts) if prompt.language == language]
        clusters = np.unique([prompts[row].subject for row in rows], return_inverse=True)[1]
        of_language = {variant: np.asarray(array[rows], float) for variant, array in values.items()}
        compared = (
            (LANGUAGE_DIRECTION, ("add", "ablate"), (0, 2), (4, 4)),
            (RANDOM_DIRECTION, ("add", "ablate"), (1, 3), (4, 4)),
            (RANDOM_DIRECTION, ("add_beyond", "ablate_beyond"), (0, 2), (1, 3)),
        )
        for other, names, ones, less in compared:
            measures += levels_and_differences(
                {variant: array[..., list(ones)] - array[..., list(less)] for variant, array in of_language.items()},
                bands.mean,
                difference=lambda array, base: bands.mean(array - base),
                names=names,
                language=language,
                other=other,
                seed=seed,
                clusters=clusters,
            )
        measures += levels_and_differences(
            {variant: array[:, :1, 4:] for variant, array in of_language.items()},
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=("log_odds",),
            language=language,
            seed=seed,
            clusters=clusters,
        )
    return measures


def _measure(
    model: ProbedModel, prompts: Sequence[Prompt], settings: SteerSettings, folder: Path, batch_tokens: int
) -> Findings:
    return steer(
        model,
        prompts,
        {language: sentences[: settings.sentences] for language, sentences in settings.parallel.items()},
        folder=folder,
        towards=settings.towards,
        batch_tokens=batch_tokens,
        seed=settings.seed,
    )


def _prepare(prompts: Sequence[Prompt], settings: SteerSettings) -> SteerSettings:
    check_facts(prompts)
    languages = list(dict.fromkeys(prompt.language for prompt in prompts if prompt.language != settings.towards))
    if not languages:
        raise UserError(
            f"all prompts are in {settings.towards}, which they would be steered to",
            fix="give prompts in other languages, such as --task xling_atlas_de_de",
        )
    for language in [settings.towards, *languages]:
        if language not in settings.parallel:
            raise unknown_name("language of the parallel sentences", language, settings.parallel)
    return settings


def _draw(findings: Findings, prompts: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    """Draw both edits with their controls over the layers, one row a language."""
    pictures = []
    titles = {"add": "added", "ablate": "projected out"}
    for view in canvas.views(findings.measures):
        own = canvas.select(findings.measures, view)
        languages = list(dict.fromkeys(measure.language for measure in own))
        names = [canvas.language_name(language) for language in languages]
        last = canvas.last_layer(own)
        with canvas.canvas(names, len(languages), 2, (4.6, 3.0)) as (figure, axes):
            for row, (language, name) in enumerate(zip(languages, names, strict=True)):
                for panel, (quantity, title) in zip(axes[row], titles.items(), strict=True):
                    series = [m for m in own if m.quantity == quantity and m.language == language]
                    panel.axhline(0, color="#444444", linewidth=0.8)
                    for number, kind in enumerate((LANGUAGE_DIRECTION, RANDOM_DIRECTION)):
                        canvas.draw_band(panel, [m for m in series if m.other == kind], kind, **line_style(number))
                    panel.set_title(f"{name}, direction {title} (n = {series[0].n})")
                    canvas.layer_axis(panel, last)
                    panel.set_xlabel("layer that reads the edited states (0: embedding)")
                    panel.set_ylabel(canvas.unit_label(PROBE.quantity(quantity), view))
            handles, texts = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, texts, loc="outside lower center", ncols=2, frameon=False)
            figure.suptitle(f"Steering along language directions, {view.title(model)}")
            pictures.append(
                canvas.save(
                    figure,
                    folder / f"steer{view.suffix}.png",
                    "By how much the log-odds of the right answer rise or fall when one layer reads states that are "
                    "moved along the direction between two languages (left), or have nothing of it (right), and with "
                    "a random direction of the same length. Lines are means, shaded bands their 95 % intervals.",
                )
            )
    return pictures


PROBE = Probe(
    name="steer",
    title="Steering along language directions",
    summary="Move a layer's states towards a language, or project the difference out: what answers gain or lose.",
    reads="prompts",
    facts=True,
    settings=SteerSettings,
    quantities={
        "add": Quantity(
            "direction added",
            "nats of log-odds",
            "By how much the log-odds of the right answer rise when the direction is added to what the layer reads.",
        ),
        "ablate": Quantity(
            "direction projected out",
            "nats of log-odds",
            "By how much the log-odds of the right answer rise when the layer reads states without the direction.",
        ),
        "add_beyond": Quantity(
            "direction added, less random direction",
            "nats of log-odds",
            "How much more the language's direction does, when it is added, than a random one of the same length.",
        ),
        "ablate_beyond": Quantity(
            "direction projected out, less random direction",
            "nats of log-odds",
            "How much more it does to project the language's direction out than a random one.",
        ),
        "log_odds": Quantity(
            "log-odds of the right answer",
            "nats of log-odds",
            "Log-odds of the right answer against the others together, of the prompt as it is.",
        ),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=("--model gemma-3-270m --task xling_atlas_de_de --parallel flores --limit 40 --out steer",),
)
