from __future__ import annotations

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.labels import LabelTokens, set_sizes
from lm_eval_xling.probes.language_share import NO_LETTERS, UNASSIGNED, assign
from lm_eval_xling.probes.probe import Prompt

PIECES = [b"", b" ", b"p", b" pos", b"positiv", b"positive", b" positivel", b"neg", "积".encode(), b"\xe7", b"\xe7\xa7"]
PIECES += ["积极".encode(), "极".encode(), b"chan", b" chanya", b"positive"]


def test_labels_begin_with_their_prefixes() -> None:
    tokens = LabelTokens(PIECES)
    # Not " ", which begins every word, not " positivel", which is longer; twice "positive", which two tokens write.
    assert tokens.prefixes("positive") == {2, 3, 4, 5, 15}
    # Bytes of the first character count, with any number of them; the second character begins nothing.
    assert tokens.prefixes("积极") == {8, 9, 10, 11}


def test_shared_tokens_are_in_neither_language() -> None:
    labels = {"en": ("positive", "negative"), "de": ("positiv", "negativ"), "sw": ("chanya", "hasi")}
    tokens = LabelTokens(PIECES)
    german = tokens.sets(Prompt("1", "de", "…", labels, 0))
    assert (german.correct_en, german.correct_target, german.all_target) == ((5, 15), (), ())
    assert german.shared == (2, 3, 4, 7)
    swahili = tokens.sets(Prompt("1", "sw", "…", labels, 1))
    assert (swahili.correct_en, swahili.all_target, swahili.shared) == ((7,), (13, 14), ())
    english = tokens.sets(Prompt("1", "en", "…", labels, 0))
    assert (english.all_en, english.all_target, english.shared) == ((2, 3, 4, 5, 7, 15), (), ())
    sizes = set_sizes([Prompt("1", "de", "…", labels, 0)], [german])
    assert sizes["de"]["shared"] == 4 and sizes["de"]["correct_en"] == 2


@pytest.mark.parametrize(
    "labels, answer",
    [({}, 0), ({"en": ("a", "b")}, None), ({"en": ("a", "b")}, 2), ({"en": ("a", "b"), "de": ("c",)}, 0)],
)
def test_incomplete_labels_are_an_error(labels: dict[str, tuple[str, ...]], answer: int | None) -> None:
    with pytest.raises(UserError):
        LabelTokens(PIECES).sets(Prompt("1", "de", "…", labels, answer))


def test_tokens_are_assigned_by_script_then_lexicon() -> None:
    pieces = [
        b" house",
        b" haus",
        b" haup",
        b"ha",
        b" in",
        "ной".encode(),
        "的".encode(),
        "の".encode(),
        b" 12.",
        b"\xe7",
    ]
    lexicons = {"en": {"house", "in"}, "de": {"Haus", "Hauptstadt", "in"}}
    groups, found = assign(pieces, ["en", "de", "ru", "zh", "ja"], lexicons)
    names = [groups[index] for index in found]
    # "的" could be Chinese or Japanese, "in" is a word of both languages, "ha" is too short to tell.
    assert names == ["en", "de", "de", UNASSIGNED, UNASSIGNED, "ru", UNASSIGNED, "ja", NO_LETTERS, NO_LETTERS]
    groups, found = assign(pieces, ["en", "zh"], {})
    assert [groups[index] for index in found] == ["en"] * 5 + [UNASSIGNED, "zh", UNASSIGNED, NO_LETTERS, NO_LETTERS]


def test_every_language_has_a_script_that_is_known() -> None:
    from lm_eval_xling.languages import LANGUAGES

    for code, language in LANGUAGES.items():
        groups, found = assign([language.native_name.encode()], [code], {})
        assert groups[found[0]] == code, language.name
