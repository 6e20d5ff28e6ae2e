"""The logit lens of Zhang et al. (arXiv 2405.13816, after nostalgebraist 2020): what each layer would say next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lm_eval_xling.probes import bands
from lm_eval_xling.probes.activations import TokenBatch, encode, sweep
from lm_eval_xling.probes.labels import ENGLISH, LabelSets, LabelTokens, set_sizes
from lm_eval_xling.probes.language_share import SHARE, assign
from lm_eval_xling.probes.lexicons import read_lexicons, words_by_language
from lm_eval_xling.probes.measures import levels_and_differences
from lm_eval_xling.probes.probe import Findings, Measure, Picture, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.vocabulary import token_bytes

if TYPE_CHECKING:
    import torch

    from lm_eval_xling.models.output_path import OutputPath

__all__ = ["LABEL_QUANTITIES", "PROBE", "LensSettings", "logit_lens", "next_token_values"]

LABEL_QUANTITIES = ("p_correct_en", "p_correct_target", "p_all_en", "p_all_target", "p_shared")
# Logits held at once, of all layers of some positions: 80 MB in float32; two more such arrays hold probabilities and
# entropy terms.
_LOGITS_AT_ONCE = 20_000_000


@dataclass(frozen=True, slots=True)
class LensSettings:
    """What the numbers of the logit lens depend on."""

    positions: int = setting(1, min=1, help="Evenly spaced positions a text; 1 is the last token.")
    lexicons: Mapping[str, Collection[str]] = setting(
        {},
        metavar="DIR",
        read=lambda folder: words_by_language(read_lexicons(Path(folder))),
        help="Word lists in MUSE's format: en-de.txt, …",
    )
    """Words of each language, which decide between languages of one script."""
    seed: int = setting(0, help="Of the bands.")


def logit_lens(
    model: ProbedModel,
    prompts: Sequence[Prompt],
    *,
    folder: Path,
    lexicons: Mapping[str, Collection[str]] | None = None,
    positions: int = 1,
    batch_tokens: int = 2048,
    seed: int = 0,
) -> Findings:
    """Read every layer of every variant at the last token of each prompt.

    Args:
        model: the model with its adapters.
        prompts: with labels, or free text without; ids are unique within a language.
        folder: where the per-prompt values stand, so that a killed run continues.
        lexicons: words of each language, which decide between languages of one script.
        positions: number of evenly spaced positions per prompt, the last of them the last token; their mean counts.
        batch_tokens: greatest number of tokens in a batch.
        seed: of the bands.

    Returns:
        Means over the prompts of each language; values of ``LABEL_QUANTITIES``, the entropy, and the share of each
        group of tokens; and as ``label_tokens`` the mean number of tokens in each label set, per language.

    Raises:
        UserError: if labels are incomplete.
    """
    import torch

    pieces = token_bytes(model.tokenizer, model.vocabulary)
    label_tokens = LabelTokens(pieces)
    sets = [label_tokens.sets(prompt) if prompt.labels else None for prompt in prompts]
    languages = tuple(dict.fromkeys([ENGLISH, *(prompt.language for prompt in prompts)]))
    groups, assignment = assign(pieces, languages, lexicons or {})
    membership = torch.nn.functional.one_hot(torch.from_numpy(assignment), len(groups)).float().to(model.device)
    quantities = (*LABEL_QUANTITIES, "entropy", *(f"{SHARE}{group}" for group in groups))
    encoded = [(tokens,) for tokens in encode(model, [prompt.text for prompt in prompts])]

    values = {}
    for variant in model.variants:
        path = model.output_path(variant)

        def compute(states: Sequence[torch.Tensor], batch: TokenBatch, path: OutputPath = path) -> torch.Tensor:
            rows, at = _positions(batch, positions)
            vectors = torch.stack([state[rows, at] for state in states], dim=1)
            found = next_token_values(path, vectors, [sets[batch.items[row]] for row in rows.tolist()], membership)
            return found.reshape(len(batch.items), positions, *found.shape[1:]).mean(1)

        values[variant] = sweep(
            model,
            variant,
            encoded,
            compute,
            (model.states, len(quantities)),
            folder=folder,
            name="logit-lens",
            key={
                "positions": positions,
                "labels": [prompt.labels for prompt in prompts],
                "answers": [prompt.answer for prompt in prompts],
                "assignment": assignment.tobytes().hex() if lexicons else groups,
                "model": model.describe(),
            },
            batch_tokens=batch_tokens,
        )
    known = [(prompt, found) for prompt, found in zip(prompts, sets, strict=True) if found is not None]
    return Findings(
        _measures(prompts, quantities, values, seed),
        columns=quantities,
        values=values,
        ids=[prompt.id for prompt in prompts],
        languages=[prompt.language for prompt in prompts],
        facts={"label_tokens": set_sizes([prompt for prompt, _ in known], [found for _, found in known])},
    )


def next_token_values(
    path: OutputPath, vectors: torch.Tensor, sets: Sequence[LabelSets | None], membership: torch.Tensor
) -> torch.Tensor:
    """Return label probabilities, entropy and language shares of every layer's next-token distribution.

    Args:
        path: the model's way from hidden state to logits.
        vectors: hidden states at one position a prompt, ``(prompts, layers + 1, width)``.
        sets: label tokens of each prompt.
        membership: one column a group of tokens, ``(vocabulary, groups)``, entries 0 or 1.

    Returns:
        ``(prompts, layers + 1, 5 + 1 + groups)``: probabilities of ``LABEL_QUANTITIES``, entropy in bits, shares.
    """
    import torch

    size = max(1, _LOGITS_AT_ONCE // (vectors.shape[1] * membership.shape[0]))
    results = []
    for start in range(0, len(vectors), size):
        probabilities = path.lens_logits(vectors[start : start + size]).softmax(-1)
        entropy = torch.special.entr(probabilities).sum(-1, keepdim=True) / np.log(2)
        labels = torch.stack(
            [_label_values(own, found) for own, found in zip(probabilities, sets[start : start + size], strict=True)]
        )
        results.append(torch.cat([labels, entropy, probabilities @ membership], dim=-1))
    return torch.cat(results)


def _label_values(probabilities: torch.Tensor, sets: LabelSets | None) -> torch.Tensor:
    """Return ``(layers + 1, 5)`` from one prompt's ``(layers + 1, vocabulary)``; NaN for an empty set."""
    import torch

    nothing = torch.full(probabilities.shape[:1], float("nan"), device=probabilities.device)
    columns = []
    for name in ("correct_en", "correct_target", "all_en", "all_target", "shared"):
        ids = () if sets is None else getattr(sets, name)
        columns.append(probabilities[:, list(ids)].sum(-1) if ids else nothing)
    return torch.stack(columns, dim=-1)


def _positions(batch: TokenBatch, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and column of the probed tokens, ``positions`` a text, the last of each its last token."""
    import torch

    lengths = batch.mask.sum(1)
    steps = torch.arange(1, positions + 1, device=lengths.device)
    columns = torch.ceil(lengths[:, None] * steps / positions).long() - 1
    rows = torch.arange(len(lengths), device=lengths.device)[:, None].expand_as(columns)
    return rows.reshape(-1), columns.reshape(-1)


def _measures(
    prompts: Sequence[Prompt], quantities: Sequence[str], values: Mapping[str, NDArray[np.float32]], seed: int
) -> list[Measure]:
    measures = []
    for language in dict.fromkeys(prompt.language for prompt in prompts):
        rows = [index for index, prompt in enumerate(prompts) if prompt.language == language]
        of_language = {variant: np.asarray(array[rows], dtype=np.float64) for variant, array in values.items()}
        measures += levels_and_differences(
            of_language,
            bands.mean,
            difference=lambda array, base: bands.mean(array - base),
            names=quantities,
            language=language,
            seed=seed,
        )
    return measures


def _measure(
    model: ProbedModel, prompts: Sequence[Prompt], settings: LensSettings, folder: Path, batch_tokens: int
) -> Findings:
    return logit_lens(
        model,
        prompts,
        folder=folder,
        lexicons=settings.lexicons,
        positions=settings.positions,
        batch_tokens=batch_tokens,
        seed=settings.seed,
    )


def _draw(findings: Findings, prompts: Sequence[Prompt], folder: Path, model: str) -> list[Picture]:
    from lm_eval_xling.probes.pictures import draw_logit_lens

    # Words stand in a panel's title only where all prompts of the language have the same.
    labels = {language: words for prompt in prompts for language, words in prompt.labels.items()}
    varying = {code for prompt in prompts for code, words in prompt.labels.items() if labels[code] != words}
    labels = {code: words for code, words in labels.items() if code not in varying}
    return draw_logit_lens(findings.measures, folder, probe=PROBE, model=model, labels=labels)


PROBE = Probe(
    name="logit-lens",
    title="Logit lens",
    summary="Read every layer as if it were the last: label probabilities, entropy, languages of the next token.",
    reads="prompts",
    labels=True,
    settings=LensSettings,
    quantities={
        "p_correct_en": Quantity(
            "correct label, English",
            "probability",
            "Probability of all tokens that begin the correct English label and no label of the prompt's language.",
        ),
        "p_correct_target": Quantity(
            "correct label, prompt's language",
            "probability",
            "Probability of all tokens that begin the correct label in the prompt's language and no English label.",
        ),
        "p_all_en": Quantity(
            "all labels, English", "probability", "Probability of all tokens that begin any English label."
        ),
        "p_all_target": Quantity(
            "all labels, prompt's language",
            "probability",
            "Probability of all tokens that begin any label in the prompt's language.",
        ),
        "p_shared": Quantity(
            "shared by both languages",
            "probability",
            "Probability of tokens that begin labels of both languages; they count for neither.",
        ),
        "entropy": Quantity("entropy", "bits", "Entropy of the layer's next-token distribution."),
        SHARE: Quantity("{}", "share of probability", "Probability of all tokens assigned to {}."),
    },
    measure=_measure,
    draw=_draw,
    examples=(
        "--model gemma-3-270m --task xling_sentiment_zh --limit 200 --out lens",
        "--model gemma-3-270m --task xling_sentiment_zh --peft adapters/zh --out lens-zh",
        "--model gemma-3-270m --texts de.txt --lexicons muse --positions 8 --out share",
    ),
)
