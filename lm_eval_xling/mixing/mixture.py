"""Which language a unit goes to: a stable hash of (seed, document, position), so that order and processes count not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from lm_eval_xling.errors import UserError
from lm_eval_xling.hashing import stable_hash
from lm_eval_xling.languages import resolve

__all__ = ["Mixture", "uniform"]


def uniform(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone, in any process and on any machine."""
    # 53 bits: what a float holds exactly, so that 1.0 cannot come out.
    return (stable_hash(*key) >> 11) / (1 << 53)


@dataclass(frozen=True, slots=True)
class Mixture:
    """The languages that units are drawn from, with their weights."""

    weights: Mapping[str, float]
    """Language code to weight, > 0; the weights need not sum to 1."""

    def __post_init__(self) -> None:
        if not self.weights:
            raise UserError("the language set is empty", fix="name languages, for example --languages en,fr,de,es,it")
        for code, weight in self.weights.items():
            if resolve(code).code != code:
                raise UserError(f"language {code!r} is no ISO 639-1 code", fix=f"write {resolve(code).code!r}")
            if not 0 < weight < float("inf"):
                raise UserError(f"the weight of language {code!r} is {weight:g}", fix="give a positive number")

    @classmethod
    def parse(cls, text: str) -> Mixture:
        """Return the mixture of ``en,fr=0.5,German``: languages in any spelling, each with a weight (1 by default).

        Raises:
            UserError: if a language is unknown or named twice, or a weight is not a positive number.
        """
        weights: dict[str, float] = {}
        for part in filter(None, map(str.strip, text.split(","))):
            name, _, number = part.partition("=")
            code = resolve(name).code
            if code in weights:
                raise UserError(f"language {code!r} occurs twice in {text!r}", fix="name each language once")
            try:
                weights[code] = float(number or 1)
            except ValueError:
                raise UserError(f"the weight {number!r} of language {code!r} is no number", where=text) from None
        return cls(weights)

    @classmethod
    def of(cls, languages: str | Sequence[str] | Mapping[str, float]) -> Mixture:
        """Return the mixture of codes, of weights by code, or of what ``parse`` reads.

        Raises:
            UserError: as in ``parse``.
        """
        if isinstance(languages, Mapping):
            return cls.parse(",".join(f"{name}={weight}" for name, weight in languages.items()))
        return cls.parse(languages if isinstance(languages, str) else ",".join(languages))

    def without(self, language: str) -> Mixture:
        """Return the mixture of the other languages.

        Raises:
            UserError: if there are none.
        """
        return Mixture({code: weight for code, weight in self.weights.items() if code != language})

    def draw(self, *key: object) -> str:
        """Return a language by weight; it depends on the key and the weights alone, not on their order."""
        codes = sorted(self.weights)
        bounds = list(accumulate(self.weights[code] for code in codes))
        # The last bound is left out: rounding must not push the draw beyond the last language.
        return codes[bisect_right(bounds[:-1], uniform(*key) * bounds[-1])]
