"""The one interface of all translators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from lm_eval_xling.errors import UserError
from lm_eval_xling.languages import LANGUAGES

__all__ = ["Translator", "unsupported"]


class Translator(ABC):
    """Batch in, batch out; language codes of ``lm_eval_xling.languages``.

    The translation of a text must depend on nothing but the translator's identity, the language pair, the text and
    the attempt: the cache keeps it for ever, and resumed runs batch differently.
    """

    attempts: int = 1
    """How often a refused output is asked for; more than 1 only if later attempts decode differently."""
    batch: int = 256
    """Texts to hand over at once; what is lost when the process is killed."""

    @abstractmethod
    def identity(self, source: str, target: str) -> str:
        """Return everything the output depends on: program or model, revision, options, hash of a file.

        Raises:
            UserError: if the language pair cannot be translated.
        """

    @abstractmethod
    def check(self, source: str, target: str) -> None:
        """Raise a ``UserError`` if the language pair cannot be translated; cheap compared with translating."""

    @abstractmethod
    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Translate texts that hold at least one letter and no line break.

        Args:
            texts: in the source language, at most ``batch`` of them.
            source: language code.
            target: language code, another one.
            attempt: 0 at first; more where the guards refused what came before.

        Returns:
            One translation a text, in order; None where the translator has none.
        """


def unsupported(translator: str, source: str, target: str, fix: str) -> UserError:
    """Return the error for a language pair that a translator does not know."""
    names = " to ".join(f"{LANGUAGES[code].name} ({code})" for code in (source, target))
    return UserError(f"{translator} cannot translate {names}", fix=fix)
