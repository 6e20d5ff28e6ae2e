from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import atomic_file, json_lines, plain_suffix, read_text, text_lines, write_atomically

BOM = b"\xef\xbb\xbf"


def written(folder: Path, content: bytes) -> Path:
    path = folder / "x.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("begin", [b"", BOM], ids=["plain", "bom"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_marks_and_compression_change_no_text(tmp_path, begin, pack):
    path = written(tmp_path, pack(begin + "é\r\n\ufeffb\u2028c\n".encode()))
    # Only the first U+FEFF is a mark; a line separator ends no line.
    assert list(text_lines(path)) == ["é\n", "\ufeffb\u2028c\n"]
    assert list(text_lines(path, newline="")) == ["é\r\n", "\ufeffb\u2028c\n"]
    assert read_text(path) == "é\n\ufeffb\u2028c\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("before", [0, 5, 20_000])
def test_the_first_bad_byte_is_named_by_its_offset(tmp_path, pack, before):
    lines = b"caf\xc3\xa9\n" * before
    path = written(tmp_path, pack(lines + b"caf\xe9\n"))
    message = (
        rf"^the file is not UTF-8: byte 0xe9 at offset {len(lines) + 3:,}, line {before + 1}: .*\n  in: .*x.txt\n"
        "  fix: iconv -f ENCODING"
    )
    for read in (read_text, lambda path: list(text_lines(path))):
        with pytest.raises(UserError, match=message):
            read(path)


def test_utf_16_is_named(tmp_path):
    with pytest.raises(UserError, match="begins as UTF-16 does\n.*\n  fix: iconv -f UTF-16 -t UTF-8"):
        read_text(written(tmp_path, "Guten Tag".encode("utf-16")))


def test_a_character_cut_off_at_the_end(tmp_path):
    with pytest.raises(UserError, match="byte 0xc3 at offset 3, line 1"):
        read_text(written(tmp_path, "café".encode()[:-1]))


def test_a_truncated_gzip_file(tmp_path):
    path = written(tmp_path, gzip.compress(b"a\n" * 100_000)[:-20])
    with pytest.raises(UserError, match="the gzip file is truncated or broken"):
        list(text_lines(path))


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_text(tmp_path / "x")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        list(text_lines(tmp_path))


def test_suffix_of_a_compressed_file():
    assert [plain_suffix(Path(name)) for name in ("a.jsonl", "a.jsonl.gz", "a.gz", "a")] == [".jsonl"] * 2 + [""] * 2


def test_json_lines_say_where_an_object_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": "\u2028"}\n', encoding="utf-8-sig")
    assert list(json_lines(path, fix="")) == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": "\u2028"})]
    for line, message in (("{", "no JSON: "), ("[1]", "no JSON object")):
        path.write_text(f'{{"a": 1}}\n{line}\n')
        with pytest.raises(UserError, match=message) as error:
            list(json_lines(path, fix="write it so"))
        assert f"{path}:2" in str(error.value) and "write it so" in str(error.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_the_umasks_to_say(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new" / "x.txt", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "x.txt").stat().st_mode & 0o777 == mode


def test_a_file_that_fails_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = written(tmp_path, b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
