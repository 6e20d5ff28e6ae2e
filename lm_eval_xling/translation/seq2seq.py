"""Sequence-to-sequence models: what their translators share, whichever engine computes them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.models import load_tokenizer, loading
from lm_eval_xling.translation.patterns import fill
from lm_eval_xling.translation.tags import TagScheme, tag_scheme
from lm_eval_xling.translation.translator import Translator

__all__ = ["NO_MODEL", "TextBatch", "Search", "Seq2SeqTranslator", "model_config", "version_of"]

NO_MODEL = "give a folder, or the name of a sequence-to-sequence model on the hub; check the network"
"""The fix where a model cannot be loaded."""
_STEP = 16
"""Tokens by which lengths are rounded up where the limit of an output matters."""


class TextBatch(NamedTuple):
    """Texts that are translated together."""

    texts: list[str]
    """With the tags that stand in the text."""
    most: int
    """Tokens that an output may have at most, the first included."""


class Search(NamedTuple):
    """How outputs are searched for."""

    first: int | None
    """Id of the token that every output starts with; None where the model chooses it."""
    beams: int
    """1: greedy."""
    unrepeated: int
    """Length of n-grams that occur once at most; 0: any number."""


class Seq2SeqTranslator(Translator):
    """``KIND:MODEL``, a folder or a name on the hub, with options: ``hf:MODEL,beams=4,batch_size=16``.

    The name may hold ``{source}`` and ``{target}``: ``hf:Helsinki-NLP/opus-mt-{source}-{target}``. A refused
    translation is tried again with four beams without repeated trigrams. No output is longer than twice its source
    and 20 tokens.

    Output may differ between batches in rare ties, because matrix products round differently; ``batch_size=1``
    rules that out.
    """

    attempts = 2
    kind: ClassVar[str]
    """What stands before the colon."""
    defaults: ClassVar[Mapping[str, str]] = {"batch_size": "32", "beams": "1", "device": "", "revision": ""}
    """Options with their values where none is given."""

    def __init__(self, argument: str) -> None:
        self.pattern, *given = argument.split(",")
        self.options = dict(self.defaults)
        for option in given:
            key, _, value = option.partition("=")
            if key not in self.options:
                raise unknown_name("option", key, self.options, where=f"{self.kind}:{argument}")
            self.options[key] = value
        for key in ("batch_size", "beams"):
            if not self.options[key].isdigit() or int(self.options[key]) < 1:
                raise UserError(
                    f"{key} is {self.options[key]!r}", where=f"{self.kind}:{argument}", fix="give a positive number"
                )
        self.batch_size, self.beams = int(self.options["batch_size"]), int(self.options["beams"])
        # Longer than one batch, so that they can be filled with texts of one length.
        self.batch = 8 * self.batch_size
        # One model at a time: those of many pairs would not fit the memory together.
        self._tokens: tuple[str, Any, TagScheme] | None = None
        self._model: tuple[str, Any] | None = None

    @abstractmethod
    def _load(self, name: str) -> Any:
        """Return the model of a name."""

    @abstractmethod
    def _positions(self, name: str, model: Any) -> int | None:
        """Return how many tokens the model reads at most; None if only its tokenizer knows."""

    @abstractmethod
    def _generate(self, model: Any, tokenizer: Any, batches: Sequence[TextBatch], search: Search) -> Iterable[Any]:
        """Yield the ids that follow the decoder's start token: a list, or row of a tensor, for each text of a batch."""

    def _architecture(self, name: str, tokenizer: Any) -> str:
        """Return the architecture of a model, as ``model_type`` of transformers."""
        kind: str = model_config(name, self.options["revision"]).model_type
        return kind

    def _tokenizer_of(self, name: str) -> Any:
        # First, because a name that is no model's has no tokenizer either, and the message is to say the former.
        model_config(name, self.options["revision"])
        return load_tokenizer(name, revision=self.options["revision"] or None, fix=NO_MODEL)

    def _name(self, source: str, target: str) -> str:
        return fill(self.pattern, source=source, target=target)

    def _version(self, source: str, target: str) -> str:
        """Return the model with its commit, or the hash of its files."""
        return version_of(self._name(source, target), self.options["revision"])

    def check(self, source: str, target: str) -> None:
        """Load the tokenizer, and look for the tags; the model itself is loaded where it is used, after a fork."""
        self._tokenizer(source, target)[1].prepare([], source, target)

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Translate in batches of texts of similar length; texts longer than the model reads have no translation."""
        tokenizer, scheme = self._tokenizer(source, target)
        model = self.model(source, target)
        tagged, first = scheme.prepare(texts, source, target)
        lengths = [len(ids) for ids in tokenizer(tagged)["input_ids"]] if tagged else []
        longest = _longest(tokenizer, self._positions(self._name(source, target), model))
        search = Search(first, self.beams, 0) if attempt == 0 else Search(first, max(4, self.beams), 3)
        fitting = {row: length for row, length in enumerate(lengths) if length <= longest}
        rows = _batches(fitting, self.batch_size, 1 if search.beams == 1 else _STEP)
        batches = [TextBatch([tagged[row] for row in part], min(longest - 1, _most(limit))) for part, limit in rows]
        outputs: list[str | None] = [None] * len(texts)
        for (part, _), made in zip(rows, self._generate(model, tokenizer, batches, search), strict=True):
            # Not the language's tag, which not every tokenizer counts as special. What is longer than the text's own
            # limit goes: the neighbours in the batch must not matter.
            skipped = 0 if first is None else 1
            kept = [ids[skipped : _most(lengths[row])] for row, ids in zip(part, made, strict=True)]
            for row, text in zip(part, _decoded(tokenizer, kept), strict=True):
                outputs[row] = text.strip()
        return outputs

    def _tokenizer(self, source: str, target: str) -> tuple[Any, TagScheme]:
        name = self._name(source, target)
        if self._tokens is None or self._tokens[0] != name:
            tokenizer = self._tokenizer_of(name)
            self._tokens = (name, tokenizer, tag_scheme(name, self._architecture(name, tokenizer), tokenizer))
        return self._tokens[1:]

    def model(self, source: str, target: str) -> Any:
        """Return the model of a language pair, loaded on the first call."""
        name = self._name(source, target)
        if self._model is None or self._model[0] != name:
            self._model = None
            self._model = (name, self._load(name))
        return self._model[1]


def model_config(name: str, revision: str) -> Any:
    """Return the configuration of a model of transformers.

    Raises:
        UserError: if there is none.
    """
    from transformers import AutoConfig

    with loading(name, fix=NO_MODEL):
        return AutoConfig.from_pretrained(name, revision=revision or None, trust_remote_code=False)


def _batches(lengths: Mapping[int, int], size: int, step: int) -> list[tuple[list[int], int]]:
    """Divide texts into batches, the longest first.

    Args:
        lengths: tokens of each text.
        size: of a batch.
        step: in greedy search 1: what comes after a text's own limit is cut. A beam search may choose another output
            under another limit, so that the neighbours in the batch would matter; with a step of more than 1 only
            texts whose lengths round up to the same multiple stand in one batch.

    Returns:
        The texts of each batch, with the length that limits their outputs.
    """
    order = sorted(lengths, key=lambda row: (-lengths[row], row))
    same = [list(rows) for _, rows in groupby(order, lambda row: -(-lengths[row] // step))] if step > 1 else [order]
    parts = [rows[start : start + size] for rows in same for start in range(0, len(rows), size)]
    return [(part, -(-lengths[part[0]] // step) * step) for part in parts]


def _most(length: int) -> int:
    """Return how many tokens the translation of so many tokens may have."""
    return 2 * length + 20


def _longest(tokenizer: Any, positions: int | None) -> int:
    """Return how many tokens the model reads at most."""
    known = [tokenizer.model_max_length, positions]
    # T5 has no positions to run out of, and its tokenizer says so by a very large number.
    return min([length for length in known if length is not None and length < 1_000_000], default=512)


def _decoded(tokenizer: Any, made: Any) -> list[str]:
    # Marian's tokenizer has two vocabularies of pieces, and decodes by the source's unless it is told.
    options = {"use_source_tokenizer": False} if hasattr(tokenizer, "spm_target") else {}
    texts: list[str] = tokenizer.batch_decode(made, skip_special_tokens=True, **options)
    return texts


@lru_cache(maxsize=64)
def version_of(name: str, revision: str) -> str:
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
    config = model_config(name, revision)
    return f"{name}@{getattr(config, '_commit_hash', None) or revision or 'main'}"
