"""The models of ``hf:``, computed by CTranslate2: fused layers and 8-bit weights on CPU and GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lm_eval_xling.cache_folder import cache_folder
from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.models import choose_device, load_model, load_tokenizer, loading
from lm_eval_xling.translation.seq2seq import NO_MODEL, Search, Seq2SeqTranslator, TextBatch, model_config, version_of

__all__ = ["COMPUTE_TYPES", "CTranslate2Translator", "converted"]

COMPUTE_TYPES = (
    "float32",
    "bfloat16",
    "float16",
    "int16",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
)
"""CTranslate2's types: of the weights, and after the underscore of the rest. Not every device computes every one."""

_ARCHITECTURES = {"M2M100": "m2m_100", "Nllb": "m2m_100", "Marian": "marian", "T5": "t5"}
"""Beginning of the tokenizer's class ▸ architecture, for folders that are converted already."""


class CTranslate2Translator(Seq2SeqTranslator):
    """``ct2:MODEL``, the names of ``hf:`` or a folder of ``ct2-transformers-converter``; see ``Seq2SeqTranslator``.

    A model of transformers is converted on its first use, and kept in the cache. Options are ``batch_size``,
    ``beams`` (1: greedy), ``compute_type`` (float32; ``int8`` is fastest on CPU), ``device`` (a GPU when there is
    one), ``revision`` and, for a converted folder without tokenizer, ``tokenizer``.

    Beam search ends when as many outputs as beams are finished, that of transformers when none can become better.
    """

    kind = "ct2"
    defaults = {**Seq2SeqTranslator.defaults, "compute_type": "float32", "tokenizer": ""}

    def __init__(self, argument: str) -> None:
        super().__init__(argument)
        if find_spec("ctranslate2") is None:
            raise UserError("CTranslate2 is not installed", fix="pip install 'lm-eval-xling[ct2]'")
        if self.options["compute_type"] not in COMPUTE_TYPES:
            raise unknown_name("compute_type", self.options["compute_type"], COMPUTE_TYPES, where=f"ct2:{argument}")
        # Every thread has batches of its own.
        self.batch *= _threads()

    def identity(self, source: str, target: str) -> str:
        """Return the model with its commit, or the hash of its files, and what changes the decoding."""
        decoding = f"beams={self.beams},compute_type={self.options['compute_type']}"
        if self.options["tokenizer"]:
            decoding += f",tokenizer={version_of(self.options['tokenizer'], self.options['revision'])}"
        return f"ct2:{self._version(source, target)}:{decoding}"

    def _tokenizer_of(self, name: str) -> Any:
        if not _is_converted(name):
            if self.options["tokenizer"]:
                raise UserError(
                    "tokenizer= is for a folder that was converted without one; this model has its own",
                    where=f"ct2:{name}",
                    fix="leave it out",
                )
            return super()._tokenizer_of(name)
        fix = "tokenizer=NAME, the model that was converted"
        return load_tokenizer(
            self.options["tokenizer"] or name, revision=self.options["revision"] or None, fix=f"ct2:{name},{fix}"
        )

    def _architecture(self, name: str, tokenizer: Any) -> str:
        if not _is_converted(name):
            return super()._architecture(name, tokenizer)
        kind = type(tokenizer).__name__
        return next((found for start, found in _ARCHITECTURES.items() if kind.startswith(start)), kind)

    def _load(self, name: str) -> Any:
        import ctranslate2

        device, _, index = choose_device(self.options["device"] or None).partition(":")
        folder = Path(name).expanduser() if _is_converted(name) else converted(name, self.options["revision"])
        compute_type = self.options["compute_type"]
        supported = ctranslate2.get_supported_compute_types(device, int(index or 0))
        if compute_type not in supported:
            raise UserError(
                f"compute_type {compute_type!r} is not computed on this device",
                where=f"ct2:{name}",
                fix=f"give one of {', '.join(kind for kind in COMPUTE_TYPES if kind in supported)}",
            )
        with loading(
            name, fix="see that device= is there; a damaged folder is converted again when it has been deleted"
        ):
            return ctranslate2.Translator(
                str(folder),
                device,
                device_index=int(index or 0),
                compute_type=compute_type,
                # A batch a thread: that needs no waiting for each other, and the number of threads changes no sum.
                inter_threads=_threads() if device == "cpu" else 1,
                intra_threads=1,
            )

    def _positions(self, name: str, model: Any) -> int | None:
        if _is_converted(name):
            return None
        return getattr(model_config(name, self.options["revision"]), "max_position_embeddings", None)

    def _generate(
        self, model: Any, tokenizer: Any, batches: Sequence[TextBatch], search: Search
    ) -> Iterator[list[Any]]:
        prefix = None if search.first is None else [tokenizer.convert_ids_to_tokens(search.first)]
        running = [
            model.translate_batch(
                [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(texts)["input_ids"]],
                None if prefix is None else [prefix] * len(texts),
                asynchronous=True,
                beam_size=search.beams,
                no_repeat_ngram_size=search.unrepeated,
                max_input_length=0,
                min_decoding_length=0,
                max_decoding_length=most,
            )
            for texts, most in batches
        ]
        for batch in running:
            yield [tokenizer.convert_tokens_to_ids(row.result().hypotheses[0]) for row in batch]


def _threads() -> int:
    import torch

    # One in the processes of xling mix.
    return torch.get_num_threads()


def _is_converted(name: str) -> bool:
    return (Path(name).expanduser() / "model.bin").is_file()


def converted(name: str, revision: str = "") -> Path:
    """Return CTranslate2's folder of a model of transformers, converting it on the first call.

    Args:
        name: a folder, or a name on the hub.
        revision: on the hub.

    Raises:
        UserError: if there is no such model, or CTranslate2 does not know its architecture.
    """
    version = version_of(name, revision)
    # The weights keep the checkpoint's type, so that one folder serves every compute_type.
    folder = cache_folder("models") / f"{version.replace('/', '--')}-ct2"
    if (folder / "model.bin").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as work, loading(name, fix=NO_MODEL):
        made = Path(work, "converted")
        _converter(name, revision).convert(str(made))
        try:
            made.rename(folder)
        except OSError:
            # Another process finished the same conversion first; its result is the same.
            if not (folder / "model.bin").exists():
                raise
    return folder


def _converter(name: str, revision: str) -> Any:
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Reads models as everything else here does, at the revision wanted."""

        def load_model(self, model_class: Any, model_name_or_path: str, **_: Any) -> Any:
            return load_model(name, revision=revision or None, dtype="auto", kind="seq2seq", fix=NO_MODEL)

        def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **_: Any) -> Any:
            tokenizer = load_tokenizer(name, revision=revision or None, fix=NO_MODEL)
            if hasattr(tokenizer, "lang_token_to_id"):
                # M2M-100's language tokens stand outside of its vocabulary; CTranslate2 looks for them among the
                # special tokens, where transformers 5 no longer lists them.
                vocabulary = {**tokenizer.get_vocab(), **tokenizer.lang_token_to_id}
                tokenizer.get_vocab = lambda: vocabulary
            return tokenizer

    return Converter(name)
