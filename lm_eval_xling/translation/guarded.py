"""A translator with cache and guards: what mixing and dataset translation use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from lm_eval_xling.translation.guards import refusal
from lm_eval_xling.translation.memory import Cache, Entry
from lm_eval_xling.translation.translator import Translator

__all__ = ["GuardedTranslator"]


class GuardedTranslator:
    """Translates each text once, ever; refuses bad output.

    Args:
        translator: what does the work.
        cache: where its output is kept; refused texts are kept too, so that a second run translates nothing.
        advance: called with the number of texts that are done, for progress.
    """

    def __init__(self, translator: Translator, cache: Cache, *, advance: Callable[[int], None] | None = None) -> None:
        self.translator = translator
        self.cache = cache
        self.counts: Counter[str] = Counter()
        """Texts ``requested``, and of these ``cached``, ``translated`` and ``retried`` by this object."""
        self.refusals: Counter[str] = Counter()
        """Texts that were refused in each request, by reason; those that the cache knew to be refused, too."""
        self._advance = advance

    def __call__(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Return one translation a text, in order; None where the guards refused it.

        Raises:
            UserError: if the translator does not know the language pair, or the cache cannot be used.
        """
        if source == target:
            return list(texts)
        known = self.entries(texts, source, target)
        return [known[text].output for text in texts]

    def entries(self, texts: Sequence[str], source: str, target: str) -> dict[str, Entry]:
        """Return the translation of each text, or why it was refused.

        Raises:
            UserError: if the translator does not know the language pair, or the cache cannot be used.
        """
        identity = self.translator.identity(source, target)
        unique = list(dict.fromkeys(texts))
        known = self.cache.get(identity, source, target, unique)
        self.counts["requested"] += len(unique)
        self.counts["cached"] += len(known)
        # Equally long texts stand together, which saves neural translators padding and saves nobody harm.
        missing = sorted((text for text in unique if text not in known), key=lambda text: (-len(text), text))
        if missing:
            self.translator.check(source, target)
        if self._advance is not None:
            self._advance(len(known))
        for start in range(0, len(missing), self.translator.batch):
            part = missing[start : start + self.translator.batch]
            self.cache.put(identity, source, target, self._translated(part, source, target))
            # Read back: another process may have kept another output first, and all must use the same.
            known.update(self.cache.get(identity, source, target, part))
            if self._advance is not None:
                self._advance(len(part))
        for text in unique:
            if (reason := known[text].refusal) is not None:
                self.refusals[reason] += 1
        return known

    def _translated(self, texts: Sequence[str], source: str, target: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        open_texts = list(texts)
        for attempt in range(self.translator.attempts):
            outputs = self.translator.translate(open_texts, source, target, attempt)
            self.counts["translated" if attempt == 0 else "retried"] += len(open_texts)
            for text, output in zip(open_texts, outputs, strict=True):
                reason = refusal(text, output)
                entries[text] = Entry(None if reason else output, reason)
            open_texts = [text for text in open_texts if entries[text].refusal]
            if not open_texts:
                break
        return entries
