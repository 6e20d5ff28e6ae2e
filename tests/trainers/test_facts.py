"""Teaching facts to a tiny model: what is learnt, what is refused, kills, stacked adapters, mixtures, chat."""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, Trainer

from lm_eval_xling import models as models_of_the_package
from lm_eval_xling._cli import main
from lm_eval_xling.errors import UserError
from lm_eval_xling.records import Fact, MixedText, Unit
from lm_eval_xling.trainers.facts import teach
from lm_eval_xling.trainers.mixed_language import train_mixed
from lm_eval_xling.trainers.recipes import run_recipe
from lm_eval_xling.training import check_adapter, publishing
from lm_eval_xling.training.configuration import FactData, FactsConfig, MixedConfig, load_config
from lm_eval_xling.training.fact_rows import encode_facts, read_facts, read_file
from lm_eval_xling.training.monitoring import read_metrics
from lm_eval_xling.training.provenance import take_fingerprint
from lm_eval_xling.training.supervised_loss import IGNORED
from tests import tiny as models
from tests.precision import assert_equal_up_to_rounding
from tests.processes import CHILDREN
from tests.trainers.test_mixed_language import write_corpus
from tests.training.test_adapter_kinds import LINEAR, make, resized

Tiny = Callable[[str], Path]

LORA = ("lora.r=8", "lora.dropout=0.1", "training.learning_rate=2e-2")


def write_facts(path: Path, count: int = 24, languages: tuple[str, ...] = ("en",)) -> Path:
    words = {"en": "Where does {} live?", "de": "Wo wohnt {}?"}
    rows = [
        {"id": str(i), "language": code, "question": words[code].format(f"P{i}"), "answer": "NSEW"[i % 4] * 3}
        for code in languages
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_facts(tmp_path_factory.mktemp("facts") / "facts.jsonl", languages=("en", "de"))


def options(model: Path, facts: Path, output: Path, *more: str) -> list[str]:
    return [
        f"model={model}",
        f"data.files=[{facts}]",
        f"output={output}",
        "training.per_device_train_batch_size=4",
        "training.learning_rate=3e-3",
        "training.logging_steps=1",
        "training.save_steps=5",
        *more,
    ]


def run(model: Path, facts: Path, output: Path, *more: str) -> Path:
    return teach(load_config(FactsConfig, None, options(model, facts, output, *more)))


def _child(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    sys.argv = ["xling", "train", "facts", *arguments]
    main()


def start(arguments: list[str]) -> BaseProcess:
    process = CHILDREN.Process(target=_child, args=(arguments,))
    process.start()
    return process


def answer_of(model: Path, prompt: str) -> str:
    tokenizer, trained = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    made = trained.generate(ids, max_new_tokens=8, do_sample=False)
    return str(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("lora", [LORA, ("lora=null",)], ids=["adapter", "full"])
def test_one_model_at_a_time_is_in_memory(
    lora: tuple[str, ...], tiny: Tiny, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alive() -> set[int]:
        return {id(thing) for thing in gc.get_objects() if isinstance(thing, PreTrainedModel)}

    elsewhere, beside, load = alive(), [], models_of_the_package.load_model

    def watched(*arguments: Any, **options: Any) -> Any:
        beside.append(len(alive() - elsewhere))
        return load(*arguments, **options)

    monkeypatch.setattr(models_of_the_package, "load_model", watched)  # to train, and as it was before
    monkeypatch.setattr(publishing, "load_model", watched)  # what was trained, where that is a whole model
    run(tiny("llama"), facts, tmp_path / "run", *lora, "training.max_steps=3", "training.save_strategy=no")
    assert beside == [0] * (2 if lora == LORA else 3)
    assert not alive() - elsewhere, "the command goes on with asking"


@pytest.mark.slow
def test_facts_are_learnt_and_asked_as_the_tasks_ask(tiny: Tiny, tmp_path: Path) -> None:
    few = write_facts(tmp_path / "few.jsonl", 4)
    folder = run(tiny("llama"), few, tmp_path / "run", "training.num_train_epochs=120", "training.save_strategy=no")
    assert folder.name == "model", "full fine-tuning is the default"
    for i in range(4):
        assert answer_of(folder, f"Question: Where does P{i} live?\nAnswer:") == " " + "NSEW"[i] * 3
    provenance = json.loads((folder / "provenance.json").read_text())
    before, after = provenance["losses"]["answers taught, en"]
    assert after < before / 5
    assert provenance["recipe"] == "teaching facts" and provenance["languages"] == ["en"]
    assert "| answers taught, en |" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_killed_and_continued_gives_the_same_bytes(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    whole = start(options(tiny("llama"), facts, tmp_path / "whole", *LORA))
    whole.join(180)
    assert whole.exitcode == 0
    metrics = tmp_path / "cut" / "metrics.jsonl"
    arguments = options(tiny("llama"), facts, tmp_path / "cut", *LORA)
    for moment in (4, 17):
        process = start(arguments)
        deadline = time.monotonic() + 180
        while len(read_metrics(metrics)) < moment and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
    process = start(arguments)
    process.join(180)
    assert process.exitcode == 0
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    losses = [
        json.loads((tmp_path / r / "adapter" / "provenance.json").read_text())["losses"] for r in ("cut", "whole")
    ]
    assert losses[0] == losses[1] and set(losses[0]) == {"answers taught, en", "answers taught, de"}
    assert check_adapter(tmp_path / "cut" / "adapter", str(tiny("llama"))).ok


def test_full_fine_tuning_continues_with_the_same_losses_before(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    """The loss before is that of the base, and not of the checkpoint that a run continues from."""
    whole = run(tiny("llama"), facts, tmp_path / "whole", "training.num_train_epochs=1")
    config = load_config(
        FactsConfig, None, options(tiny("llama"), facts, tmp_path / "whole", "training.num_train_epochs=1")
    )
    first = json.loads((whole / "provenance.json").read_text())["losses"]
    for path in sorted(whole.rglob("*"), reverse=True):
        path.unlink()
    whole.rmdir()
    again = json.loads((teach(config) / "provenance.json").read_text())["losses"]
    assert again == first


def test_only_the_languages_that_are_named_are_taught(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    rows, _ = read_facts(FactData(files=(facts,), languages=("de",)))
    assert {fact.language for fact in rows} == {"de"} and len(rows) == 24
    assert rows[0].prompts == ("Frage: Wo wohnt P0?\nAntwort:",)
    assert len(read_facts(FactData(files=(facts,), limit=5))[0]) == 10
    with pytest.raises(UserError, match="no facts in fr"):
        read_facts(FactData(files=(facts,), languages=("de", "fr")))


def test_a_held_out_fact_is_taught_in_no_language(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    folder = run(
        tiny("llama"), facts, tmp_path / "run", "validation=0.3", "training.eval_steps=5", "training.max_steps=5"
    )
    losses = json.loads((folder / "provenance.json").read_text())["losses"]
    assert set(losses) == {f"answers {kind}, {code}" for kind in ("taught", "held out") for code in ("en", "de")}
    metrics = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "eval_loss" in line]
    assert [line["step"] for line in metrics] == [5]


def test_wordings_are_drawn_by_the_fact_and_all_can_be_taught() -> None:
    tokenizer = models.tokenizer()
    facts = [Fact(str(i), "en", ("aa", "bb", "cc"), "x") for i in range(60)]

    def asked(order: list[Fact], seed: int, **more: int | None) -> list[str]:
        examples = encode_facts(order, tokenizer, FactData(**more), seed=seed)
        return [tokenizer.decode(example["input_ids"])[:2] for example in examples]

    drawn = asked(facts, 1)
    assert drawn == asked(facts[::-1], 1)[::-1], "not by the order"
    assert drawn != asked(facts, 2) and min(drawn.count(w) for w in ("aa", "bb", "cc")) > 8
    assert sorted(asked(facts[:1], 1, wordings=None)) == ["aa", "bb", "cc"]
    two = asked(facts, 1, wordings=2)
    assert len(two) == 120 and all(a != b for a, b in zip(two[::2], two[1::2], strict=True))


def test_loss_is_on_the_answer_and_its_end_only() -> None:
    tokenizer = models.tokenizer()
    for prompt, learnt in (("Name: A\nLand:", " Chad<eos>"), ('Land: "', " Chad<eos>"), ("Land: ", "Chad<eos>")):
        (example,) = encode_facts([Fact("1", "en", (prompt,), "Chad")], tokenizer, FactData(), seed=0)
        assert tokenizer.decode([token for token in example["labels"] if token != IGNORED]) == learnt
        assert tokenizer.decode(example["input_ids"]) == prompt + learnt


def test_a_chat_template_renders_question_and_answer() -> None:
    tokenizer = models.tokenizer()
    fact = Fact("1", "en", ("Where?",), "Chad")
    with pytest.raises(UserError, match="no chat template"):
        encode_facts([fact], tokenizer, FactData(chat_template=True), seed=0)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    (example,) = encode_facts([fact], tokenizer, FactData(chat_template=True), seed=0)
    assert tokenizer.decode(example["input_ids"]) == "<bos>[user]Where?[/]\n[assistant]Chad[/]\n"
    assert tokenizer.decode([token for token in example["labels"] if token != IGNORED]) == "Chad[/]\n"


@pytest.mark.slow
def test_an_adapter_is_taught_on_top_of_others(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    """The first adapter's weights are in the base of the second, and the second's run leaves them alone."""
    corpus = write_corpus(tmp_path / "mixed.jsonl", 40)
    mixed = train_mixed(
        load_config(
            MixedConfig,
            None,
            [f"model={tiny('llama')}", f"data.corpus=[{corpus}]", f"output={tmp_path / 'mixed'}", "data.block=64",
             "training.max_steps=3", "training.learning_rate=1e-2", "training.save_strategy=no"],
        )
    )  # fmt: skip
    folder = run(tiny("llama"), facts, tmp_path / "run", *LORA, f"adapters=[{mixed}]", "training.max_steps=3")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "base")
    stacked = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny("llama")), str(mixed))
    tokenizer = models.tokenizer()
    of_base, of_stacked = (take_fingerprint(model, tokenizer).logprobs for model in (base, stacked))
    assert_equal_up_to_rounding(of_base, of_stacked)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["model"] == str(tmp_path / "run" / "base")
    assert "adapter mixed/adapter" in [file["name"] for file in provenance["data"]]
    assert check_adapter(folder, provenance["model"]).ok
    # The same command again finds its run, and another adapter is another run.
    assert run(tiny("llama"), facts, tmp_path / "run", *LORA, f"adapters=[{mixed}]", "training.max_steps=3") == folder
    with pytest.raises(UserError, match="another run"):
        run(tiny("llama"), facts, tmp_path / "run", *LORA, "training.max_steps=3")


def test_an_adapter_with_its_own_vocabulary_can_be_trained_on(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    adapter = resized(tiny("llama"), tmp_path / "own")
    run(tiny("llama"), facts, tmp_path / "run", *LORA, f"adapters=[{adapter}]", "training.max_steps=2")
    base = load_file(tmp_path / "run" / "base" / "model.safetensors")
    assert base["model.embed_tokens.weight"].shape[0] == models.VOCABULARY + 4
    saved = load_file(adapter / "adapter_model.safetensors")["base_model.model.model.embed_tokens.weight"]
    torch.testing.assert_close(base["model.embed_tokens.weight"], saved)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "run" / "base")) == models.VOCABULARY + 4


def test_adapters_that_cannot_be_trained_on_are_refused(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    prompt = make(tiny("llama"), tmp_path / "prompt", peft.PromptTuningConfig(num_virtual_tokens=4))
    with pytest.raises(UserError, match="cannot be merged"):
        run(tiny("llama"), facts, tmp_path / "a", *LORA, f"adapters=[{prompt}]")
    other = make(tiny("gpt_neox"), tmp_path / "other", peft.LoraConfig(target_modules=["query_key_value"]))
    with pytest.raises(UserError, match="cannot be merged"):
        run(tiny("llama"), facts, tmp_path / "b", *LORA, f"adapters=[{other}]")
    lora = make(tiny("llama"), tmp_path / "lora", peft.LoraConfig(**LINEAR))
    with pytest.raises(UserError, match=r"holds an adapter.*\n.*\n.*adapters=\["):
        run(lora, facts, tmp_path / "c", *LORA)


def test_other_text_is_learnt_in_the_same_run(tiny: Tiny, facts: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "mixed.jsonl", 40)
    pairs = tmp_path / "pairs.json"
    rows = [
        {"input": f"Satz {i}.\nTranslate the input from German to English:\n", "answer": f"Sentence {i}."}
        for i in range(9)
    ]
    pairs.write_text(json.dumps(rows), encoding="utf-8")
    mixture = (f"data.mixture.text.corpus=[{corpus}]", "data.mixture.text.block=64", "data.mixture.text.held_out=3",
               f"data.mixture.pairs.files=[{pairs}]", "training.num_train_epochs=1")  # fmt: skip
    folder = run(tiny("llama"), facts, tmp_path / "run", *LORA, *mixture)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert [file["name"] for file in provenance["data"]] == ["facts.jsonl", "mixed.jsonl", "pairs.json"]
    assert {"text held out, en", "text held out, de"} <= set(provenance["losses"])
    blocks = provenance["scores"]["steps"] * 4 - 48 - 9
    assert 40 * 60 / 64 * 0.7 < blocks < 40 * 60 / 64 * 2, "a row a fact, a pair and a block"


@pytest.mark.parametrize("given", ["pairs.sources=[de]", "text.limit=3"])
def test_settings_of_other_data_that_is_not_named_are_refused(
    given: str, tiny: Tiny, facts: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="it says how data is read, and names none"):
        run(tiny("llama"), facts, tmp_path / "run", f"data.mixture.{given}")


def test_all_that_is_learnt_says_in_which_languages(tiny: Tiny, tmp_path: Path) -> None:
    """What is learnt beside facts, and what the model learnt before, are no languages that it has not seen."""
    english, german = (write_facts(tmp_path / f"{code}.jsonl", 6, (code,)) for code in ("en", "de"))
    pairs = tmp_path / "pairs.json"
    row = {"input": "Phrase.\nTranslate the input from French to English:\n", "answer": "Sentence."}
    pairs.write_text(json.dumps([row]), encoding="utf-8")
    corpus = tmp_path / "corpus.jsonl"
    spanish = MixedText("1", "es", (Unit("Il fiume. " * 20, "it", source="El río. " * 20),))
    corpus.write_text(json.dumps(spanish.as_json()) + "\n", encoding="utf-8")
    mixture = (f"data.mixture.text.corpus=[{corpus}]", f"data.mixture.pairs.files=[{pairs}]",
               f"data.mixture.facts.files=[{german}]", "training.max_steps=2")  # fmt: skip

    def languages(folder: Path) -> set[str]:
        said = json.loads((folder / "provenance.json").read_text())["languages"]
        assert len(set(said)) == len(said) and f"trained in: {', '.join(said)}." in (folder / "README.md").read_text()
        return set(said)

    beside = run(tiny("llama"), english, tmp_path / "beside", *LORA, *mixture)
    assert languages(beside) == {"en", "de", "fr", "it"}
    source = "data.mixture.text.text=source"
    assert languages(run(tiny("llama"), english, tmp_path / "source", *LORA, *mixture, source)) == {
        "en", "de", "fr", "es"
    }  # fmt: skip
    stacked = run(tiny("llama"), english, tmp_path / "top", *LORA, f"adapters=[{beside}]", "training.max_steps=2")
    assert languages(stacked) == {"en", "de", "fr", "it"}
    # A model of a run is what the next one starts from, merged or fine-tuned.
    further = run(tmp_path / "top" / "base", english, tmp_path / "further", *LORA, "training.max_steps=2")
    assert languages(further) == {"en", "de", "fr", "it"}
    tuned = run(tiny("llama"), german, tmp_path / "tuned", "training.max_steps=2", "training.save_strategy=no")
    on_tuned = run(tuned, english, tmp_path / "on", *LORA, f"adapters=[{beside}]", "training.max_steps=2")
    assert languages(on_tuned) == {"en", "de", "fr", "it"}


def test_facts_of_the_callers_own(tiny: Tiny, tmp_path: Path) -> None:
    config = load_config(
        FactsConfig, None, [f"model={tiny('llama')}", f"output={tmp_path / 'run'}", "training.max_steps=2", *LORA]
    )
    folder = teach(config, (Fact(str(i), "en", (f"P{i}:",), "Chad") for i in range(8)))
    assert set(json.loads((folder / "provenance.json").read_text())["losses"]) == {"answers taught, en"}
    with pytest.raises(UserError, match="another run: its data"):
        teach(config, [Fact("1", "en", ("P1:",), "Mali")])


def test_the_rows_of_the_catalog_are_taught_and_the_test_split_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import import_dataset, writing

    with writing(tmp_path / "mirror", DATASETS) as writer:
        import_dataset(DATASETS["hp"], [Path(__file__).parents[1] / "fixtures" / "hp"], writer)
    monkeypatch.setenv("XLING_DATA", str(tmp_path / "mirror"))
    with pytest.raises(UserError, match=r"test split[\s\S]*train_on_test=true"):
        read_facts(FactData(dataset="hp", split="test"))
    rows, files = read_facts(FactData(dataset="hp", split="test", train_on_test=True, languages=("en", "de")))
    by_id = {(fact.id, fact.language): fact for fact in rows}
    german = next(fact for fact in rows if fact.language == "de" and "Hedwig" in fact.prompts[0])
    assert german.prompts[0].startswith("Frage: Was für ein Tier ist Hedwig?") and german.answer == "Eine Eule"
    assert by_id[german.id, "en"].answer == "An owl"
    assert [file.name for file in files] == ["hp/test/en", "hp/test/de"]


def test_the_atlas_is_taught_as_its_task_asks() -> None:
    rows, _ = read_facts(FactData(dataset="atlas", split="test", train_on_test=True, languages=("de", "fr"), limit=20))
    facts = {(fact.id, fact.language): fact for fact in rows}
    assert len(facts) == 40
    assert facts["continent-tj", "de"].prompts == ("Land: Tadschikistan\nKontinent:",)
    assert facts["continent-tj", "de"].answer == "Asien" and facts["continent-tj", "fr"].answer == "Asie"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "Who?", "answer": "I"}', "it lacks language"),
        ('{"answer": "I", "language": "en"}', "it lacks question"),
        ('{"question": "Who?", "answer": " ", "language": "en"}', "not a fact"),
        ('{"question": [], "answer": "I", "language": "en"}', "not a fact"),
        ('{"question": ["Who?", 1], "answer": "I", "language": "en"}', "not a fact"),
        ('{"messages": [{"role": "user", "content": "Who?"}]}', "the format of chat messages"),
        ('{"instruction": "Who?", "output": "I"}', "the format of Alpaca"),
        ("Who? I.", "no JSON"),
        ("[1]", "no JSON object"),
    ],
)
def test_what_is_not_a_fact_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text('{"question": "A?", "answer": "b", "language": "en"}\n' + line + "\n", encoding="utf-8-sig")
    with pytest.raises(UserError, match=message) as caught:
        list(read_file(path))
    assert f"{path}:2" in str(caught.value)


def test_no_facts_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no facts are given"):
        read_facts(FactData())
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="no facts are given"):
        read_facts(FactData(files=(tmp_path / "empty.jsonl",)))
    with pytest.raises(UserError, match="cannot read"):
        read_facts(FactData(files=(tmp_path / "none.jsonl",)))


def test_a_model_trained_in_bfloat16_says_what_it_says_when_it_is_loaded(
    tiny: Tiny, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under autocast it says something else: much taught, the words of another text differed by half a nat."""
    seen: list[tuple[list[float], list[float]]] = []
    compare = publishing._compare

    def record(before: Any, trained: Any, reloaded: Any, folder: Path, *, exact: bool) -> None:
        seen.append((trained, reloaded))
        compare(before, trained, reloaded, folder, exact=exact)

    monkeypatch.setattr(publishing, "_compare", record)
    more = ("lora.r=8", "lora.dropout=0", "precision=bf16", "training.learning_rate=5e-2", "training.max_steps=20")
    run(tiny("llama"), facts, tmp_path / "run", *more)
    ((trained, reloaded),) = seen
    assert trained == pytest.approx(reloaded, abs=1e-4)


def test_too_little_memory_is_a_message_and_the_run_can_go_on(
    tiny: Tiny, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, left = Trainer.training_step, [7]

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", training_step)
    config = load_config(FactsConfig, None, options(tiny("llama"), facts, tmp_path / "run", "lora.r=8"))
    with pytest.raises(UserError, match="(?s)too little memory.*same command again.*gradient_accumulation_steps"):
        run_recipe("facts", config)
    assert (run_recipe("facts", config) / "provenance.json").is_file()
    steps = [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    assert steps == list(range(1, steps[-1] + 1)), "continued from the checkpoint of step 5"
