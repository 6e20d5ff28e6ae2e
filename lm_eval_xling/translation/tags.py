"""How translation models are told the languages: the place and spelling of their tags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.translation.translator import unsupported

__all__ = ["TagScheme", "tag_scheme"]


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
    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """Tell tokenizer and decoder the languages.

        Returns:
            The texts as they are tokenised, and the id of the token that every output starts with, if there is one.

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

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """See ``TagScheme.prepare``."""
        self.tokenizer.src_lang = self.tag([LANGUAGES[source].flores], source, target)
        first = self.tag([LANGUAGES[target].flores], source, target)
        return list(texts), self.tokenizer.convert_tokens_to_ids(first)


class M2M100(TagScheme):
    """M2M-100 (arXiv 2010.11125): ISO 639-1 codes, the source's before the text, the target's as first token."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """See ``TagScheme.prepare``."""
        for code in (source, target):
            if code not in self.tokenizer.lang_code_to_id:
                raise unsupported(f"the model {self.name}", source, target, fix=f"another model: {code!r} is unknown")
        self.tokenizer.src_lang = source
        return list(texts), self.tokenizer.get_lang_id(target)


class Madlad(TagScheme):
    """MADLAD-400 (arXiv 2309.04662), a T5: ``<2fr>`` before the text; the source's language is not told."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """See ``TagScheme.prepare``."""
        # The model writes some languages otherwise than ISO 639-1 does: fil for Filipino.
        language = LANGUAGES[target]
        spellings = [target, *language.aliases, language.iso639_3]
        tag = self.tag([f"<2{spelling}>" for spelling in spellings], source, target)
        return [f"{tag} {text}" for text in texts], None


class Marian(TagScheme):
    """Marian models of OPUS-MT: one pair, or several targets with ``>>fra<<`` before the text."""

    def prepare(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """See ``TagScheme.prepare``."""
        if self.tokenizer.supported_language_codes:
            language = LANGUAGES[target]
            spellings = [language.iso639_3, language.flores, target, *language.aliases]
            tag = self.tag([f">>{spelling}<<" for spelling in spellings], source, target)
            return [f"{tag} {text}" for text in texts], None
        for code, has in ((source, self.tokenizer.source_lang), (target, self.tokenizer.target_lang)):
            # Groups such as "ROMANCE" or "mul" on the source side cannot be checked; a plain code can.
            if has in _marian_codes() and _marian_codes()[has] != code:
                raise unsupported(
                    f"the model {self.name}",
                    source,
                    target,
                    fix="Helsinki-NLP/opus-mt-{source}-{target} takes the model of each pair",
                )
        return list(texts), None


@lru_cache(maxsize=1)
def _marian_codes() -> dict[str, str]:
    return {spelling: code for code, language in LANGUAGES.items() for spelling in (code, language.iso639_3)}


def tag_scheme(name: str, kind: str, tokenizer: Any) -> TagScheme:
    """Return how a model is told the languages, by its architecture and tokenizer.

    Args:
        name: of the model, for messages.
        kind: the architecture, as ``model_type`` of the configuration of transformers.
        tokenizer: of the model.

    Raises:
        UserError: if it is none of the known translators.
    """
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
