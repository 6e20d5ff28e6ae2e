"""Whether a model answers alike across languages, which language matters, and whether it avoids foreign options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from lm_eval_xling.linear_models import two_way
from lm_eval_xling.report.blocks import Array, Block, matrix_of, reference_row
from lm_eval_xling.report.conditions import BASE
from lm_eval_xling.report.evaluations import Note
from lm_eval_xling.report.schema import AgreementRow, ConsistencyRow, EffectRow, LoneOptionRow
from lm_eval_xling.statistics import (
    agreement,
    all_agree,
    benjamini_hochberg,
    bootstrap_mean,
    paired_difference,
    proportion,
    proportion_test,
    rank_consistency,
)

__all__ = ["agreement_rows", "consistency_rows", "effect_rows", "lone_option_rows"]

_MOST_CONDITIONS = 50


def agreement_rows(blocks: Iterable[Block], notes: list[Note]) -> list[AgreementRow]:
    """Return one row for every pair of conditions of a model; with very many conditions, of the reference's pairs."""
    rows = []
    for block in blocks:
        tasks = range(len(block.evaluations))
        pairs = [(i, j) for i in tasks for j in tasks if i < j]
        if len(tasks) > _MOST_CONDITIONS:
            pairs = [(0, j) for j in tasks if j]
            text = f"{len(tasks)} conditions: agreement is given for pairs with {block.evaluations[0].name} only"
            notes.append(Note("marked", text, f"{block.model.label}, {block.family}"))
        rows += [row for i, j in pairs if (row := _agreement(block, i, j)) is not None]
    return rows


def _agreement(block: Block, i: int, j: int) -> AgreementRow | None:
    usable = (block.chosen[i] >= 0) & (block.chosen[j] >= 0)
    n = int(usable.sum())
    if n == 0:
        return None
    same = agreement(block.chosen[i][usable], block.chosen[j][usable])
    first, second = block.evaluations[i], block.evaluations[j]
    ranks = float("nan")
    assert first.samples is not None and second.samples is not None
    one, two = first.samples.scores, second.samples.scores
    if one is not None and two is not None and one.shape[1] == two.shape[1]:
        rows = block.positions[i][usable], block.positions[j][usable]
        ranks = float(rank_consistency(one[rows[0]], two[rows[1]]).mean())
    return AgreementRow(
        model=block.model.label,
        family=block.family,
        setting=block.setting.label,
        first=first.name,
        second=second.name,
        n=n,
        same=proportion(same, block.clusters_of(usable)),
        same_if_first_right=_share(same, block.scores[i][usable] == 1),
        same_if_second_right=_share(same, block.scores[j][usable] == 1),
        rank_consistency=ranks,
    )


def _share(values: Array, where: Array) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def consistency_rows(blocks: Iterable[Block]) -> list[ConsistencyRow]:
    """Return one row for every block of at least two conditions with options."""
    rows = []
    for block in blocks:
        usable = np.asarray(((block.chosen >= 0) & np.isfinite(block.scores)).all(axis=0))
        conditions, n = len(block.evaluations), int(usable.sum())
        if conditions < 2 or n == 0:
            continue
        chosen, scores = block.chosen[:, usable], block.scores[:, usable]
        # Of an option chosen c times, c (c - 1) of the ordered pairs of conditions agree on it.
        counts = np.stack([(chosen == option).sum(axis=0) for option in range(int(chosen.max()) + 1)])
        pairwise = float((counts * (counts - 1)).sum() / (n * conditions * (conditions - 1)))
        accuracy = float(scores.mean())
        right = (scores == 1).all(axis=0)
        rows.append(
            ConsistencyRow(
                model=block.model.label,
                family=block.family,
                setting=block.setting.label,
                conditions=conditions,
                n=n,
                all_same=proportion(all_agree(chosen), block.clusters_of(usable)),
                all_right=proportion(right, block.clusters_of(usable)),
                pairwise=pairwise,
                ac3=2 * accuracy * pairwise / (accuracy + pairwise) if accuracy + pairwise else 0.0,
            )
        )
    return rows


def effect_rows(blocks: Iterable[Block]) -> list[EffectRow]:
    """Return question-language and answer-language effects of every complete matrix of a block."""
    rows = []
    for block in blocks:
        asked, answered, cells = matrix_of(block.evaluations)
        if len(asked) < 2 or len(answered) < 2 or len(cells) < len(asked) * len(answered):
            continue
        cube = np.stack([[block.scores[cells[q, a]] for a in answered] for q in asked])
        usable = np.isfinite(cube).all(axis=(0, 1))
        if usable.sum() < 2:
            continue
        cube = cube[:, :, usable]
        clusters = block.clusters_of(usable)
        fitted = two_way(cube.mean(axis=2))
        # Every effect is linear in the items, so it is the mean of the items' own effects.
        mean = cube.mean(axis=(0, 1))
        by_question, by_answer = cube.mean(axis=1) - mean, cube.mean(axis=0) - mean
        effects = [("question", q, by_question[i], fitted.shares[0]) for i, q in enumerate(asked)]
        effects += [("answer", a, by_answer[i], fitted.shares[1]) for i, a in enumerate(answered)]
        if asked == answered:
            residual = cube - mean - by_question[:, None] - by_answer[None, :]
            k = len(asked)
            same = np.einsum("iin->n", residual) / k
            different = (residual.sum(axis=(0, 1)) - k * same) / (k * (k - 1))
            effects.append(("same", "", same - different, fitted.diagonal))
        rows += [
            EffectRow(
                model=block.model.label,
                family=block.family,
                setting=block.setting.label,
                factor=factor,
                language=language,
                effect=bootstrap_mean(values, clusters),
                share=share,
            )
            for factor, language, values, share in effects
        ]
    return rows


def lone_option_rows(blocks: Iterable[Block]) -> list[LoneOptionRow]:
    """Return how often a lone English or lone non-English option is chosen, against chance and against all-English."""
    rows = []
    for block in blocks:
        at = reference_row(block.evaluations)
        for index in range(len(block.evaluations)):
            if index != at:
                rows += [row for option in ("non-English", "English") if (row := _lone(block, index, at, option))]
    adjusted = benjamini_hochberg(np.array([row.chance_p for row in rows]))
    return [replace(row, chance_p=float(value)) for row, value in zip(rows, adjusted, strict=True)]


def _lone(block: Block, index: int, at: int | None, option: str) -> LoneOptionRow | None:
    samples = block.evaluations[index].samples
    assert samples is not None
    # Few conditions occur, so that each is looked at once.
    options = {condition: condition.options for condition in set(samples.conditions)}
    alone = {condition: _lone_index(languages, option) for condition, languages in options.items()}
    lone = np.array([alone[condition] for condition in samples.conditions])
    sizes = np.array([len(options[condition]) for condition in samples.conditions])
    positions = block.positions[index]
    lone, sizes = (np.where(positions >= 0, values[positions], -1) for values in (lone, sizes))
    usable = (lone >= 0) & (block.chosen[index] >= 0)
    n = int(usable.sum())
    if n == 0:
        return None
    chosen = block.chosen[index] == lone
    answer = np.where(positions >= 0, samples.answer[positions], -1)
    right = (answer == lone)[usable]
    chance = float((1 / sizes[usable]).mean())
    difference, rate = None, float("nan")
    if at is not None and (both := usable & (block.chosen[at] >= 0)).any():
        before = (block.chosen[at] == lone)[both].astype(float)
        difference = paired_difference(before, chosen[both].astype(float), block.clusters_of(both))
        rate = float(before.mean())
    return LoneOptionRow(
        model=block.model.label,
        family=block.family,
        setting=block.setting.label,
        condition=block.evaluations[index].name,
        option=option,
        right="yes" if right.all() else "sometimes" if right.any() else "no",
        n=n,
        chosen=proportion(chosen[usable], block.clusters_of(usable)),
        chance=chance,
        chance_p=proportion_test(chosen[usable], chance, block.clusters_of(usable)),
        reference=rate,
        difference=difference,
    )


def _lone_index(languages: tuple[str, ...], option: str) -> int:
    """Index of the only option that is (not) in English, or -1 where there is none or more than one."""
    hits = [i for i, language in enumerate(languages) if (language == BASE) == (option == "English")]
    return hits[0] if len(hits) == 1 and len(languages) > 2 else -1
