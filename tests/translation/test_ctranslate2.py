"""CTranslate2 against transformers, on models with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import ctranslate2
import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import open_translator
from lm_eval_xling.translation.seq2seq_ctranslate2 import converted
from tests.translation import tiny_seq2seq

TEXTS = [
    "The quick fox.",
    "How vexingly quick daft zebras jump? 42!",
    "x",
    *("sphinx of black quartz, a lazy dog and a box with five dozen liquor jugs".split()),
    "judge my vow, quick fox",
]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def translated(name: str, target: str, attempt: int = 0) -> list[str | None]:
    return open_translator(name).translate(TEXTS, "en", target, attempt)


@pytest.mark.parametrize("kind", tiny_seq2seq.MAKERS)
def test_the_output_is_that_of_transformers_whatever_the_batch(kind, folder):
    target = "fr" if kind == "marian_multilingual" else "de"
    expected = translated(f"hf:{folder(kind)},batch_size=3", target)
    assert len(set(expected)) > 2
    for size in (1, 4):
        assert translated(f"ct2:{folder(kind)},batch_size={size}", target) == expected


@pytest.mark.parametrize("kind", ["nllb", "marian"])
def test_a_beam_search_does_not_depend_on_the_batch(kind, folder):
    texts = [*TEXTS, *(text[: len(text) // 2] for text in TEXTS)]
    found = [
        open_translator(f"ct2:{folder(kind)},batch_size={size}").translate(texts, "en", "de", attempt=1)
        for size in (1, 3, 32)
    ]
    assert found[0] == found[1] == found[2]


def test_compute_types_are_other_translators(folder):
    names = [f"ct2:{folder('nllb')}{option}" for option in ("", ",compute_type=int8", ",beams=4")]
    assert len({open_translator(name).identity("en", "de") for name in names}) == 3
    exact, int8, _ = (translated(name, "de") for name in names)
    assert exact != int8
    assert converted(str(folder("nllb"))) == converted(str(folder("nllb")))


def test_a_converted_folder_brings_its_tokenizer_or_is_told_one(folder, tmp_path):
    for kind in ("nllb", "m2m100", "marian", "madlad"):
        own = shutil.copytree(converted(str(folder(kind))), tmp_path / kind)
        expected = translated(f"ct2:{folder(kind)}", "de")
        assert translated(f"ct2:{own},tokenizer={folder(kind)}", "de") == expected
        with pytest.raises(UserError, match="leave it out"):
            translated(f"ct2:{folder(kind)},tokenizer={folder(kind)}", "de")
        with pytest.raises(UserError, match=r"the tokenizer cannot be loaded[\s\S]*tokenizer=NAME"):
            open_translator(f"ct2:{own}").check("en", "de")
        for path in Path(folder(kind)).iterdir():
            if path.name not in ("config.json", "model.safetensors"):
                shutil.copy(path, own)
        assert translated(f"ct2:{own}", "de") == expected


def test_texts_that_the_model_cannot_read_have_no_translation(folder):
    assert open_translator(f"ct2:{folder('nllb')}").translate(["word " * 60, "a cat"], "en", "de")[0] is None


def test_a_type_that_the_processor_does_not_compute(folder, monkeypatch):
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda *_: {"float32", "int8"})
    with pytest.raises(UserError, match=r"'bfloat16' is not computed on this device[\s\S]*float32, int8"):
        translated(f"ct2:{folder('nllb')},compute_type=bfloat16", "de")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ct2:x,compute_type=int4", "did you mean int8"),
        ("ct2:x,dtype=float32", "unknown option 'dtype'"),
        ("ct2:x,beams=0", "beams is '0'"),
        ("ct2:/does/not/exist", "cannot be loaded"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UserError, match=message):
        open_translator(name).check("en", "de")


def test_without_the_package(monkeypatch):
    monkeypatch.setattr("lm_eval_xling.translation.seq2seq_ctranslate2.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'lm-eval-xling\[ct2\]'"):
        open_translator("ct2:x")
