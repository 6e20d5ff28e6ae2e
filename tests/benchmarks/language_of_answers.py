"""The tables of ``language_fidelity`` in the task READMEs: gold answers of each task, judged in every language.

    XLING_DATA=mirror python -m tests.benchmarks.language_of_answers

A gold answer is in its language by definition, so that ``language_fidelity`` should be 1 in it and 0 in every other.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

from lm_eval_xling import catalog, families
from lm_eval_xling.errors import UserError
from lm_eval_xling.metrics.fidelity import NEIGHBOURS, is_in_language

SAMPLE = 200
SPLITS = {"tofu": ("full", "retain99", "forget01", "real_authors", "world_facts"), "xquad": ("validation",)}
LANGUAGES = {
    "tofu": "en fr ar fa he hi id ja ko ru".split(),
    "xquad": "en ar de el es hi ro ru th tr vi zh".split(),
    "flores": "en fr de es it".split(),
}


def gold_answers() -> Iterator[tuple[str, str, str]]:
    """Family, language and text of every gold answer that the mirror has."""
    path = Path(families.__file__).with_name("math_demonstrations.yaml")
    for problem in yaml.safe_load(path.read_text(encoding="utf-8")):
        for language in problem:
            if language != "answer":
                yield "math", language, problem[language]["steps"]
    for dataset, languages in LANGUAGES.items():
        for language in languages:
            for split in SPLITS.get(dataset, ("devtest",)):
                try:
                    rows = catalog.load_rows(dataset, language, split)
                except UserError:
                    continue
                for row in rows:
                    answer = row.fields["sentence"] if dataset == "flores" else row.target
                    if answer is None and row.answer is not None:
                        answer = row.options[row.answer]
                    if answer:
                        name = {"xquad": "qa (XQuAD)", "flores": "translation"}.get(dataset, f"tofu ({split})")
                        yield name, language, answer


def main() -> None:
    """Print a table for each task."""
    texts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, language, answer in gold_answers():
        texts[name][language].add(answer)
    for name, by_language in texts.items():
        print(f"\n### {name}\n")
        print("| language | gold answers | `language_told` | `language_fidelity` | of other languages' answers |")
        print("|---|---|---|---|---|")
        drawn = {
            language: random.Random(0).sample(sorted(answers), min(SAMPLE, len(answers)))
            for language, answers in by_language.items()
        }
        for language, answers in drawn.items():
            own = [is_in_language(answer, language) for answer in answers]
            others = [
                is_in_language(answer, language)
                for other, given in drawn.items()
                if other != language and other not in NEIGHBOURS.get(language, ())
                for answer in given[:25]
            ]
            told, told_others = ([verdict for verdict in verdicts if verdict is not None] for verdicts in (own, others))
            shares = [
                f"{sum(verdicts) / len(verdicts):.3f}" if verdicts else "none told" for verdicts in (told, told_others)
            ]
            print(f"| {language} | {len(own)} | {len(told) / len(own):.3f} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
