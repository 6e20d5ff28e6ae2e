from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

WRITTEN_DATA = Path(__file__).with_name("fixtures")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real datasets that stands beside the repository in our CI."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real datasets are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def mirror(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mirror of all the real datasets, for ``XLING_DATA``; imported once a session. Do not write to it."""
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import NothingToImport, import_dataset, writing

    folder = tmp_path_factory.mktemp("mirror") / "data"
    with writing(folder, DATASETS) as writer:
        for dataset in DATASETS.values():
            with contextlib.suppress(NothingToImport):
                import_dataset(dataset, [shared_data], writer)
    return folder


@pytest.fixture(scope="session")
def full_mirror(shared_data: Path, mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which every leaf has its data: the real datasets, and rows that we wrote where they have gaps."""
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.mirroring import import_dataset, writing

    folder = tmp_path_factory.mktemp("full_mirror") / "data"
    shutil.copytree(mirror, folder, copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))
    with writing(folder, DATASETS) as writer:
        # The real quiz lacks three languages, and of the published mixup rows there are none.
        for name in ("hp", "mmlu_mixup"):
            import_dataset(DATASETS[name], [WRITTEN_DATA / name], writer)
        # Four languages of XQuAD are not among the real files; the English rows stand in for their text.
        stand_in = tmp_path_factory.mktemp("xquad")
        for language in ("ar", "el", "hi", "th"):
            shutil.copy(shared_data / "xquad" / "xquad.en.json", stand_in / f"xquad.{language}.json")
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
