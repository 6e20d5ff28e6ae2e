"""Sequences whose items are made when they are asked for: of most leaves an evaluation with a limit asks for few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["OnDemand"]

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class OnDemand(Sequence[T_co], Generic[S, T_co]):
    """What a function makes of each item of a sequence, at every access anew.

    Args:
        sources: what the items are made of.
        make: makes an item; of the same source always the same.
    """

    def __init__(self, sources: Sequence[S], make: Callable[[S], T_co]) -> None:
        self._sources, self._make = sources, make

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._sources)

    def __iter__(self) -> Iterator[T_co]:
        """Yield the items; ``Sequence`` would take an IndexError of making for their end, ``map`` a StopIteration."""
        for source in self._sources:
            yield self._make(source)

    @overload
    def __getitem__(self, place: int) -> T_co: ...
    @overload
    def __getitem__(self, place: slice) -> Self: ...
    def __getitem__(self, place: int | slice) -> T_co | Self:
        """Return the item at a place, or those of a slice, still unmade, with the methods of the whole."""
        if isinstance(place, slice):
            part = object.__new__(type(self))
            part._sources, part._make = self._sources[place], self._make
            return part
        return self._make(self._sources[place])

    def __getstate__(self) -> dict[str, object]:
        """Return the items made: what makes them is often a function inside another, which cannot be pickled."""
        return {"_sources": list(self), "_make": _itself}


def _itself(item: T) -> T:
    return item
