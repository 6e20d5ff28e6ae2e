"""Which tokens begin a label: Zhang et al.'s reading of a label's probability at the next token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.probe import Prompt

__all__ = ["ENGLISH", "LabelSets", "LabelTokens", "set_sizes"]

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Token ids of what the lens looks for after one prompt; the sets of the two languages are disjoint."""

    correct_en: tuple[int, ...]
    """Tokens that begin the correct English label."""
    correct_target: tuple[int, ...]
    """Tokens that begin the correct label in the prompt's language."""
    all_en: tuple[int, ...]
    """Tokens that begin any English label."""
    all_target: tuple[int, ...]
    """Tokens that begin any label in the prompt's language."""
    shared: tuple[int, ...]
    """Tokens that begin labels of both languages and therefore stand in none of the other sets."""


class LabelTokens:
    """Finds label tokens in a vocabulary.

    Args:
        pieces: the bytes of each token, as ``token_bytes`` gives them.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._ids: dict[bytes, list[int]] = defaultdict(list)
        for index, piece in enumerate(pieces):
            if piece.strip():
                self._ids[piece].append(index)

    def prefixes(self, word: str) -> frozenset[int]:
        """Return all tokens that are prefixes of the word, with and without a leading space.

        A token of bytes that ends inside a character counts: it begins the word. A token that is only a space does
        not: it begins every word.
        """
        found: set[int] = set()
        for form in (word, f" {word}"):
            data = form.encode()
            for end in range(1, len(data) + 1):
                found.update(self._ids.get(data[:end], ()))
        return frozenset(found)

    def sets(self, prompt: Prompt) -> LabelSets:
        """Return the token sets of one prompt; the target-language sets are empty for an English prompt.

        Raises:
            UserError: if the prompt has no English labels or no correct answer.
        """
        english = prompt.labels.get(ENGLISH)
        if not english or prompt.answer is None or not 0 <= prompt.answer < len(english):
            raise UserError(
                "the logit lens needs English labels and the index of the correct one",
                where=f"prompt {prompt.id} ({prompt.language})",
                fix='give "labels": {"en": [...]} and "answer": 0 with each prompt',
            )
        target = prompt.labels.get(prompt.language, ()) if prompt.language != ENGLISH else ()
        if target and len(target) != len(english):
            raise UserError(
                f"{len(target)} labels in {prompt.language}, {len(english)} in English",
                where=f"prompt {prompt.id}",
                fix="give the labels of all languages in the same order",
            )
        all_en = self._union(english)
        all_target = self._union(target)
        shared = all_en & all_target
        return LabelSets(
            correct_en=_ordered(self.prefixes(english[prompt.answer]) - shared),
            correct_target=_ordered(self.prefixes(target[prompt.answer]) - shared) if target else (),
            all_en=_ordered(all_en - shared),
            all_target=_ordered(all_target - shared),
            shared=_ordered(shared),
        )

    def _union(self, words: Iterable[str]) -> frozenset[int]:
        return frozenset().union(*(self.prefixes(word) for word in words))


def _ordered(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(ids))


def set_sizes(prompts: Sequence[Prompt], sets: Sequence[LabelSets]) -> Mapping[str, Mapping[str, float]]:
    """Return, per language, the mean number of tokens of each set: how many were excluded, how many are left."""
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for prompt, found in zip(prompts, sets, strict=True):
        for name in LabelSets.__slots__:
            counts[prompt.language][name].append(len(getattr(found, name)))
    return {
        language: {name: sum(values) / len(values) for name, values in by_name.items()}
        for language, by_name in counts.items()
    }
