"""Teaching facts: questions and answers in chosen languages, to be asked in others.

Maini et al. 2024 (TOFU, arXiv 2401.06121) teach facts that no model knows; Chua et al. 2024 (arXiv 2406.16135) ask such
facts in languages in which they were not taught. What else is learnt in the same run (mixed text, question pairs, other
facts) is what mitigations are compared by. Run by ``xling train facts``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import ConcatDataset
from transformers import set_seed

from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Fact
from lm_eval_xling.training.batching import Example
from lm_eval_xling.training.configuration import FactsConfig, FactSource, OtherText
from lm_eval_xling.training.corpora import corpus_languages, held_out_share, held_out_texts, packed_blocks
from lm_eval_xling.training.fact_rows import describe_facts, encode_facts, read_facts, split_facts
from lm_eval_xling.training.fitting import disk_errors, fit, training_arguments
from lm_eval_xling.training.pair_rows import read_pairs
from lm_eval_xling.training.publishing import claim, describe_files, finished, publish
from lm_eval_xling.training.stacking import describe_adapters, merge_adapters
from lm_eval_xling.training.tokenizing import cut_texts, encode_pairs
from lm_eval_xling.training.trainable import load_model, load_tokenizer

__all__ = ["teach"]

_WATCHED = 200
"""Facts of each language whose loss is printed, the first ones: enough to tell whether they are learnt."""


def teach(config: FactsConfig, facts: Iterable[Fact] | None = None) -> Path:
    """Teach facts, or continue where a killed run stopped.

    Args:
        config: the run's configuration.
        facts: what to teach, in place of the files and the dataset that the configuration names.

    Returns:
        The folder that ``lm_eval --model_args pretrained=…`` takes (``peft=…`` with ``lora``).

    Raises:
        UserError: if configuration, data or disk do not allow the run.
    """
    _check_mixture(config.data.mixture)
    if facts is None:
        facts, data = read_facts(config.data)
    else:
        facts = list(facts)
        data = describe_facts(facts)
    text, pair_data = config.data.mixture.text, config.data.mixture.pairs
    beside = config.data.mixture.facts
    others, other_files = read_facts(beside) if beside != FactSource() else ([], [])
    pairs, pair_files = read_pairs(pair_data) if pair_data.files or pair_data.dataset else ([], [])
    languages = [fact.language for fact in (*facts, *others)]
    languages += [code for pair in pairs for code in (pair.source_language, pair.target_language)]
    languages += corpus_languages(text) if text.corpus else ()
    share = held_out_share(text)
    data += [*describe_files(text.corpus), *pair_files, *other_files, *describe_adapters(config)]
    seed = config.seed
    taught, held_out = split_facts(facts, config.validation, seed)
    if not taught or (config.validation and not held_out):
        raise UserError(
            f"{len(facts)} facts are too few: {len(taught)} to teach, {len(held_out)} to hold out",
            where="data",
            fix="give more facts, or validation=0",
        )
    arguments = training_arguments(config)
    with arguments.main_process_first(local=False, desc="claiming the output folder"), disk_errors(config.output):
        claim(config, data)
        if (folder := finished(config)) is not None:
            return folder
        config = merge_adapters(config)
    tokenizer = load_tokenizer(config)
    set_seed(seed)
    model, config = load_model(config, arguments.device)
    parts: list[Any] = [encode_facts(taught, tokenizer, config.data, seed=seed)]
    if others:
        parts.append(encode_facts(others, tokenizer, config.data, seed=seed))
    if pairs:
        parts.append(encode_pairs(pairs, tokenizer, pair_data.cutoff))
    if text.corpus:
        hashes = [file.sha256 for file in data]
        with arguments.main_process_first(local=False, desc="packing the corpus"), disk_errors(config.output):
            blocks = config.output / "blocks"
            parts.append(packed_blocks(text, tokenizer, blocks, hashes, share=share, batching=config.batching))
    watched = {
        f"{name}, {code}": encode_facts(
            [fact for fact in part if fact.language == code][:_WATCHED], tokenizer, config.data, seed=seed
        )
        for name, part in (("answers taught", taught), ("answers held out", held_out), ("other answers", others))
        for code in dict.fromkeys(fact.language for fact in part)
    }
    for code, texts in held_out_texts(text, share).items():
        watched[f"text held out, {code}"] = list(cut_texts(texts, tokenizer, text.block))
    validation = encode_facts(held_out, tokenizer, config.data, seed=seed)
    fitted = fit(model, tokenizer, config, ConcatDataset[Example](parts), validation, watched)
    del model  # It is loaded anew to be compared, and a large one does not fit twice.
    with arguments.main_process_first(local=False, desc="saving"), disk_errors(config.output):
        return publish(
            fitted,
            tokenizer,
            config,
            recipe="teaching facts",
            languages=languages,
            data=data,
        )


def _check_mixture(mixture: OtherText) -> None:
    """Refuse settings of text or pairs that no key names."""
    nothing = OtherText()
    for key, given, named, fix in (
        ("pairs", mixture.pairs != nothing.pairs, mixture.pairs.files or mixture.pairs.dataset, "files=[pairs.json]"),
        ("text", mixture.text != nothing.text, mixture.text.corpus, "corpus=[mixed.jsonl]"),
    ):
        if given and not named:
            where = f"data.mixture.{key}"
            raise UserError("it says how data is read, and names none", where=where, fix=f"set {where}.{fix} too")
