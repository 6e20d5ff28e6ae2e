from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.selection import (  # noqa: F401  (pytest finds its hooks here)
    REAL_DATA,
    pytest_collection_modifyitems,
    pytest_make_collect_report,
    pytest_runtest_makereport,
)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

FIXTURES = Path(__file__).with_name("fixtures")


@pytest.fixture(scope="session", params=["written", pytest.param("real", marks=pytest.mark.real_rows)])
def raw_data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the datasets as they are published: once with rows that we wrote, and once with the real ones.

    The real ones are there in our CI only. Do not write to it.
    """
    if request.param == "real":
        return REAL_DATA
    from tests.generators.rows import write_published

    return write_published(tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real datasets, for tests of what only they have; left out where there are none."""
    return REAL_DATA


@pytest.fixture(scope="session")
def mirror_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Mirror of the datasets in a folder, imported once a session."""
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import NothingToImport, import_dataset, writing

    @cache
    def made(source: Path) -> Path:
        folder = tmp_path_factory.mktemp("mirror") / "data"
        with writing(folder, DATASETS) as writer:
            for dataset in DATASETS.values():
                with contextlib.suppress(NothingToImport):
                    import_dataset(dataset, [source], writer)
        return folder

    return made


@pytest.fixture(scope="session")
def mirror(raw_data: Path, mirror_of: Callable[[Path], Path]) -> Path:
    """Mirror of ``raw_data``, for ``XLING_DATA``. Do not write to it."""
    return mirror_of(raw_data)


@pytest.fixture(scope="session")
def real_mirror(shared_data: Path, mirror_of: Callable[[Path], Path]) -> Path:
    """Mirror of the real datasets, for tests of what only they have; left out where there are none."""
    return mirror_of(shared_data)


@pytest.fixture(scope="session")
def full_mirror(raw_data: Path, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which every leaf has its data: rows that we wrote stand in where the real ones have gaps."""
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import import_dataset, writing

    folder = tmp_path_factory.mktemp("full_mirror") / "data"
    shutil.copytree(mirror, folder, copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))
    with writing(folder, DATASETS) as writer:
        # The mixup rows are published on the hub only.
        import_dataset(DATASETS["mmlu_mixup"], [FIXTURES / "mmlu_mixup"], writer)
        if raw_data != REAL_DATA:
            return {"XLING_DATA": str(folder)}
        # The real quiz lacks three languages.
        import_dataset(DATASETS["hp"], [FIXTURES / "hp"], writer)
        # Four languages of XQuAD are not among the real files; the English rows stand in for their text.
        stand_in = tmp_path_factory.mktemp("xquad")
        for language in ("ar", "el", "hi", "th"):
            shutil.copy(raw_data / "xquad" / "xquad.en.json", stand_in / f"xquad.{language}.json")
        import_dataset(DATASETS["xquad"], [stand_in], writer)
    return {"XLING_DATA": str(folder)}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model of an architecture, made once a session."""
    from tests import tiny as models

    made: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = models.save(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    return folder


@pytest.fixture(scope="session")
def gemma() -> Path:
    """Folder of the real Gemma-3-270M; converts it on the first call on a machine."""
    from lm_eval_xling.models import model_folder

    return model_folder("gemma-3-270m")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of the real SmolLM2-135M-Instruct; converts it on the first call on a machine."""
    from lm_eval_xling.models import model_folder

    return model_folder("smollm2-135m-instruct")
