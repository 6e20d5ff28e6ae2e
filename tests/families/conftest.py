from __future__ import annotations

from collections.abc import Iterator

import pytest

from lm_eval_xling import catalog
from lm_eval_xling.leaf_dataset import leaf_dataset
from lm_eval_xling.records import Row

OPTIONS = range(4)


def written_rows(dataset: str, language: str, split: str) -> list[Row]:
    """Rows that we wrote: each text says its own dataset, language, id and part."""
    if dataset == "atlas":
        return [
            Row(
                f"capital/{i}", language, {"subject": f"{language} country {i}"},
                tuple(f"{language} city {k} of {i}" for k in OPTIONS), i % 4, None, {"relation": "capital"},
            )
            for i in range(6)
        ]  # fmt: skip
    subjects = ("abstract_algebra", "anatomy")
    return [
        Row(
            f"{subject}/{split}/{i}", language, {"question": f"{language} {split} question {subject} {i}"},
            tuple(f"{language} option {k} of {i}" for k in OPTIONS), i % 4, None,
            {"subject": subject, "category": "stem" if subject == "abstract_algebra" else "other"},
        )
        for subject in subjects
        for i in range(5)
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh_documents() -> Iterator[None]:
    # Documents are made once a process; tests put other rows behind the same leaves.
    leaf_dataset.cache_clear()
    yield
    leaf_dataset.cache_clear()


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # Translations of words that we wrote have no place among those of a user.
    monkeypatch.setenv("XLING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_rows", written_rows)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that we wrote in place of every dataset, so that every leaf has documents."""
    from tests.families.written import rows_of

    monkeypatch.setattr(catalog, "load_rows", rows_of)
