"""Translation between the paper's five languages (Chua et al. 2024, section 2): 100 sentences of FLORES-101.

The prompt is that of ALMA (Xu et al. 2023, arXiv 2309.11674), whose script the paper ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lm_eval_xling.errors import UserError
from lm_eval_xling.families.answering import FIDELITY_METRICS, language_scores
from lm_eval_xling.families.family import Family, Form, Group, Leaf, Metric, Part, Preset
from lm_eval_xling.families.parallel_rows import Missing, parallel_rows, parts_of
from lm_eval_xling.families.placed import FIVE
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.metrics.translation_quality import signatures
from lm_eval_xling.on_demand import OnDemand
from lm_eval_xling.records import Condition, Document, Response, Row, TaskDocuments

__all__ = ["FAMILY", "TranslationParameters"]


@dataclass(frozen=True, slots=True)
class TranslationParameters:
    """Parameters of ``xling_translation``."""

    missing: Missing = "error"
    """What to do with ids that a language lacks."""
    preset: Preset = "default"
    """``paper``: decoded with 5 beams, as ALMA's scripts do; with the form ``chat`` what the paper sends to GPT."""


def _documents(leaf: Leaf, form: Form, parameters: TranslationParameters) -> TaskDocuments:
    """Return the documents of a leaf: ``source`` and ``target``, language codes."""
    source, target = leaf.condition["source"], leaf.condition["target"]

    def asked(rows: Mapping[str, Row]) -> Document:
        sentences = rows[source].fields["sentence"], rows[target].fields["sentence"]
        return _document(rows[source].id, form, source, target, *sentences)

    pool = [
        _document(f"demonstration/{index}", form, source, target, sentences[source], sentences[target])
        for index, sentences in enumerate(_demonstrations())
    ]
    return TaskDocuments(
        OnDemand(parallel_rows("flores", "devtest", (source, target), parameters.missing), asked), pool
    )


def _needs(leaf: Leaf, form: Form, parameters: TranslationParameters) -> list[Part]:
    return parts_of("flores", "devtest", (leaf.condition["source"], leaf.condition["target"]))


def _document(id: str, form: Form, source: str, target: str, sentence: str, translation: str) -> Document:
    if not sentence.strip() or not translation.strip():
        raise UserError("a sentence is empty", where=f"translation, id {id}", fix="complete the row")
    names = LANGUAGES[source].name, LANGUAGES[target].name
    prompt, cue, told = f"Translate this from {names[0]} to {names[1]}:\n{names[0]}: {sentence}", f"{names[1]}:", ""
    if form.messages == "system":
        # The words of the paper's script (Translation/translate_gpt.py, Copyright 2024 Google LLC, Apache-2.0).
        prompt, cue, told = sentence, "", f"Translate the following {names[0]} text to {names[1]}:"
    return Document(
        id=id,
        family="translation",
        condition=Condition("", form.name, {"question": source, "answer": target}),
        prompt=prompt,
        cue=cue,
        description=told,
        target=translation,
        # Every demonstration is one for every document.
        pool="translation",
        fields={"source": sentence},
    )


@cache
def _demonstrations() -> Sequence[Mapping[str, str]]:
    path = Path(__file__).with_name("translation_demonstrations.yaml")
    sentences: list[Mapping[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return sentences


def translation_scores(document: Document, responses: Sequence[Response]) -> Mapping[str, Any]:
    """Return the pair of reference and translation for every corpus score, and the metrics of its language."""
    text, language = responses[0].text, document.condition.languages["answer"]
    pair = (document.target, text)
    return {**dict.fromkeys(("bleu", "chrf", "chrf++", "sacrebleu"), pair), **language_scores(text, language)}


def sacrebleu_signatures(pairs: Sequence[tuple[str, str]]) -> str:
    """Return sacrebleu's signatures in place of a score, so that they stand in the results."""
    return signatures()


def _mean(name: str, directions: Sequence[tuple[str, str]]) -> Group:
    leaves = tuple(f"{source}_{target}" for source, target in directions)
    return Group(name, leaves, ("bleu", "chrf", "chrf++", "language_fidelity"), by_size=False)


_DIRECTIONS = [(source, target) for source in FIVE for target in FIVE if source != target]
_GREEDY = Form(
    "generate",
    translation_scores,
    (
        Metric("bleu", "bleu"),
        Metric("chrf", "chrf"),
        Metric("chrf++", "lm_eval_xling.metrics.translation_quality.chrf_plus_plus"),
        # sacrebleu's signatures in place of a score, so that they stand in the results.
        Metric("sacrebleu", "lm_eval_xling.families.translation.sacrebleu_signatures"),
        *FIDELITY_METRICS,
    ),
    max_tokens=256,
    stops=("\n",),
)
_CHAT = replace(_GREEDY, name="chat", messages="system", shots=0, stops=())
_SAMPLED = {"do_sample": True, "temperature": 0.7, "top_p": 1.0}

FAMILY = Family(
    name="translation",
    summary="The FLORES sample of Chua et al., BLEU and chrF",
    datasets=("flores",),
    parameters=TranslationParameters,
    forms={
        "generate": replace(_GREEDY, paper=replace(_GREEDY, generation={"num_beams": 5})),
        "chat": replace(_CHAT, paper=replace(_CHAT, max_tokens=64, generation=_SAMPLED)),
    },
    leaves=tuple(
        Leaf(
            f"{source}_{target}",
            "generate",
            {"source": source, "target": target},
            ("missing", "preset"),
            alternatives=("chat",),
        )
        for source, target in _DIRECTIONS
    ),
    documents=_documents,
    needs=_needs,
    groups=(
        _mean("from_english", [pair for pair in _DIRECTIONS if pair[0] == "en"]),
        _mean("into_english", [pair for pair in _DIRECTIONS if pair[1] == "en"]),
        _mean("without_english", [pair for pair in _DIRECTIONS if "en" not in pair]),
    ),
    version=1.1,
)
