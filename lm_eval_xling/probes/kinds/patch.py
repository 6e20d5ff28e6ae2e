"""Activation patching across languages: where does a fact that is asked in English cross into another language?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.drawing import line_style
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.languages import resolve
from lm_eval_xling.probes import bands, canvas
from lm_eval_xling.probes.activations import TokenBatch, sweep
from lm_eval_xling.probes.asked_facts import Question, check_facts, log_odds, option_log_likelihoods, questions
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probe import Findings, Measure, Picture, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import common_items

if TYPE_CHECKING:
    import torch

    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["COLUMNS", "OTHER_SUBJECT", "PROBE", "SAME_SUBJECT", "PatchSettings", "patch"]

COLUMNS = ("log_odds_same_subject", "log_odds_other_subject", "log_odds", "log_odds_source")
"""Patched with the same subject's state, with another's (control), not patched, and of the source prompt."""
SAME_SUBJECT, OTHER_SUBJECT = "same subject", "other subject"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What the numbers of patching depend on."""

    source: str = setting(
        "en", read=lambda code: resolve(code).code, help="Language whose states are put into the other prompts."
    )
    seed: int = setting(0, help="Draws the other subjects; of the bands.")


def patch(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    *,
    folder: Path,
    source: str = "en",
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
    """Return by how much the source prompt's state at the subject's last token helps a prompt in another language.

    The source prompt runs, and what layer k reads at the subject's last token is kept. The other prompt runs with that
    vector in place of its own at its subject's last token, for each k alone (Meng et al. 2022, arXiv 2202.05262,
    section 2; across languages Dumas et al. 2024, arXiv 2411.08745). Layer 0 is the embedding. What the last layer
    gives is left out: no later token reads it. Of each fact the log-odds of the right continuation against the others
    together is taken.

    Args:
        model: the model with its adapters.
        prompts: facts with the same ids in every language, the source's among them.
        folder: where the numbers of each fact stand, so that a killed run continues.
        source: language whose states are put into the other prompts.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the other subjects, and of the bands.

    Returns:
        Means over the facts of each language but the source: ``effect`` of patching in nats, with the state of the same
        subject and, as a control, with that of another subject of which the same is asked and something else is true;
        ``advantage``, the first less the second; ``recovery``, the effect as a share of the gap between the prompts,
        where the band of that gap is above 0. Bands are of subjects, because facts of one subject share its state.

    Raises:
        UserError: if prompts ask for no facts, or the model has a single layer.
    """
    import torch

    languages, groups = common_items(prompts)
    of_source = groups[languages.index(source)]
    others = _other_subjects(of_source, seed)
    depth = model.states - 1
    if depth < 2:
        raise UserError("the model has a single layer", where=model.name, fix="probe a model with more layers")
    asked = {language: questions(model, group) for language, group in zip(languages, groups, strict=True)}
    targets = [language for language in languages if language != source]
    items = [
        (asked[source][fact], asked[source][other], asked[language][fact])
        for language in targets
        for fact, other in others.items()
    ]
    values = {}
    for variant in model.variants:
        path = model.output_path(variant)

        def compute(states: Sequence[torch.Tensor], batch: TokenBatch, path: OutputPath = path) -> torch.Tensor:
            found = []
            for row, index in enumerate(batch.items):
                sources, target = items[index][:2], items[index][2]
                vectors = [
                    torch.stack([state[3 * row + text, question.subject] for state in states[:depth]])
                    for text, question in enumerate(sources)
                ]
                patched = _patched(model, path, target, torch.stack(vectors), batch_tokens)
                plain = log_odds(option_log_likelihoods(model, path, sources[0]), sources[0].answer)
                found.append(torch.cat([patched, plain.expand(depth, 1)], dim=1))
            return torch.stack(found)

        values[variant] = sweep(
            model,
            variant,
            [tuple(question.prompt for question in item) for item in items],
            compute,
            (depth, len(COLUMNS)),
            folder=folder,
            name="patch",
            key={
                "questions": [[(q.subject, q.options, q.answer) for q in item] for item in items],
                "model": model.describe(),
            },
            # A fact's patches are many passes: few facts at a time, so that a kill loses little.
            batch_tokens=batch_tokens // (2 * depth),
        )
    subjects = [of_source[fact].subject for fact in others]
    return Findings(
        _measures(values, targets, subjects, source, seed),
        columns=COLUMNS,
        values=values,
        ids=[of_source[fact].id for fact in others] * len(targets),
        languages=[language for language in targets for _ in others],
        facts={"facts": {"used": len(others), "without_control": len(of_source) - len(others)}},
    )


def _patched(
    model: ProbedModel, path: OutputPath, question: Question, vectors: torch.Tensor, batch_tokens: int
) -> torch.Tensor:
    """Return the log-odds of a prompt with each vector in its layer, and without any.

    Args:
        model: the model, whose variant is switched on.
        path: of the variant.
        question: the prompt that is patched.
        vectors: what the layers read at the subject's last token, ``(donors, layers, width)``.
        batch_tokens: greatest number of tokens in a batch.

    Returns:
        ``(layers, donors + 1)``; the last column is the prompt as it is, the same in all rows.
    """
    import torch

    donors, depth, width = vectors.shape
    flat = vectors.reshape(-1, width)
    layer_of_row = torch.arange(depth, device=vectors.device).repeat(donors)
    tokens = max(len(question.prompt.ids) - question.subject, sum(map(len, question.options)))
    size = max(1, batch_tokens // tokens)
    found = []
    for begin in range(0, len(flat), size):
        vector, of_layer = flat[begin : begin + size], layer_of_row[begin : begin + size]

        def edit(
            layer: int,
            hidden: torch.Tensor,
            first: int,
            vector: torch.Tensor = vector,
            of_layer: torch.Tensor = of_layer,
        ) -> torch.Tensor:
            if first != question.subject:
                return hidden
            hidden = hidden.clone()
            own = of_layer == layer
            hidden[own, :, 0] = vector[own][:, None]
            return hidden

        likelihoods = option_log_likelihoods(model, path, question, rows=len(vector), edit=edit, start=question.subject)
        found.append(log_odds(likelihoods, question.answer))
    plain = log_odds(option_log_likelihoods(model, path, question, start=question.subject), question.answer)
    return torch.cat([torch.cat(found).view(donors, depth).T, plain.expand(depth, 1)], dim=1)


def _other_subjects(facts: Sequence[Prompt], seed: int) -> dict[int, int]:
    """Return for each fact another of the same relation, whose subject and right answer are others.

    The facts of a relation stand in a ring of random order, and the next that differs is taken, so that no subject
    stands in for many, and the time grows with the facts and not with their pairs. Facts that have none are left out:
    without a control nothing can be said of them.

    Raises:
        UserError: if fewer than three are left.
    """
    chosen = {}
    rings: dict[str, list[int]] = {}
    for number in sorted(range(len(facts)), key=lambda index: stable_hash(seed, facts[index].id)):
        rings.setdefault(facts[number].relation, []).append(number)
    for ring in rings.values():
        for place, number in enumerate(ring):
            following = (ring[(place + step) % len(ring)] for step in range(1, len(ring)))
            other = next((index for index in following if _differs(facts[number], facts[index])), None)
            if other is not None:
                chosen[number] = other
    chosen = dict(sorted(chosen.items()))
    if len(chosen) < 3:
        raise UserError(
            f"of {len(facts)} facts {len(chosen)} have a control: another subject of which the same is asked and "
            "something else is true",
            fix="give more facts, or a greater --limit",
        )
    return chosen


def _differs(fact: Prompt, other: Prompt) -> bool:
    assert fact.answer is not None and other.answer is not None
    return fact.subject != other.subject and fact.choices[fact.answer] != other.choices[other.answer]


def _measures(
    values: Mapping[str, NDArray[np.float32]], targets: Sequence[str], subjects: Sequence[str], source: str, seed: int
) -> list[Measure]:
    measures: list[Measure] = []
    clusters = np.unique(subjects, return_inverse=True)[1]
    for number, language in enumerate(targets):
        rows = slice(number * len(subjects), (number + 1) * len(subjects))
        same, other, plain, of_source = (
            {variant: np.asarray(array[rows, :, column : column + 1], float) for variant, array in values.items()}
            for column in range(len(COLUMNS))
        )
        effect, gap = _minus(same, plain), _minus(of_source, plain)
        compared = (
            ("effect", SAME_SUBJECT, effect),
            ("effect", OTHER_SUBJECT, _minus(other, plain)),
            ("advantage", OTHER_SUBJECT, _minus(same, other)),
            ("log_odds", language, _once(plain)),
            ("log_odds", source, _once(of_source)),
            ("gap", source, _once(gap)),
        )
        for name, to, arrays in compared:
            measures += levels_and_differences(
                arrays,
                bands.mean,
                difference=lambda array, base: bands.mean(array - base),
                names=(name,),
                language=language,
                other=to,
                seed=seed,
                clusters=clusters,
            )
        level = partial(_recovery, clusters=clusters, seed=seed)
        measures += levels_and_differences(
            {variant: np.concatenate([effect[variant], gap[variant]], axis=-1) for variant in values},
            level,
            difference=partial(_difference, level),
            names=("recovery",),
            language=language,
            other=SAME_SUBJECT,
            seed=seed,
            clusters=clusters,
        )
    return measures


def _minus(one: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
    return {variant: array - other[variant] for variant, array in one.items()}


def _once(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return what is the same for all layers, as an aggregate over them."""
    return {variant: array[:, :1] for variant, array in arrays.items()}


def _difference(level: Callable[[Array], bands.Statistic], array: Array, base: Array) -> bands.Statistic:
    return bands.minus(level(array), level(base))


def _recovery(array: Array, clusters: NDArray[np.int64], seed: int) -> bands.Statistic:
    """Return mean effect over mean gap of ``(facts, layers, 2)``; NaN where the gap's band is not above 0."""
    parts = bands.mean(array)
    gap = bands.mean(array[:, :1, 1:])
    _, low, _ = bands.bootstrap_band(gap, len(array), seed=seed, clusters=clusters)
    clear = low.item() > 0

    def statistic(weights: Array) -> Array:
        means = parts(weights)
        if not clear:
            return np.full_like(means[..., :1], np.nan)
        ratio: Array = means[..., :1] / means[..., 1:]
        return ratio

    return statistic


def _measure(
    model: ProbedModel, prompts: Sequence[Prompt], settings: PatchSettings, folder: Path, batch_tokens: int
) -> Findings:
    return patch(model, prompts, folder=folder, source=settings.source, batch_tokens=batch_tokens, seed=settings.seed)


def _prepare(prompts: Sequence[Prompt], settings: PatchSettings) -> PatchSettings:
    check_facts(prompts)
    languages, groups = common_items(prompts)
    if settings.source not in languages:
        raise unknown_name("source language", settings.source, languages)
    _other_subjects(groups[languages.index(settings.source)], settings.seed)
    return settings


def _draw(findings: Findings, prompts: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    """Draw the effect of patching and its control over the layers, one panel a language."""
    pictures = []
    for view in canvas.views(findings.measures):
        own = canvas.select(findings.measures, view)
        languages = list(dict.fromkeys(measure.language for measure in own))
        names = [canvas.language_name(language) for language in languages]
        source = canvas.language_name(next(str(m.other) for m in own if m.quantity == "gap"))
        last = canvas.last_layer(own)
        rows, columns = canvas.grid(len(languages), 3)
        with canvas.canvas([*names, source], rows, columns, (4.2, 3.2)) as (figure, axes):
            for panel, language, name in zip(np.ravel(axes), languages, names, strict=False):
                of_language = [measure for measure in own if measure.language == language]
                (gap,) = (m for m in of_language if m.quantity == "gap")
                panel.axhspan(gap.low, gap.high, color="#777777", alpha=0.15, linewidth=0)
                panel.axhline(
                    gap.value, color="#777777", linestyle=":", linewidth=1.2, label=f"{source} prompt less this prompt"
                )
                panel.axhline(0, color="#444444", linewidth=0.8)
                for number, kind in enumerate((SAME_SUBJECT, OTHER_SUBJECT)):
                    series = [m for m in of_language if m.quantity == "effect" and m.other == kind]
                    canvas.draw_band(panel, series, f"{kind}'s state", **line_style(number))
                panel.set_title(f"into {name} (n = {gap.n})")
                canvas.layer_axis(panel, last)
                panel.set_xlabel("layer that reads the patched state (0: embedding)")
                panel.set_ylabel(canvas.unit_label(PROBE.quantity("effect"), view))
            canvas.hide_from(axes, len(languages))
            handles, texts = np.ravel(axes)[0].get_legend_handles_labels()
            figure.legend(handles, texts, loc="outside lower center", ncols=columns, frameon=False)
            figure.suptitle(f"{source} state at the subject's last token\n{view.title(model)}")
            pictures.append(
                canvas.save(
                    figure,
                    folder / f"patch{view.suffix}.png",
                    "By how much the log-odds of the right answer rise when one layer reads what it has at the "
                    f"subject's last token of the {source} prompt: the state of the same subject, and of another one "
                    "as a control. Lines are means, shaded bands their 95 % intervals. Dotted: by how much the "
                    f"{source} prompt itself is ahead.",
                )
            )
    return pictures


PROBE = Probe(
    name="patch",
    title="Activation patching across languages",
    summary="Put one language's state of a subject into another language's prompt: which layers recover the answer.",
    reads="prompts",
    facts=True,
    settings=PatchSettings,
    quantities={
        "effect": Quantity(
            "patched less not patched",
            "nats of log-odds",
            "By how much the log-odds of the right answer rise when the layer reads the source prompt's state at the "
            "subject's last token.",
        ),
        "advantage": Quantity(
            "same subject less other subject",
            "nats of log-odds",
            "How much more the state of the same subject helps than that of another one.",
        ),
        "recovery": Quantity(
            "recovery",
            "share of the gap",
            "The effect as a share of what the source prompt is ahead, where that is clearly above 0.",
        ),
        "log_odds": Quantity(
            "log-odds of the right answer",
            "nats of log-odds",
            "Log-odds of the right answer against the others together, of the prompt as it is.",
        ),
        "gap": Quantity(
            "source prompt less this prompt",
            "nats of log-odds",
            "By how much the source prompt's log-odds of the right answer are higher.",
        ),
    },
    prepare=_prepare,
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --task xling_atlas_en_en --task xling_atlas_de_de --limit 60 --out patch",
        "--model gemma-3-270m --task xling_ledger_taught_en_en --task xling_ledger_taught_de_de --peft adapters/taught "
        "--out crossed",
    ),
)
