"""Mixed-language fine-tuning: causal-LM training on text whose units stand in different languages.

Chua et al. 2024 (arXiv 2406.16135, section 4.2) fine-tune on WikiText with each sentence or chunk in a random language,
and find a smaller crosslingual barrier than after English-only fine-tuning on the same documents
(``data.text=source``). Run by ``xling train mixed``.
"""

from __future__ import annotations

from pathlib import Path

from transformers import set_seed

from lm_eval_xling.errors import UserError
from lm_eval_xling.training.configuration import MixedConfig
from lm_eval_xling.training.corpora import held_out_share, held_out_texts, mixed_languages, packed_blocks
from lm_eval_xling.training.fitting import disk_errors, fit, training_arguments
from lm_eval_xling.training.publishing import claim, describe_files, finished, publish
from lm_eval_xling.training.stacking import describe_adapters, merge_adapters
from lm_eval_xling.training.tokenizing import cut_texts
from lm_eval_xling.training.trainable import load_model, load_tokenizer

__all__ = ["train_mixed"]


def train_mixed(config: MixedConfig) -> Path:
    """Train on a mixed corpus, or continue where a killed run stopped.

    Returns:
        The folder that ``lm_eval --model_args peft=…`` takes (``pretrained=…`` after full fine-tuning).

    Raises:
        UserError: if configuration, data or disk do not allow the run.
    """
    languages = mixed_languages(config.data)
    share = held_out_share(config.data)
    data = describe_files(config.data.corpus) + describe_adapters(config)
    arguments = training_arguments(config)
    with arguments.main_process_first(local=False, desc="claiming the output folder"), disk_errors(config.output):
        claim(config, data)
        if (folder := finished(config)) is not None:
            return folder
        config = merge_adapters(config)
    tokenizer = load_tokenizer(config)
    seed = config.seed
    set_seed(seed)
    model, config = load_model(config, arguments.device)
    with arguments.main_process_first(local=False, desc="packing the corpus"), disk_errors(config.output):
        blocks = packed_blocks(
            config.data,
            tokenizer,
            config.output / "blocks",
            [file.sha256 for file in data],
            share=share,
            batching=config.batching,
        )
    train, validation = blocks, ()
    if config.validation:
        if len(blocks) < 2:
            raise UserError("one block cannot be split", where="validation", fix="validation=0, or a smaller block")
        parts = blocks.train_test_split(config.validation, seed=seed)
        train, validation = parts["train"], parts["test"]
    held_out = {
        f"text held out, {code}": list(cut_texts(texts, tokenizer, config.data.block))
        for code, texts in held_out_texts(config.data, share).items()
    }
    fitted = fit(model, tokenizer, config, train, validation, held_out)
    del model  # It is loaded anew to be compared, and a large one does not fit twice.
    with arguments.main_process_first(local=False, desc="saving"), disk_errors(config.output):
        return publish(
            fitted,
            tokenizer,
            config,
            recipe="mixed-language fine-tuning" if config.data.text == "mixed" else "source-language fine-tuning",
            languages=languages,
            data=data,
        )
