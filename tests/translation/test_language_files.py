from __future__ import annotations

from pathlib import Path

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.probes.prompt_sources import parallel_sentences
from lm_eval_xling.translation.language_files import language_files, language_of_file


def write(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_text("\ufeffa\nb\nc\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dan_Latn.devtest", "da"),
        ("zho_Hant.devtest", "zh-Hant"),
        ("cmn_Hans.txt", "zh"),
        ("dev.cmn_Hant", "zh-Hant"),
        ("devtest.cat_Latn_vale1252", "ca-vale1252"),
        ("nno_Latn.dev", "nn"),
        ("pt-BR.txt", "pt"),
        ("en.devtest", "en"),
        ("Danish.txt", "da"),
    ],
)
def test_the_language_of_a_file(name, code):
    assert language_of_file(Path(name)).code == code


def test_a_folder_of_flores_loses_no_language(tmp_path):
    names = ("dan_Latn.devtest", "nno_Latn.devtest", "nob_Latn.devtest", "zho_Hans.devtest", "zho_Hant.devtest")
    source = write(tmp_path, *names, "README.md", ".hidden", "LICENSE")
    assert list(language_files(source)) == ["da", "nn", "no", "zh", "zh-Hant"]
    found = parallel_sentences(source)
    assert sorted({prompt.language for prompt in found}) == ["da", "nn", "no", "zh", "zh-Hant"]
    assert {prompt.text for prompt in found} == {"a", "b", "c"}


def test_a_file_without_a_language_is_an_error(tmp_path):
    source = write(tmp_path, "dan_Latn.devtest", "sentences.devtest")
    with pytest.raises(UserError, match=r"the file's name says no language: unknown language 'sentences'\n(?s:.*)sent"):
        parallel_sentences(source)


@pytest.mark.parametrize("second", ["dan_Latn.devtest", "da.txt", "Danish.txt"])
def test_two_files_of_one_language_are_an_error(tmp_path, second):
    source = write(tmp_path, "eng_Latn.dev", "dan_Latn.dev", second)
    with pytest.raises(UserError, match=r"two files are Danish \(da\): .* and .*\n  in: .*\n  fix: .*\{language\}"):
        parallel_sentences(source)


def test_a_pattern_names_one_kind_of_files(tmp_path):
    write(tmp_path, *(f"{code}.{split}" for code in ("eng_Latn", "dan_Latn") for split in ("dev", "devtest")))
    write(tmp_path, "metadata_dev.tsv")
    found = language_files(f"{tmp_path}/{{language}}.devtest")
    assert {code: path.name for code, path in found.items()} == {"da": "dan_Latn.devtest", "en": "eng_Latn.devtest"}
    assert len(parallel_sentences(f"{tmp_path}/{{language}}.dev")) == 6
    with pytest.raises(UserError, match="there is no such file"):
        language_files(f"{tmp_path}/{{language}}.txt")
    with pytest.raises(UserError, match="unknown language 'metadata_dev'"):
        language_files(f"{tmp_path}/{{language}}.tsv")
