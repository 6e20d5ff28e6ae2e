"""Question alignment: learn to translate a task's questions, never its answers (Zhang et al. 2024, arXiv 2405.13816).

A few thousand questions in one or a few languages, translated into English, are enough to raise accuracy on tasks
and in languages that were not trained. Run by ``xling train align``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from transformers import set_seed

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import resolve, resolve_all
from lm_eval_xling.pairs import Questions, catalog_questions, pair_questions, published_questions, split_pairs
from lm_eval_xling.training.configuration import AlignmentConfig, PairData
from lm_eval_xling.training.fitting import disk_errors, fit, training_arguments
from lm_eval_xling.training.loading import load_model, load_tokenizer
from lm_eval_xling.training.monitoring import plot_losses
from lm_eval_xling.training.publishing import DataFile, claim, describe_files, finished, publish
from lm_eval_xling.training.tokenizing import encode_pairs

__all__ = ["align"]


def align(config: AlignmentConfig) -> Path:
    """Train an adapter by question alignment, or continue where a killed run stopped.

    Returns:
        The folder that ``lm_eval --model_args peft=…`` takes.

    Raises:
        UserError: if configuration, data or disk do not allow the run.
    """
    questions, data = _read(config.data)
    sources = config.data.sources or tuple(code for code in questions if code != resolve(config.data.target).code)
    pairs = pair_questions(questions, sources, config.data.target, limit=config.data.limit)
    seed = int(config.training.get("seed", 42))
    train, validation = split_pairs(pairs, config.validation, seed=seed)
    if not train or (config.validation and not validation):
        raise UserError(
            f"{len(pairs)} pairs are too few: {len(train)} to train on, {len(validation)} to validate on",
            where="data",
            fix="give more pairs, or validation=0",
        )
    arguments = training_arguments(config)
    with arguments.main_process_first(desc="claiming the output folder"), disk_errors(config.output):
        claim(config, data)
    if (folder := finished(config)) is not None:
        return folder
    tokenizer = load_tokenizer(config)
    set_seed(seed)
    model = load_model(config)
    fitted = fit(
        model,
        tokenizer,
        config,
        encode_pairs(train, tokenizer, config.data.cutoff),
        encode_pairs(validation, tokenizer, config.data.cutoff),
    )
    with arguments.main_process_first(desc="saving"), disk_errors(config.output):
        if (folder := finished(config)) is not None:
            return folder
        plot_losses(config.output / "metrics.jsonl", config.output / "loss.png")
        return publish(
            fitted,
            tokenizer,
            config,
            recipe="question alignment",
            languages=resolve_all([*sources, config.data.target]),
            data=data,
        )


def _read(data: PairData) -> tuple[Questions, list[DataFile]]:
    """Return the questions by language, and what they were read from."""
    if data.files and data.dataset is None:
        return published_questions(data.files), describe_files(data.files)
    if data.dataset is not None and not data.files:
        languages = resolve_all([*data.sources, data.target])
        questions = catalog_questions(data.dataset, data.split, languages)
        return questions, [
            DataFile(f"{data.dataset}/{data.split}/{code}", hashlib.sha256(json.dumps(rows).encode()).hexdigest())
            for code, rows in questions.items()
        ]
    raise UserError(
        "data.files and data.dataset are both given" if data.files else "no pairs are given",
        where="data",
        fix="set data.files=[pairs.json, …], or data.dataset=nli with data.sources=[zh, …]",
    )
