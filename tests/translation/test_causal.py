from __future__ import annotations

import pytest

from lm_eval_xling.errors import UserError
from lm_eval_xling.translation import open_translator
from lm_eval_xling.translation.causal import CausalTranslator, few_shot_prompt


def test_prompt():
    examples = {"en": ["One.", "Two."], "fr": ["Un.", "Deux."]}
    assert few_shot_prompt("Three.", "en", "fr", examples) == (
        "English: One.\nFrench: Un.\n\nEnglish: Two.\nFrench: Deux.\n\nEnglish: Three.\nFrench:"
    )


def test_a_model_class_of_the_harness_completes_the_prompt(tiny, monkeypatch):
    translator = open_translator(f"llm:hf,pretrained={tiny('llama')},dtype=float32,device=cpu,max_tokens=12")
    translator.check("en", "fr")
    model = translator._load()
    seen = []
    generate = model.generate_until

    def watched(requests, disable_tqdm=False):
        seen.extend(request.args for request in requests)
        return generate(requests, disable_tqdm=disable_tqdm)

    monkeypatch.setattr(model, "generate_until", watched)
    texts = ["The house is red.", "No."]
    outputs = translator.translate(texts, "en", "fr")
    assert [prompt.rsplit("English: ", 1)[1] for prompt, _ in seen] == [f"{text}\nFrench:" for text in texts]
    assert all(prompt.count("French: ") == 3 for prompt, _ in seen)
    assert all(options["until"] == ["\n"] and options["do_sample"] is False for _, options in seen)
    assert outputs == [translator.translate([text], "en", "fr")[0] for text in texts]
    assert all("\n" not in output for output in outputs)
    translator.translate(texts, "en", "fr", attempt=1)
    assert seen[-1][1]["do_sample"] is True


def test_examples_from_a_file(tmp_path, tiny):
    path = tmp_path / "shots.tsv"
    path.write_text("en\tth\n" + "".join(f"word{n}\tคำ{n}\n" for n in range(9)), encoding="utf-8")
    translator = open_translator(f"llm:hf,pretrained={tiny('llama')},examples={path}")
    assert translator._shots("en", "th")["th"] == [f"คำ{n}" for n in range(5)]
    other = open_translator(f"llm:hf,pretrained={tiny('llama')}")
    with pytest.raises(UserError, match=r"cannot translate English \(en\) to Thai"):
        other.check("en", "th")
    assert other.identity("en", "fr") != open_translator(f"llm:hf,pretrained={tiny('opt')}").identity("en", "fr")


def test_where_a_server_is_and_what_opens_it_are_kept_nowhere():
    served = "llm:local-completions,model=m,base_url=http://{}:8000/v1,api_key={}"
    first, second = (open_translator(served.format(*given)) for given in (("10.1.2.1", "sk-a"), ("10.1.2.2", "sk-b")))
    assert first.identity("en", "fr") == second.identity("en", "fr")
    assert "10.1" not in first.identity("en", "fr") and "sk-" not in first.identity("en", "fr")
    other = open_translator(served.format("10.1.2.1", "sk-a").replace("model=m", "model=n"))
    assert other.identity("en", "fr") != first.identity("en", "fr")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llm:nonsense,pretrained=x", "no model for this name"),
        ("llm:hf,pretrained=/does/not/exist", "cannot be loaded"),
        ("llm:hf,pretrained=x,max_tokens=0", "max_tokens is '0'"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UserError, match=message):
        translator = open_translator(name)
        translator.check("en", "fr")
        translator.translate(["A cat"], "en", "fr")


@pytest.mark.real
def test_a_real_model_translates(gemma):
    translator = open_translator(f"llm:hf,pretrained={gemma},dtype=float32,device=cpu,max_tokens=20")
    [french] = translator.translate(["The house is red."], "en", "fr")
    assert "maison" in french and "rouge" in french


def test_an_embedded_model_is_named_as_everywhere(tiny, tmp_path, monkeypatch):
    from lm_eval_xling.models import EMBEDDED_MODELS

    name = "smollm2-135m-instruct"
    folder = tmp_path / "models" / f"{name}-{EMBEDDED_MODELS[name].sha256[:12]}"
    folder.parent.mkdir()
    folder.symlink_to(tiny("llama"))
    monkeypatch.setenv("XLING_CACHE", str(tmp_path))
    translator = CausalTranslator(f"hf,pretrained={name},dtype=float32,device=cpu")
    assert translator._load().model.config.model_type == "llama"
    assert name in translator.identity("en", "de"), "the cache's folder is no part of what made a translation"
