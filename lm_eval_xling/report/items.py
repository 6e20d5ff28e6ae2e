"""The items that a reader can open on the page: texts from the samples files, and what each model chose.

Only a sample of the items is shown where there are many, because the texts of all would make the page too large:
half of it are items on which conditions or models disagree most, the rest is drawn by a stable hash of the id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lm_eval_xling.report.blocks import Block
from lm_eval_xling.report.conditions import UNKNOWN, condition_of, in_words
from lm_eval_xling.report.evaluations import Samples

__all__ = ["ItemGroup", "item_groups"]

_BUDGET = 8_000_000  # characters of all groups together, about as many bytes of the page
_MOST_ITEMS = 200
_LONGEST = 1_500


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """The shown items of one family in one setting."""

    family: str
    """Family."""
    setting: str
    """Label of the setting."""
    shown: int
    """Number of items on the page."""
    total: int
    """Number of items of the group."""
    data: dict[str, Any]
    """What the page's script reads, JSON-able: ``conditions``, ``models`` and ``items``."""


def item_groups(blocks: Sequence[Block]) -> list[ItemGroup]:
    """Return the items to show, a group for each family and setting."""
    keys = list(dict.fromkeys((block.family, block.setting.label) for block in blocks))
    return [
        _group(family, setting, [b for b in blocks if (b.family, b.setting.label) == (family, setting)], len(keys))
        for family, setting in keys
    ]


def _group(family: str, setting: str, blocks: Sequence[Block], groups: int) -> ItemGroup:
    conditions = list(dict.fromkeys(e.name for block in blocks for e in block.evaluations))
    ids = list(dict.fromkeys(item for block in blocks for item in block.ids))
    # A shown condition of an item takes about a thousand characters.
    most = max(10, min(_MOST_ITEMS, _BUDGET // (1000 * groups * len(conditions))))
    chosen = _selected(blocks, ids, most)
    items: dict[str, dict[str, Any]] = {item: {"id": item, "conditions": {}} for item in chosen}
    for model, block in enumerate(blocks):
        column = {item: index for index, item in enumerate(block.ids)}
        for row, evaluation in enumerate(block.evaluations):
            assert evaluation.samples is not None
            condition = conditions.index(evaluation.name)
            present = [item for item in chosen if item in column and block.positions[row, column[item]] >= 0]
            texts = {item for item in present if condition not in items[item]["conditions"]}
            generated = evaluation.samples.scores is None
            wanted = present if generated else [item for item in present if item in texts]
            lines = _lines(evaluation.samples, [int(block.positions[row, column[item]]) for item in wanted])
            found = dict(zip(wanted, lines, strict=True))
            for item in present:
                shown = items[item]["conditions"].setdefault(condition, {"answers": {}})
                if item in texts:
                    shown.update(_texts(found[item]["doc"]))
                    if block.subjects[column[item]]:
                        items[item].setdefault("subject", block.subjects[column[item]])
                score = block.scores[row, column[item]]
                shown["answers"][model] = {
                    "chosen": int(block.chosen[row, column[item]]),
                    "score": round(float(score), 4) if np.isfinite(score) else None,
                    **({"text": _response(found[item])} if generated else {}),
                }
    told = {e.name: in_words(e.condition) for block in blocks for e in block.evaluations}
    shown_names = [f"{told[name]} · {name}" if told[name] else name for name in conditions]
    data = {"conditions": shown_names, "models": [block.model.label for block in blocks], "items": list(items.values())}
    return ItemGroup(family, setting, len(items), len(ids), data)


def _selected(blocks: Sequence[Block], ids: Sequence[str], most: int) -> list[str]:
    if len(ids) <= most:
        return list(ids)
    spread: dict[str, float] = dict.fromkeys(ids, 0.0)
    for block in blocks:
        finite = np.isfinite(block.scores)
        known = np.where(finite, block.scores, 0.0)
        count = np.maximum(finite.sum(axis=0), 1)
        variance = (known**2).sum(axis=0) / count - (known.sum(axis=0) / count) ** 2
        for item, value in zip(block.ids, variance, strict=True):
            spread[item] += float(value)
    by_hash = sorted(ids, key=lambda item: hashlib.blake2b(item.encode(), digest_size=8).digest())
    disagreeing = sorted(by_hash, key=lambda item: -spread[item])[: most // 2]
    rest = set(disagreeing)
    return disagreeing + [item for item in by_hash if item not in rest][: most - len(disagreeing)]


def _lines(samples: Samples, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Parse the lines of some items again; the file was read once already, so each of them is known to parse."""
    parsed = []
    with open(samples.path, "rb") as stream:
        for row in rows:
            stream.seek(int(samples.offsets[row]))
            parsed.append(json.loads(stream.readline()))
    return parsed


def _texts(doc: dict[str, Any]) -> dict[str, Any]:
    keys = ("condition", "placement", "question_language", "answer_language", "languages")
    condition = condition_of(*(doc.get(key) for key in keys), form="") or UNKNOWN
    # Where letters are scored, the choices are letters, and the options stand beside them.
    given = doc.get("options") or doc.get("choices") or []
    options = [str(option) for option in given] if isinstance(given, list) else []
    named = condition.options if len(condition.options) == len(options) else [condition.answer] * len(options)
    question = (
        doc.get("prompt")
        or doc.get("question")
        or "\n".join(f"{key}: {value}" for key, value in doc.items() if isinstance(value, str) and key != "id")
    )
    if doc.get("cue"):
        question = f"{question}\n{doc['cue']}"
    answer = doc.get("answer")
    return {
        "question": _cut(str(question)),
        "language": condition.question,
        "options": [[_cut(option), language] for option, language in zip(options, named, strict=True)],
        "answer": answer if isinstance(answer, int) else -1,
        "target": _cut(str(doc.get("target") or "")) if not options else "",
        "target_language": condition.answer,
    }


def _response(line: dict[str, Any]) -> str:
    responses = line.get("filtered_resps") or [""]
    first = responses[0]
    return _cut(str(first[0] if isinstance(first, list) and first else first))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
