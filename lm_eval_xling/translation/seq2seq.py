"""Sequence-to-sequence models through transformers: NLLB-200, M2M-100, MADLAD-400, Marian and its kin."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.models import choose_device, load_model, load_tokenizer, loading
from lm_eval_xling.translation.patterns import fill
from lm_eval_xling.translation.translator import Translator, unsupported

__all__ = ["Seq2SeqTranslator", "TagScheme", "tag_scheme"]

_FIX = "give a folder, or the name of a sequence-to-sequence model on the hub; check the network"
_OPTIONS = {"batch_size": "32", "beams": "1", "device": "", "dtype": "", "revision": ""}


class TagScheme(ABC):
    """How a model is told the languages: the place and spelling of its tags.

    Args:
        name: of the model, for messages.
        tokenizer: of the model.
    """

    def __init__(self, name: str, tokenizer: Any) -> None:
        self.name = name
        self.tokenizer = tokenizer

    @abstractmethod
    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], dict[str, Any]]:
        """Tell tokenizer and decoder the languages.

        Returns:
            The texts as they are tokenised, and keyword arguments for ``generate``.

        Raises:
            UserError: if the model has no tag for a language.
        """

    def tag(self, candidates: Sequence[str], source: str, target: str) -> str:
        """Return the first candidate that is a token of the model."""
        vocabulary = self.tokenizer.get_vocab()
        for candidate in candidates:
            if candidate in vocabulary:
                return candidate
        raise unsupported(
            f"the model {self.name}", source, target, fix=f"another model: this one has no token {candidates[0]!r}"
        )


class Nllb(TagScheme):
    """NLLB-200 (arXiv 2207.04672): FLORES codes, the source's before the text, the target's as first token."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], dict[str, Any]]:
        """See ``TagScheme.prepare``."""
        self.tokenizer.src_lang = self.tag([LANGUAGES[source].flores], source, target)
        first = self.tag([LANGUAGES[target].flores], source, target)
        return list(texts), {"forced_bos_token_id": self.tokenizer.convert_tokens_to_ids(first)}


class M2M100(TagScheme):
    """M2M-100 (arXiv 2010.11125): ISO 639-1 codes, the source's before the text, the target's as first token."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], dict[str, Any]]:
        """See ``TagScheme.prepare``."""
        for code in (source, target):
            if code not in self.tokenizer.lang_code_to_id:
                raise unsupported(f"the model {self.name}", source, target, fix=f"another model: {code!r} is unknown")
        self.tokenizer.src_lang = source
        return list(texts), {"forced_bos_token_id": self.tokenizer.get_lang_id(target)}


class Madlad(TagScheme):
    """MADLAD-400 (arXiv 2309.04662), a T5: ``<2fr>`` before the text; the source's language is not told."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], dict[str, Any]]:
        """See ``TagScheme.prepare``."""
        # The model writes some languages otherwise than ISO 639-1 does: fil for Filipino.
        language = LANGUAGES[target]
        spellings = [target, *language.aliases, language.iso639_3]
        tag = self.tag([f"<2{spelling}>" for spelling in spellings], source, target)
        return [f"{tag} {text}" for text in texts], {}


class Marian(TagScheme):
    """Marian models of OPUS-MT: one pair, or several targets with ``>>fra<<`` before the text."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], dict[str, Any]]:
        """See ``TagScheme.prepare``."""
        if self.tokenizer.supported_language_codes:
            language = LANGUAGES[target]
            spellings = [language.iso639_3, language.flores, target, *language.aliases]
            tag = self.tag([f">>{spelling}<<" for spelling in spellings], source, target)
            return [f"{tag} {text}" for text in texts], {}
        for code, has in ((source, self.tokenizer.source_lang), (target, self.tokenizer.target_lang)):
            # Groups such as "ROMANCE" or "mul" on the source side cannot be checked; a plain code can.
            if has in _marian_codes() and _marian_codes()[has] != code:
                raise unsupported(
                    f"the model {self.name}",
                    source,
                    target,
                    fix="hf:Helsinki-NLP/opus-mt-{source}-{target} takes the model of each pair",
                )
        return list(texts), {}


@lru_cache(maxsize=1)
def _marian_codes() -> dict[str, str]:
    return {spelling: code for code, language in LANGUAGES.items() for spelling in (code, language.iso639_3)}


def tag_scheme(name: str, config: Any, tokenizer: Any) -> TagScheme:
    """Return how a model is told the languages, by its architecture and tokenizer.

    Raises:
        UserError: if it is none of the known translators.
    """
    kind = config.model_type
    if kind in ("m2m_100", "nllb-moe"):
        # NLLB and M2M-100 share the architecture; the tokenizers differ.
        return M2M100(name, tokenizer) if hasattr(tokenizer, "lang_code_to_id") else Nllb(name, tokenizer)
    if kind == "marian":
        return Marian(name, tokenizer)
    if kind in ("t5", "mt5") and any(token.startswith("<2") for token in tokenizer.get_vocab()):
        return Madlad(name, tokenizer)
    raise UserError(
        f"the model is no translator that is known here: architecture {kind!r}",
        where=name,
        fix="give an NLLB-200, M2M-100, MADLAD-400 or Marian (opus-mt) model, or a causal one with llm:",
    )


class Seq2SeqTranslator(Translator):
    """``hf:MODEL``, a folder or a name on the hub, with options: ``hf:MODEL,beams=4,batch_size=16``.

    The name may hold ``{source}`` and ``{target}``: ``hf:Helsinki-NLP/opus-mt-{source}-{target}``. Options are
    ``batch_size``, ``beams`` (1: greedy), ``device`` (a GPU when there is one), ``dtype`` (float32 on CPU, else
    bfloat16: T5 overflows in float16) and ``revision``. A refused translation is tried again with four beams without
    repeated trigrams. No output is longer than twice its source and 20 tokens.

    Output may differ between batches in rare ties, because matrix products round differently; ``batch_size=1``
    rules that out.
    """

    attempts = 2

    def __init__(self, argument: str) -> None:
        self.pattern, *given = argument.split(",")
        options = dict(_OPTIONS)
        for option in given:
            key, _, value = option.partition("=")
            if key not in _OPTIONS:
                raise unknown_name("option", key, _OPTIONS, where=f"hf:{argument}")
            options[key] = value
        for key in ("batch_size", "beams"):
            if not options[key].isdigit() or int(options[key]) < 1:
                raise UserError(f"{key} is {options[key]!r}", where=f"hf:{argument}", fix="give a positive number")
        self.batch_size, self.beams = int(options["batch_size"]), int(options["beams"])
        # Longer than one batch, so that they can be filled with texts of one length.
        self.batch = 8 * self.batch_size
        self.device, self.dtype, self.revision = options["device"], options["dtype"], options["revision"]
        # One model at a time: those of many pairs would not fit the memory together.
        self._tokens: tuple[str, Any, TagScheme] | None = None
        self._model: tuple[str, Any] | None = None

    def _name(self, source: str, target: str) -> str:
        return fill(self.pattern, source=source, target=target)

    def identity(self, source: str, target: str) -> str:
        """Return the model with its commit, or the hash of its files, and what changes the decoding."""
        name = self._name(source, target)
        decoding = f"beams={self.beams}" + (f",dtype={self.dtype}" if self.dtype else "")
        return f"hf:{_version(name, self.revision)}:{decoding}"

    def check(self, source: str, target: str) -> None:
        """Load the tokenizer, and look for the tags; the model itself is loaded where it is used, after a fork."""
        self._tokenizer(source, target)[1].prepare([], source, target)

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Translate in batches of texts of similar length; texts longer than the model reads have no translation."""
        import torch

        tokenizer, scheme = self._tokenizer(source, target)
        model = self.model(source, target)
        tagged, generation = scheme.prepare(texts, source, target)
        lengths = [len(ids) for ids in tokenizer(tagged)["input_ids"]] if tagged else []
        longest = _longest(model, tokenizer)
        outputs: list[str | None] = [None] * len(texts)
        order = sorted((i for i in range(len(texts)) if lengths[i] <= longest), key=lambda i: (-lengths[i], i))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            batch = tokenizer([tagged[row] for row in rows], return_tensors="pt", padding=True).to(model.device)
            # Marian's and M2M's tokenizers may add what the models do not take.
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            with torch.inference_mode():
                made = model.generate(
                    **inputs,
                    **generation,
                    do_sample=False,
                    num_beams=self.beams if attempt == 0 else max(4, self.beams),
                    no_repeat_ngram_size=0 if attempt == 0 else 3,
                    max_new_tokens=min(longest - 1, _most(lengths[rows[0]])),
                )
            # Neither the start token nor the language's tag, which not every tokenizer counts as special. What is
            # longer than the text's own limit goes: the neighbours in the batch must not matter.
            first = 2 if "forced_bos_token_id" in generation else 1
            kept = [made[index, first : 1 + _most(lengths[row])] for index, row in enumerate(rows)]
            for row, text in zip(rows, _decoded(tokenizer, kept), strict=True):
                outputs[row] = text.strip()
        return outputs

    def _tokenizer(self, source: str, target: str) -> tuple[Any, TagScheme]:
        name = self._name(source, target)
        if self._tokens is None or self._tokens[0] != name:
            config = _config(name, self.revision)
            tokenizer = load_tokenizer(name, revision=self.revision or None, fix=_FIX)
            self._tokens = (name, tokenizer, tag_scheme(name, config, tokenizer))
        return self._tokens[1:]

    def model(self, source: str, target: str) -> Any:
        """Return the model of a language pair, loaded on the first call."""
        name = self._name(source, target)
        if self._model is None or self._model[0] != name:
            self._model = None
            self._model = (name, _load_model(name, self.revision, self.device, self.dtype))
        return self._model[1]


def _config(name: str, revision: str) -> Any:
    from transformers import AutoConfig

    with loading(name, fix=_FIX):
        return AutoConfig.from_pretrained(name, revision=revision or None)


def _load_model(name: str, revision: str, device: str, dtype: str) -> Any:
    chosen = choose_device(device or None)
    precision = dtype or ("float32" if chosen == "cpu" else "bfloat16")
    model = load_model(name, revision=revision or None, dtype=precision, device=chosen, kind="seq2seq", fix=_FIX)
    # Marian's models end every output at the limit, which is the batch's and not the text's.
    model.generation_config.forced_eos_token_id = None
    return model


def _most(length: int) -> int:
    """Return how many tokens the translation of so many tokens may have."""
    return 2 * length + 20


def _longest(model: Any, tokenizer: Any) -> int:
    """Return how many tokens the model reads at most."""
    known = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    # T5 has no positions to run out of, and its tokenizer says so by a very large number.
    return min([length for length in known if length is not None and length < 1_000_000], default=512)


def _decoded(tokenizer: Any, made: Any) -> list[str]:
    # Marian's tokenizer has two vocabularies of pieces, and decodes by the source's unless it is told.
    options = {"use_source_tokenizer": False} if hasattr(tokenizer, "spm_target") else {}
    texts: list[str] = tokenizer.batch_decode(made, skip_special_tokens=True, **options)
    return texts


@lru_cache(maxsize=64)
def _version(name: str, revision: str) -> str:
    """Return the model's name with its commit on the hub, or a hash of the folder's files."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        digest = hashlib.blake2b(digest_size=8)
        for path in sorted(folder.iterdir()):
            if path.is_file():
                digest.update(path.name.encode())
                with path.open("rb") as stream:
                    while block := stream.read(1 << 20):
                        digest.update(block)
        return f"{folder.name}@{digest.hexdigest()}"
    config = _config(name, revision)
    return f"{name}@{getattr(config, '_commit_hash', None) or revision or 'main'}"
