"""Question alignment: learn to translate a task's questions, never its answers (Zhang et al. 2024, arXiv 2405.13816).

A few thousand questions in one or a few languages, translated into English, are enough to raise accuracy on tasks
and in languages that were not trained. Run by ``xling train align``.
"""

from __future__ import annotations

from pathlib import Path

from transformers import set_seed

from lm_eval_xling.errors import UserError
from lm_eval_xling.pairs import split_pairs
from lm_eval_xling.training.configuration import AlignmentConfig
from lm_eval_xling.training.fitting import disk_errors, fit, training_arguments
from lm_eval_xling.training.pair_rows import read_pairs
from lm_eval_xling.training.publishing import claim, finished, publish
from lm_eval_xling.training.stacking import describe_adapters, merge_adapters
from lm_eval_xling.training.tokenizing import encode_pairs
from lm_eval_xling.training.trainable import load_model, load_tokenizer

__all__ = ["align"]


def align(config: AlignmentConfig) -> Path:
    """Train an adapter by question alignment, or continue where a killed run stopped.

    Returns:
        The folder that ``lm_eval --model_args peft=…`` takes.

    Raises:
        UserError: if configuration, data or disk do not allow the run.
    """
    pairs, data = read_pairs(config.data)
    seed = config.seed
    train, validation = split_pairs(pairs, config.validation, seed=seed)
    if not train or (config.validation and not validation):
        raise UserError(
            f"{len(pairs)} pairs are too few: {len(train)} to train on, {len(validation)} to validate on",
            where="data",
            fix="give more pairs, or validation=0",
        )
    languages = tuple(dict.fromkeys(pair.source_language for pair in pairs))
    data += describe_adapters(config)
    arguments = training_arguments(config)
    with arguments.main_process_first(local=False, desc="claiming the output folder"), disk_errors(config.output):
        claim(config, data)
        if (folder := finished(config)) is not None:
            return folder
        config = merge_adapters(config)
    tokenizer = load_tokenizer(config)
    set_seed(seed)
    model, config = load_model(config, arguments.device)
    fitted = fit(
        model,
        tokenizer,
        config,
        encode_pairs(train, tokenizer, config.data.cutoff),
        encode_pairs(validation, tokenizer, config.data.cutoff),
        {
            f"questions held out, {code} to {pairs[0].target_language}": encode_pairs(
                [pair for pair in validation if pair.source_language == code], tokenizer, config.data.cutoff
            )
            for code in languages
            if any(pair.source_language == code for pair in validation)
        },
    )
    del model  # It is loaded anew to be compared, and a large one does not fit twice.
    with arguments.main_process_first(local=False, desc="saving"), disk_errors(config.output):
        return publish(
            fitted,
            tokenizer,
            config,
            recipe="question alignment",
            languages=(*languages, pairs[0].target_language),
            data=data,
        )
