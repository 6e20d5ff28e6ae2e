"""Tiny random sequence-to-sequence models with tokenizers of their own kind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'"
_TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs!",
    "How vexingly quick daft zebras jump?",
    "0123456789, sphinx of black quartz; judge my vow.",
    "THE QUICK BROWN FOX JUMPS OVER A LAZY DOG",
] * 20
_SHAPE = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
    # Large weights: what comes out must depend on every token that goes in.
    "init_std": 0.3,
}


def _pieces(path: Path) -> list[str]:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXT),
        model_writer=model,
        vocab_size=90,
        hard_vocab_limit=False,
        minloglevel=2,
        bos_id=-1,
    )
    path.write_bytes(model.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]


def _vocabulary(pieces: list[str], first: list[str], path: Path) -> int:
    tokens = list(dict.fromkeys([*first, *pieces]))
    path.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    return len(tokens)


def nllb(folder: Path) -> None:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS]
    tokenizer = NllbTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=128
    )
    tokenizer.save_pretrained(folder)
    config = M2M100Config(vocab_size=len(tokenizer), **_SHAPE)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


def m2m100(folder: Path) -> None:
    count = _vocabulary(
        _pieces(folder / "sentencepiece.bpe.model"), ["<s>", "<pad>", "</s>", "<unk>"], folder / "vocab.json"
    )
    tokenizer = M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), model_max_length=128
    )
    tokenizer.save_pretrained(folder)
    config = M2M100Config(vocab_size=count + 108, **_SHAPE)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


def madlad(folder: Path) -> None:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=128)
    tokenizer.add_tokens(["<2fr>", "<2de>", "<2fil>"])
    tokenizer.save_pretrained(folder)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def save_marian(folder: Path, tags: list[str], source: str, target: str, *, unused: int = 0, **shape: float) -> None:
    pieces = _pieces(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    fill = [f"unused{number}" for number in range(unused)]
    count = _vocabulary([*pieces, *fill], ["</s>", "<unk>", *tags], folder / "vocab.json")
    values = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps({**values, "<pad>": count}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        source_lang=source,
        target_lang=target,
        model_max_length=128,
    )
    tokenizer.save_pretrained(folder)
    config = MarianConfig(
        vocab_size=count + 1,
        pad_token_id=count,
        eos_token_id=0,
        decoder_start_token_id=count,
        forced_eos_token_id=0,
        **{**_SHAPE, **shape},
    )
    MarianMTModel(config).save_pretrained(folder)


def marian(folder: Path) -> None:
    save_marian(folder, [], "en", "de")


def marian_multilingual(folder: Path) -> None:
    save_marian(folder, [">>fra<<", ">>deu<<"], "eng", "mul")


MAKERS: dict[str, Callable[[Path], None]] = {
    "nllb": nllb,
    "m2m100": m2m100,
    "madlad": madlad,
    "marian": marian,
    "marian_multilingual": marian_multilingual,
}


def save(kind: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    MAKERS[kind](folder)
    return folder
