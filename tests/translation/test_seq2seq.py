from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import Cache, GuardedTranslator, open_translator

TEXTS = ["The quick fox.", "A dog", "How vexingly quick daft zebras jump? 42!", "x"]


def loaded(translator, source="en", target="de"):
    return translator.model(source, target), translator._tokenizer(source, target)[0]


def by_hand(model, tokenizer, ids: list[int], forced: int | None = None) -> str:
    """One text at a time, from token ids that the test puts together itself."""
    inputs = torch.tensor([ids])
    out = model.generate(
        input_ids=inputs,
        attention_mask=torch.ones_like(inputs),
        forced_bos_token_id=forced,
        do_sample=False,
        num_beams=1,
        max_new_tokens=min(127, 2 * len(ids) + 20),
    )
    return tokenizer.decode(out[0][1 if forced is None else 2 :], skip_special_tokens=True).strip()


@pytest.mark.slow
def test_nllb_tags(folder):
    translator = open_translator(f"hf:{folder('nllb')},batch_size=3")
    model, tokenizer = loaded(translator)
    tokens = {token: index for token, index in tokenizer.get_vocab().items()}

    def ids(text: str) -> list[int]:
        plain = [tokens["▁" if letter == " " else letter] for letter in f" {text}"]
        return [tokens["eng_Latn"], *plain, tokens["</s>"]]

    for target, tag in (("de", "deu_Latn"), ("zh", "zho_Hans"), ("no", "nob_Latn")):
        expected = [by_hand(model, tokenizer, ids(text), tokens[tag]) for text in TEXTS]
        assert translator.translate(TEXTS, "en", target) == expected
    assert len({tuple(translator.translate(TEXTS, "en", target)) for target in ("de", "fr", "zh")}) == 3
    assert translator.translate(TEXTS, "fr", "de") != translator.translate(TEXTS, "en", "de")


def test_m2m100_tags(folder):
    translator = open_translator(f"hf:{folder('m2m100')},batch_size=3")
    model, tokenizer = loaded(translator)
    for target in ("de", "fr"):
        expected = []
        for text in TEXTS:
            plain = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
            ids = [tokenizer.convert_tokens_to_ids("__en__"), *plain, tokenizer.eos_token_id]
            expected.append(by_hand(model, tokenizer, ids, tokenizer.convert_tokens_to_ids(f"__{target}__")))
        assert translator.translate(TEXTS, "en", target) == expected
    with pytest.raises(UserError, match=r"cannot translate English \(en\) to Kyrgyz"):
        translator.check("en", "ky")


def test_madlad_tags(folder):
    translator = open_translator(f"hf:{folder('madlad')},batch_size=3")
    model, tokenizer = loaded(translator)
    tokens = tokenizer.get_vocab()
    for target, tag in (("de", "<2de>"), ("tl", "<2fil>")):
        expected = []
        for text in TEXTS:
            plain = tokenizer(text, add_special_tokens=False)["input_ids"]
            expected.append(by_hand(model, tokenizer, [tokens[tag], *plain, tokens["</s>"]]))
        assert translator.translate(TEXTS, "en", target) == expected
    with pytest.raises(UserError, match=r"no token '<2es>'"):
        translator.check("en", "es")


def test_marian_pair(folder):
    pattern = folder("marian").parent / "opus-mt-{source}-{target}"
    Path(str(pattern).format(source="en", target="de")).symlink_to(folder("marian"))
    translator = open_translator(f"hf:{pattern},batch_size=3")
    model, tokenizer = loaded(translator)
    expected = [
        by_hand(model, tokenizer, [*tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)), 0]) for text in TEXTS
    ]
    assert translator.translate(TEXTS, "en", "de") == expected
    with pytest.raises(UserError, match=r"opus-mt-en-fr"):
        translator.check("en", "fr")
    with pytest.raises(UserError, match=r"cannot translate English \(en\) to French"):
        open_translator(f"hf:{folder('marian')}").check("en", "fr")


def test_marian_with_several_targets(folder):
    translator = open_translator(f"hf:{folder('marian_multilingual')},batch_size=3")
    model, tokenizer = loaded(translator)
    tag = tokenizer.get_vocab()[">>fra<<"]
    expected = [
        by_hand(model, tokenizer, [tag, *tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)), 0])
        for text in TEXTS
    ]
    assert translator.translate(TEXTS, "en", "fr") == expected
    [german], _ = translator._tokenizer("en", "de")[1].prepare(["A dog"], "en", "de")
    assert tokenizer(german)["input_ids"][0] == tokenizer.get_vocab()[">>deu<<"]
    with pytest.raises(UserError, match=r"no token '>>spa<<'"):
        translator.check("en", "es")


def test_batches_hold_texts_of_similar_length(folder, monkeypatch):
    translator = open_translator(f"hf:{folder('nllb')},batch_size=2")
    model, _ = loaded(translator)
    widths = []
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda **more: (widths.append(more["input_ids"].shape), generate(**more))[1])
    texts = ["a" * length for length in (3, 40, 4, 41)]
    outputs = translator.translate(texts, "en", "de")
    # Language, space and end-of-text tokens are three more.
    assert widths == [(2, 44), (2, 7)]
    assert outputs == [translator.translate([text], "en", "de")[0] for text in texts]


def test_the_second_attempt_decodes_otherwise_and_long_texts_are_refused(folder, tmp_path, monkeypatch):
    translator = open_translator(f"hf:{folder('nllb')},batch_size=4")
    model, _ = loaded(translator)
    beams = []
    generate = model.generate
    monkeypatch.setattr(
        model,
        "generate",
        lambda **more: (beams.append((more["num_beams"], more["no_repeat_ngram_size"])), generate(**more))[1],
    )
    translator.translate(["a cat"], "en", "de", attempt=0)
    translator.translate(["a cat"], "en", "de", attempt=1)
    assert beams == [(1, 0), (4, 3)]
    assert translator.translate(["word " * 60, "a cat"], "en", "de")[0] is None
    guarded = GuardedTranslator(translator, Cache(tmp_path / "c"))
    assert guarded(["word " * 60], "en", "de") == [None]
    assert guarded.refusals == {"missing": 1}


def test_identity_follows_the_weights(folder, tmp_path):
    import shutil

    copy = tmp_path / folder("nllb").name
    shutil.copytree(folder("nllb"), copy)
    first, second = open_translator(f"hf:{folder('nllb')}"), open_translator(f"hf:{copy}")
    assert first.identity("en", "de") == second.identity("en", "de")
    assert open_translator(f"hf:{copy},beams=4").identity("en", "de") != first.identity("en", "de")
    other = tmp_path / "other" / copy.name
    shutil.copytree(copy, other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x01\x02\x03\x04")
    assert open_translator(f"hf:{other}").identity("en", "de") != first.identity("en", "de")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:x,beam=2", "did you mean beams"),
        ("hf:x,beams=0", "beams is '0'"),
        ("hf:/does/not/exist", "cannot be loaded"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UserError, match=message):
        open_translator(name).check("en", "de")


def test_mixing_in_two_processes_gives_what_one_gives(folder, tmp_path):
    """Each process loads the model itself: one that was loaded before a fork would hang or fail on a GPU."""
    from dataclasses import replace

    from lm_eval_xling.mixing import corpus as corpora
    from lm_eval_xling.mixing.documents import open_corpus

    (tmp_path / "in.txt").write_text("\n".join(f"The {n} fox jumps. Dogs {n} bark." for n in range(30)))
    settings = corpora.Settings(language="en", weights={"en": 1, "de": 1, "fr": 1})
    corpora._translator.cache_clear()
    found = []
    for processes in (2, 1):
        corpora._documents.cache_clear()
        out = tmp_path / f"{processes}.jsonl"
        corpus = open_corpus(str(tmp_path / "in.txt"), "en", ("de", "fr"), "lines")
        name = f"hf:{folder('nllb')}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(corpora, "PART", 500)
            corpora.mix_corpus(
                corpus, out, replace(settings), translator=name, cache=tmp_path / f"c{processes}", processes=processes
            )
        found.append(out.read_bytes())
    assert found[0] == found[1]


def test_other_models_are_refused(tiny, folder):
    with pytest.raises(UserError, match="architecture 'llama'"):
        open_translator(f"hf:{tiny('llama')}").check("en", "de")
