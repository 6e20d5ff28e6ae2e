"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

import copy
import pickle

import pytest

from lm_eval_xling.on_demand import OnDemand


def test_an_item_is_made_when_it_is_asked_for_and_no_other() -> None:
    made: list[str] = []

    def shout(word: str) -> str:
        made.append(word)
        return word.upper()

    words = OnDemand(["one", "two", "three", "four"], shout)
    assert len(words) == 4 and made == []
    assert (words[1], words[-1]) == ("TWO", "FOUR") and made == ["two", "four"]
    later = words[1:3]
    assert made == ["two", "four"]
    assert list(later) == ["TWO", "THREE"] and list(words) == ["ONE", "TWO", "THREE", "FOUR"]
    assert OnDemand(words, str.lower)[2] == "three"
    with pytest.raises(IndexError):
        words[4]


def test_an_error_of_making_is_no_end_of_the_sequence() -> None:
    with pytest.raises(IndexError):
        list(OnDemand(["ab", "", "c"], lambda word: word[0]))
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(OnDemand(["ab", "", "c"], lambda word: next(iter(word))))


class Loud(OnDemand[str, str]):
    """With a method of its own, as the harness's rows have ``features``."""

    def first(self) -> str:
        return self[0]


def test_a_slice_keeps_the_methods_of_the_whole() -> None:
    words = Loud(["one", "two", "three", "four"], str.upper)
    assert words[1:].first() == "TWO" and words[::-1][-2:].first() == "TWO"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda items: pickle.loads(pickle.dumps(items))])
def test_items_are_copied_and_pickled_as_those_of_a_list(copied: object) -> None:
    words = Loud(OnDemand(["one", "two"], lambda word: word[::-1]), lambda word: word.upper())
    again = copied(words)  # type: ignore[operator]
    assert list(again) == ["ENO", "OWT"] and again.first() == "ENO" and again[1:].first() == "OWT"
    assert list(words) == ["ENO", "OWT"]
