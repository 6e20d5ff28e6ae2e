"""Word by word from a bilingual dictionary file: MUSE's word pairs, or FreeDict's dictd files."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from icu4py.breakers import WordBreaker

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import text_lines
from lm_eval_xling.languages import LANGUAGES
from lm_eval_xling.translation.muse import read_word_pairs
from lm_eval_xling.translation.patterns import language_file
from lm_eval_xling.translation.translator import Translator

__all__ = ["Lexicon", "LexiconTranslator", "read_freedict"]

_BASE64 = {
    character: value
    for value, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_SENSE = re.compile(r"^\s*(?:\d+\.\s*)?")
_REMARK = re.compile(r"\s*(?:<[^>]*>|\[[^\]]*\]|\([^)]*\)|\{[^}]*\})\s*")


def _add(pairs: dict[str, str], word: str, translation: str) -> None:
    """Keep the first translation of a word that is not the word itself: names and loans switch nothing."""
    if word and translation and word.casefold() != translation.casefold():
        pairs.setdefault(word, translation)


def _number(text: str) -> int:
    value = 0
    for character in text:
        value = value * 64 + _BASE64[character]
    return value


def read_freedict(index: Path) -> dict[str, str]:
    """Read a FreeDict dictionary in dictd's format: an ``.index`` file beside its ``.dict`` or ``.dict.dz``.

    Entries have the headword with its pronunciation in the first line, then one line a sense: ``1. maison, foyer``,
    grammar in ``<>``, subjects in ``[]``. The first translation of the first sense counts; examples, notes and
    synonyms are indented and left out. An entry found under a word that is not its headword (an example or a
    phrase) is left out, too.

    Raises:
        UserError: if the dictionary beside the index is missing, or an entry lies outside of it.
    """
    for data in (index.with_suffix(".dict.dz"), index.with_suffix(".dict")):
        if data.is_file():
            break
    else:
        raise UserError(f"{index.with_suffix('.dict.dz').name} is missing", where=index, fix="keep both files together")
    try:
        # dictzip files are gzip files.
        content = gzip.decompress(data.read_bytes()) if data.suffix == ".dz" else data.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"the dictionary cannot be read: {error}", where=data, fix="install it again") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(text_lines(index), 1):
        word, _, place = line.rstrip("\n").partition("\t")
        try:
            start, length = (_number(part) for part in place.split("\t")[:2])
        except (KeyError, ValueError):
            raise UserError(f"line {number} is no entry of a dictd index", where=index) from None
        if start + length > len(content):
            raise UserError(f"line {number} points beyond the dictionary", where=index, fix="install it again")
        # Only single words are looked up.
        if " " not in word and not word.startswith("00database"):
            _add_entry(pairs, word, content[start : start + length].decode("utf-8", "replace"))
    return pairs


def _add_entry(pairs: dict[str, str], word: str, entry: str) -> None:
    head, _, body = entry.partition("\n")
    headword = _REMARK.sub(" ", head.split(" /")[0]).strip()
    # The index is lower-cased and without punctuation; the entry has the true spelling.
    if headword.casefold() != word.casefold():
        return
    for line in body.split("\n"):
        if line[:1].isspace() or not line.strip():
            continue
        sense = _REMARK.sub(" ", _SENSE.sub("", line))
        for translation in re.split("[,;]", sense):
            if any(map(str.isalpha, translation)):
                _add(pairs, headword, " ".join(translation.split()))


class Lexicon:
    """A bilingual dictionary; looks words up as written, then in lower case.

    Args:
        pairs: word to translation.
    """

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.pairs = pairs

    @classmethod
    def read(cls, path: Path) -> Lexicon:
        """Read a MUSE file, or FreeDict's if the name ends in ``.index``.

        Raises:
            UserError: if the file cannot be read or holds no pairs.
        """
        if path.suffix == ".index":
            pairs = read_freedict(path)
        else:
            pairs = {}
            for word, translation in read_word_pairs(path):
                # Of several translations the first counts; MUSE does not order them by sense.
                _add(pairs, word, translation)
        if not pairs:
            raise UserError("the dictionary holds no word pairs", where=path)
        return cls(pairs)

    def word(self, word: str) -> str | None:
        """Return the translation of one word in the word's case, or None if it is not in the dictionary."""
        if (exact := self.pairs.get(word)) is not None:
            return exact
        translation = self.pairs.get(word.lower())
        if translation is None:
            return None
        if len(word) > 1 and word.isupper():
            return translation.upper()
        # Only the first letter: "Öffnen", and German nouns keep their capital inside phrases.
        return translation[:1].upper() + translation[1:] if word[:1].isupper() else translation

    def text(self, text: str, language: str) -> str | None:
        """Return a text word by word, unknown words kept; None if no word is in the dictionary.

        Args:
            text: in the dictionary's source language.
            language: its code.
        """
        words = list(WordBreaker(text, language))
        found = [self.word(word) for word in words]
        if not any(found):
            return None
        return "".join(word if new is None else new for word, new in zip(words, found, strict=True))


class LexiconTranslator(Translator):
    """``lexicon:PATH``; the path may hold ``{source}`` and ``{target}`` (``{source3}``: ISO 639-3).

    Inflected and unknown words are kept, a text without any known word has no translation.
    """

    batch = 10_000

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._lexicons: dict[tuple[str, str], Lexicon] = {}
        self._pairs: dict[Path, tuple[str, str]] = {}

    def identity(self, source: str, target: str) -> str:
        """Return a hash of the pair's dictionary: the file's name does not matter."""
        pairs = sorted(self._lexicon(source, target).pairs.items())
        return f"lexicon:{hashlib.blake2b(repr(pairs).encode(), digest_size=8).hexdigest()}"

    def check(self, source: str, target: str) -> None:
        """Read the pair's dictionary."""
        self._lexicon(source, target)

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        """Translate word by word."""
        lexicon = self._lexicon(source, target)
        return [lexicon.text(text, source) for text in texts]

    def _lexicon(self, source: str, target: str) -> Lexicon:
        if (source, target) not in self._lexicons:
            path = language_file(self.pattern, source, target)
            other = _pair_of_name(path) or self._pairs.get(path, (source, target))
            if other != (source, target):
                raise UserError(
                    f"this dictionary is {_words(*other)}, and {_words(source, target)} is asked for",
                    where=path,
                    fix="one file a pair, with {source} and {target} in their names: lexicon:{source}-{target}.txt",
                )
            self._lexicons[source, target] = Lexicon.read(path)
            self._pairs[path] = source, target
        return self._lexicons[source, target]


def _pair_of_name(path: Path) -> tuple[str, str] | None:
    """Return the pair of languages of the table that a file's name says, as MUSE's and FreeDict's do, or None."""
    found = re.search(r"(?<![a-z])([a-z]{2,3})-([a-z]{2,3})(?![a-z])", path.name)
    codes = {spelling: code for code, known in LANGUAGES.items() for spelling in (code, known.iso639_3)}
    if found is None or found[1] not in codes or found[2] not in codes:
        return None
    return codes[found[1]], codes[found[2]]


def _words(source: str, target: str) -> str:
    return f"{LANGUAGES[source].name} to {LANGUAGES[target].name}"
