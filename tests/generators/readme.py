"""The README's table of task families: leaves, languages and licences as the package has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.families.leaves import FAMILIES, family_leaves, languages_of

README = Path(__file__).resolve().parents[2] / "README.md"

_ROWS = {
    "atlas": ("Our own facts of countries, asked in one language and answered in another; no download", ("atlas",)),
    "mmlu": ("Crosslingual MMLU: nine placements of languages over question and options", ("mmlu", "mmlu_mixup")),
    "hp": ("Harry Potter quiz, monolingual and code-switched", ("hp",)),
    "sentiment": ("Amazon reviews, English, native or task-agnostic labels", ("sentiment",)),
    "nli": ("SNLI, the same label modes", ("nli",)),
    "paraphrase": ("PAWS, the same label modes", ("paraphrase",)),
    "tofu": ("Facts of invented authors, asked and answered in different languages", ("tofu",)),
    "math": ("MGSM and MSVAMP: languages of question, demonstrations and reasoning apart", ("mgsm", "msvamp")),
    "qa": ("XQuAD and Belebele: context, question and options in their own languages", ("xquad", "belebele")),
    "translation": ("The FLORES sample of Chua et al., BLEU and chrF", ("flores",)),
}


def files() -> Iterator[tuple[Path, str]]:
    """Yield the README with its table made anew."""
    lines = ["| family | what | leaves | languages | licence of the data |", "|---|---|---|---|---|"]
    for family in FAMILIES:
        what, datasets = _ROWS[family]
        leaves = family_leaves(family)
        licences = "; ".join(dict.fromkeys(DATASETS[name].licence for name in datasets))
        languages = " ".join(languages_of(leaves))
        lines.append(
            f"| [`xling_{family}`](tasks/{family}/README.md) | {what} | {len(leaves)} | {languages} | {licences} |"
        )
    table = "\n".join(lines)
    text = README.read_text(encoding="utf-8")
    yield (
        README,
        re.sub(r"(<!-- families -->\n).*?(\n<!-- end -->)", lambda m: m[1] + table + m[2], text, flags=re.DOTALL),
    )
