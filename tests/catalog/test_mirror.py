from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval_xling.catalog.dataset import Part
from lm_eval_xling.catalog.mirror import Mirror, decode_rows, encode_rows
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Row

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
ROWS = st.lists(
    st.builds(
        Row,
        id=TEXT,
        language=st.just("de"),
        fields=st.dictionaries(st.sampled_from(["question", "context"]), TEXT, min_size=1),
        options=st.lists(TEXT, max_size=4).map(tuple),
        answer=st.none() | st.integers(0, 3),
        target=st.none() | TEXT,
        extra=st.dictionaries(st.sampled_from(["subject", "title"]), TEXT | st.lists(TEXT)),
    ),
    min_size=1,
)


@given(ROWS)
def test_rows_survive_the_file(rows: list[Row]) -> None:
    assert list(decode_rows(encode_rows(rows), "de")) == rows


def test_line_separators_within_a_text_do_not_end_a_row() -> None:
    row = Row("1", "en", {"question": "a\u2028b\x85c\nd\re\x1cf"})
    assert list(decode_rows(encode_rows([row, row]), "en")) == [row, row]


@pytest.fixture
def small(raw_data: Path, imported: Callable[..., list[Row]], tmp_path: Path) -> Path:
    """A mirror of one dataset that may be damaged."""
    imported("hp", raw_data, "de", "test")
    return tmp_path / "mirror"


def complaints(folder: Path) -> list[tuple[str, str]]:
    return [(stored.file, complaint) for stored, complaint in Mirror(folder).verify() if complaint is not None]


def test_the_imported_mirror_is_whole(mirror: Path) -> None:
    assert complaints(mirror) == []
    assert Mirror(mirror).strangers() == []
    assert len(Mirror(mirror).names()) == 13  # all but the published mixup rows, which need the hub


def test_the_manifest_counts_rows_and_bytes(mirror: Path) -> None:
    for stored in Mirror(mirror).parts.values():
        data = (mirror / stored.file).read_bytes()
        assert (stored.rows, stored.size) == (data.count(b"\n"), len(data))
        assert stored.inputs


@pytest.mark.parametrize("position", [0, 300, -1])
def test_any_changed_byte_is_found(small: Path, position: int) -> None:
    path = small / "hp" / "test" / "de.jsonl"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    ((file, complaint),) = complaints(small)
    assert file == "hp/test/de.jsonl" and "was changed: sha256" in complaint
    with pytest.raises(UserError, match=r"was changed(?s:.*)xling data import hp --from DIR --to"):
        Mirror(small).rows("hp", Part("de", "test"))


def test_a_truncated_file_is_found(small: Path) -> None:
    path = small / "hp" / "test" / "de.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    expected = f"the file has {len(data) - 10:,} bytes, the manifest says {len(data):,}"
    assert complaints(small) == [("hp/test/de.jsonl", expected)]


def test_a_missing_file_is_found(small: Path) -> None:
    (small / "hp" / "test" / "de.jsonl").unlink()
    assert complaints(small) == [("hp/test/de.jsonl", "the file cannot be read: No such file or directory")]
    with pytest.raises(UserError, match="cannot be read"):
        Mirror(small).rows("hp", Part("de", "test"))


def test_a_file_nobody_stored_is_found(small: Path) -> None:
    (small / "hp" / "test" / "ja.jsonl").write_text("{}\n")
    assert [path.name for path in Mirror(small).strangers()] == ["ja.jsonl"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cc: Creative Commons", "MIT"),
        ('"rows": 4', '"rows": 14'),
        ("quiz_de", "quiz_it"),
        ('"layout": 1', '"layout": 1.0'),
    ],
)
def test_a_changed_manifest_is_found(small: Path, old: str, new: str) -> None:
    path = small / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match="the manifest was changed"):
        Mirror(small)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"layout": 1}'])
def test_a_manifest_that_is_none_is_named(small: Path, text: str) -> None:
    (small / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="not one that xling wrote"):
        Mirror(small)


def test_a_newer_layout_is_named(small: Path) -> None:
    path = small / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layout": 2}))
    with pytest.raises(UserError, match="layout 2, this version reads layout 1"):
        Mirror(small)


def test_a_folder_without_manifest_is_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest.json is missing(?s:.*)xling data fetch"):
        Mirror(tmp_path)


def test_a_part_that_is_not_there_names_what_is(mirror: Path) -> None:
    with pytest.raises(UserError, match=r"'ja' 'test' of dataset 'mmlu'(?s:.*)holds de, en, es, fr, it"):
        Mirror(mirror).rows("mmlu", Part("ja", "test"))
