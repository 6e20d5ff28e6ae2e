"""What ``xling tasks --available`` says of a leaf is what happens: what it needs is what it loads, and no more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.catalog.dataset import Fetched, Part
from lm_eval_xling.catalog.mirroring import writing
from lm_eval_xling.errors import UserError
from lm_eval_xling.families import FAMILIES, Family, Leaf
from lm_eval_xling.families.available import missing_data
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.harness import requests
from lm_eval_xling.leaf_dataset import evaluated, leaf_dataset
from lm_eval_xling.records import Document, Row
from tests.families.test_used_parameters import COUNTED, beside, other
from tests.families.written import rows_of

NO_ENGLISH = Path("nli/test/en.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_leaf_loads_what_it_is_said_to_need(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own parameters, and with another value of each parameter that it takes."""
    loaded: set[tuple[str, str, str]] = set()

    def recorded(dataset: str, language: str, split: str) -> list[Row]:
        loaded.add((dataset, split, language))
        return rows_of(dataset, language, split)

    monkeypatch.setattr(catalog, "load_rows", recorded)
    wrong = {}
    for leaf in family.leaves:
        for name in (None, *(name for name in leaf.parameters if name not in COUNTED)):
            given = {} if name is None else {**beside(leaf, name), name: other(leaf, name)}
            given = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
            configured, values = configure(family, leaf, given)
            form = family.forms[configured.form]
            loaded.clear()
            try:
                family.documents(configured, form, values)
            except UserError as error:
                # Rows that we wrote cannot take every value; what was to be loaded, was.
                assert loaded, f"{family.task(leaf)} {given}: {error}"
            assert family.needs is not None
            needed = set(family.needs(configured, form, values))
            if needed != loaded:
                wrong[leaf.name, name] = {"not named": loaded - needed, "in vain": needed - loaded}
    assert wrong == {}


def with_holes(mirror: Path, folder: Path, seed: int) -> Path:
    """A copy of a mirror in which a sixth of the files is gone and a twelfth has lost its end; of the English, one."""
    draw = random.Random(seed)
    folder.mkdir()
    for source in sorted(path for path in mirror.rglob("*") if path.is_file()):
        name = source.relative_to(mirror)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = source.read_bytes()
        spoilt = name == NO_ENGLISH or (name.suffix == ".jsonl" and name.stem != "en" and draw.random() < 1 / 4)
        if not spoilt:
            (folder / name).write_bytes(data)
        elif name != NO_ENGLISH and draw.random() < 1 / 3:
            (folder / name).write_bytes(data[:-7])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("raw_data", ["written"], indirect=True, scope="session")
def test_a_leaf_that_is_said_to_be_there_has_its_first_document_and_another_raises(
    full_mirror: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_holes(Path(full_mirror["XLING_DATA"]), tmp_path / "holes", seed=4)
    monkeypatch.setenv("XLING_DATA", str(folder))
    said: dict[bool, list[str]] = {True: [], False: []}
    for family in FAMILIES.values():
        for leaf in family.leaves:
            lacks = missing_data(family, leaf)
            said[not lacks].append(family.name)
            if not lacks:
                assert first_document(family, leaf, str(folder)).family == family.name
                continue
            with pytest.raises(UserError) as error:
                first_document(family, leaf, str(folder))
            files = [f"{part.dataset}/{part.split}/{part.language}.jsonl" for part in lacks]
            absent = [f"does not hold {part.language!r} {part.split!r} of dataset {part.dataset!r}" for part in lacks]
            signs = [*files, *absent, *(part.why for part in lacks)]
            assert any(sign in str(error.value) for sign in signs), f"{family.task(leaf)}: {error.value}"
    # Holes in every family but those whose data is part of the package; a family that is all of one dataset, whose
    # gold labels are the English rows', has no leaf left without them.
    assert set(said[True]) == set(FAMILIES) - {"nli"} and set(said[False]) == set(FAMILIES) - {"atlas", "ledger"}


def first_document(family: Family, leaf: Leaf, mirror: str) -> Document:
    configured, values = configure(family, leaf, None)
    return Document.from_row(evaluated(leaf_dataset(family, leaf.name, configured.form, values, mirror))[0])


def test_any_language_of_a_mirror_takes_the_place_of_the_leaf_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(tmp_path / "mirror", catalog.DATASETS) as mirror:
        for language in ("en", "sw"):
            for split in ("dev", "test"):
                fetched = Fetched(rows_of("mmlu", language, split), None, {})
                mirror.store(catalog.DATASETS["mmlu"], Part(language, split), "written", fetched)
    monkeypatch.setenv("XLING_DATA", str(tmp_path / "mirror"))
    asked = requests("xling_mmlu_question_de", num_fewshot=5, metadata={"xling": {"languages": ["Swahili"]}})
    rows = zip(asked, rows_of("mmlu", "en", "test"), rows_of("mmlu", "sw", "test"), strict=True)
    for request, english, swahili in rows:
        options = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", english.options, strict=True))
        assert request.context.endswith(f"\n\n{swahili.fields['question']}\n{options}\nAnswer:")
        assert request.context.count("en dev") == 5 and "sw dev" not in request.context
        languages = request.document.condition.languages
        assert (languages["question"], languages["answer"], languages["option_3"]) == ("sw", "en", "en")
        assert request.document.answer == english.answer
