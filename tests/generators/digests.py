"""Digests of what every leaf sends to a model and of how it scores fixed answers: what a redesign must not change.

Run as ``XLING_DATA=MIRROR python -m tests.generators.digests FILE``. Everything goes through the harness's own task
objects, so that the digests of two states of the code can be compared.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from lm_eval_xling.errors import UserError
from lm_eval_xling.harness import tasks_folder

__all__ = ["VARIANTS", "changed", "digests"]

_FIVE = ["en", "fr", "de", "es", "it"]

LEXICON = "lexicon:WORDS"
"""A value of ``translator`` that stands for a lexicon of some frequent English words and German ones."""

_WORDS = (
    "the die\na ein\nof von\nin im\nis ist\nand und\nman Mann\nquestion Frage\nwhich welche\nwho wer\nsecond zweite\n"
)

VARIANTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *(
        (f"xling_mmlu_{leaf}", parameters)
        for leaf in ("question_de", "mixup", "onewrong_it")
        for parameters in (
            {"demos": "placement"},
            {"option_ids": "1-4", "awareness": "any_language"},
            {"option_ids": "C-F", "awareness": "question_and_options", "demos": "placement"},
            # Nothing is drawn where the question alone is translated.
            {**({} if leaf == "question_de" else {"seed": 1}), "missing": "drop", "equal_options": "drop"},
        )
    ),
    ("xling_mmlu_mixup_paper", {"demos": "placement"}),
    ("xling_mmlu_gt_fr", {"base_language": "de"}),
    ("xling_mmlu_mixup", {"languages": ["it", "es", "de", "fr", "en"]}),
    ("xling_mmlu_mixup_translate", {"seed": 3, "option_ids": "1-4"}),
    ("xling_hp_en", {"preset": "paper"}),
    ("xling_hp_question_fr", {"preset": "paper", "option_ids": "C-F"}),
    ("xling_hp_mixup", {"preset": "paper", "seed": 2, "form": "generate"}),
    ("xling_mmlu_mixup", {"preset": "paper", "awareness": "any_language"}),
    ("xling_mmlu_generate_full_de", {"preset": "paper", "demos": "placement"}),
    ("xling_mmlu_mixup_translate", {"preset": "paper"}),
    ("xling_hp_gt_question_es", {"base_language": "it"}),
    ("xling_atlas_fr_es", {"form": "letters"}),
    ("xling_atlas_fr_es", {"relations": ["capital", "currency"], "equal_options": "drop"}),
    ("xling_atlas_pair", {"question_language": "sw", "answer_language": "hi"}),
    ("xling_atlas_pair", {"question_language": "ja", "answer_language": "is", "form": "letters"}),
    ("xling_atlas_mixup", {"form": "cloze", "seed": 1}),
    ("xling_atlas_mixup", {"option_ids": "1-4", "languages": _FIVE[::-1]}),
    *(
        (f"xling_{family}_{language}", {"labels": labels})
        for family in ("sentiment", "nli", "paraphrase")
        for language in ("en", "de", "zh", "sw", "no", "ja")
        for labels in ("native", "agnostic")
    ),
    ("xling_sentiment_en", {"language": "German", "missing": "drop"}),
    ("xling_paraphrase_de", {"drop_identical": True}),
    *((f"xling_tofu_{leaf}", {"form": "letters"}) for leaf in ("real_authors_ko_en", "world_facts_fr_fr")),
    ("xling_tofu_forget01_fr_en", {"split": "forget10", "question_language": "en", "answer_language": "fr"}),
    ("xling_tofu_full_en_en", {"split": "retain_perturbed"}),
    ("xling_tofu_forget01_en_en_generate", {"split": "real_authors"}),
    ("xling_tofu_forget01_switched", {"unit": "sentence", "seed": 1, "languages": ["en", "hi", "ru"]}),
    ("xling_tofu_forget01_switched_generate", {"words": 3, "answer_language": "fr"}),
    ("xling_math_mgsm_native_de", {"question_language": "th", "demos_language": "sw", "reasoning_language": "en"}),
    ("xling_math_mgsm_switched", {"languages": ["zh", "ja", "te"], "seed": 5}),
    ("xling_math_msvamp_switched", {"languages": ["bn", "ru"], "demos_language": "bn", "missing": "drop"}),
    ("xling_qa_xquad_en_de", {"context_language": "vi", "question_language": "zh"}),
    ("xling_qa_belebele_full_fr", {"options_language": "it", "context_language": "es", "option_ids": "C-F"}),
    ("xling_translation_it_es", {"missing": "drop"}),
    ("xling_mmlu_question_de", {"languages": ["es"], "switched": 40, "seed": 2}),
    ("xling_mmlu_mixup", {"demos": "to_english"}),
    ("xling_mmlu_full_it", {"switched": 25, "matrix": "base", "words": 2, "base_language": "fr"}),
    ("xling_hp_full_fr", {"switched": 60, "unit": "sentence", "preset": "paper"}),
    ("xling_qa_belebele_context_es", {"switched": 50, "unit": "sentence"}),
    ("xling_qa_belebele_full_de", {"switched": 50, "matrix": "base", "question_language": "fr"}),
    ("xling_nli_sw", {"demos": "to_english", "switched": 30}),
    ("xling_sentiment_zh", {"demos": "from_english", "labels": "native"}),
    ("xling_paraphrase_th", {"switched": 50, "matrix": "base", "drop_identical": True}),
    ("xling_nli_de", {"switched": 50, "matrix": "base", "unit": "word", "translator": LEXICON}),
    ("xling_hp_question_de", {"switched": 80, "matrix": "base", "translator": LEXICON}),
    ("xling_math_mgsm_native_ja", {"demos": "to_english"}),
    ("xling_math_msvamp_direct_bn", {"demos": "from_english", "reasoning_language": "en"}),
    ("xling_tofu_forget01_switched", {"languages": ["fr", "en"], "words": 5}),
)
"""Leaves with parameters other than their own, as in ``--metadata '{"xling": {…}}'``."""

_SHOTS = (("xling_atlas_fr_es", 2), ("xling_atlas_mixup", 3), ("xling_mmlu_mixup_translate", 2), ("xling_nli_sw", 3))
"""Leaves with another number of demonstrations than their own."""

_COUNTED = ("xling_tofu_forget01_en_en", "xling_tofu_world_facts_hi_en", "xling_tofu_real_authors_ja_ja")
"""Leaves whose answers are also counted in tokens, of a tokenizer with a token a byte."""

_UNSTABLE = ("language_", "right_in_", "wrong_in_", "exact_match", "f1")
"""Beginnings of the metrics that are judgements on free text, which are held to their own tests."""

_JUDGED = 40
"""Documents of a generating leaf whose answers are scored."""

_WRONG = "This is no answer to that.\n\nAnswer: B"


def digests(tasks: list[str] | None = None) -> dict[str, list[str]]:
    """Return, for each leaf and each leaf with parameters, the digest of its requests and that of its scores.

    Args:
        tasks: the leaves; all of them, and all ``VARIANTS``, if not given.
    """
    return dict(_all(tasks))


def _all(tasks: list[str] | None) -> Iterator[tuple[str, list[str]]]:
    manager = _manager({})
    for name in manager.all_subtasks if tasks is None else tasks:
        yield name, _digest(manager, name, None)
    if tasks is not None:
        return
    for name, shots in _SHOTS:
        yield f"{name} --num_fewshot {shots}", _digest(manager, name, shots)
    yield from variants(VARIANTS)
    with tempfile.TemporaryDirectory() as folder:
        from tests.tiny import tokenizer

        tokenizer().save_pretrained(folder)
        counting = _manager({"tokenizer": folder})
        for name in _COUNTED:
            yield f"{name} tokenizer=bytes", _digest(counting, name, None)


def variants(named: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the digests of leaves with parameters, by name and parameters."""
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words.txt")
        words.write_text(_WORDS, encoding="utf-8")
        for name, parameters in named:
            key = f"{name} {json.dumps(parameters, ensure_ascii=False, sort_keys=True)}"
            given = {**parameters}
            if given.get("translator") == LEXICON:
                given["translator"] = f"lexicon:{words}"
            yield key, _digest(_manager({"xling": given}), name, None)


def _manager(metadata: Mapping[str, Any]) -> TaskManager:
    return TaskManager(include_path=str(tasks_folder()), include_defaults=False, metadata=dict(metadata) or None)


def _digest(manager: TaskManager, name: str, shots: int | None) -> list[str]:
    """Digests of the requests and of the scores of all documents of a leaf."""
    task = manager.load([name])["tasks"][name]
    if shots is None:
        shots = task.config.num_fewshot or 0
    asked, scored = hashlib.sha256(), hashlib.sha256()
    judged = True
    for row, document in enumerate(task.eval_docs):
        try:
            context = task.fewshot_context(document, shots, gen_prefix=task.doc_to_prefix(document))
        except UserError:
            # Too few demonstrations of a subject: which documents are refused is a part of the digest.
            _add(asked, [document["id"], "refused"])
            continue
        built = task.construct_requests(document, context, metadata=(name, row, 1))
        instances = built if isinstance(built, list) else [built]
        _add(asked, [document["id"], *([instance.request_type, *instance.arguments] for instance in instances)])
        if instances[0].request_type == "generate_until":
            # Judging languages is slow, and its results are left out.
            answers: list[list[Any]] = [[str(task.doc_to_target(document))], [_WRONG]] if row < _JUDGED else []
        else:
            answers = [[_response(*instance.arguments[:2]) for instance in instances]]
        for answer in answers:
            found = _stable(task.process_results(document, answer)) if judged else {}
            # The metrics of a task are the same for all documents: where none is stable, the judging can be saved.
            judged = bool(found)
            _add(scored, found)
    return [asked.hexdigest()[:32], scored.hexdigest()[:32]]


def _add(digest: Any, value: Any) -> None:
    digest.update(json.dumps(value, ensure_ascii=False, sort_keys=True).encode() + b"\n")


def _response(context: str, continuation: str) -> tuple[float, bool]:
    """A log-likelihood in [-64, 0) and whether the continuation is the greedy one, both from the texts alone."""
    number = int.from_bytes(hashlib.sha256(f"{context}\x1f{continuation}".encode()).digest()[:6], "big")
    return -64 * (number + 1) / 2**48, number % 5 == 0


def _stable(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The scores to ten digits, without those of free text."""
    return {
        name: float(f"{float(value):.10g}") if not isinstance(value, tuple | list) else list(value)
        for name, value in scores.items()
        if not name.startswith(_UNSTABLE)
    }


def changed(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> list[str]:
    """Return one line for every key that is new, gone, or has other requests or scores."""
    lines = [f"{key}: only before" for key in before if key not in after]
    lines += [f"{key}: only after" for key in after if key not in before]
    for key in before:
        for kind, old, new in zip(("requests", "scores"), before[key], after.get(key, before[key]), strict=True):
            if old != new:
                lines.append(f"{key}: other {kind}")
    return lines


def main() -> None:
    """Write the digests to a file, or compare with one: ``--against FILE``."""
    if sys.argv[1] == "--against":
        lines = changed(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")), digests())
        print("\n".join(lines) or "nothing changed")
        sys.exit(1 if lines else 0)
    text = json.dumps(digests(), ensure_ascii=False, indent=0, sort_keys=True)
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
