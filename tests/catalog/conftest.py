from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lm_eval_xling.catalog import DATASETS
from lm_eval_xling.catalog.mirror import Mirror
from lm_eval_xling.catalog.mirroring import import_dataset, writing
from lm_eval_xling.records import Row


@pytest.fixture
def use_mirror(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``load_rows`` read the mirror."""
    monkeypatch.setenv("XLING_DATA", str(mirror))


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., list[Row]]:
    """Imports a dataset from a folder into a fresh mirror and returns the rows of one part."""

    def import_(dataset: str, folders: Path | Sequence[Path], language: str, split: str) -> list[Row]:
        from lm_eval_xling.catalog.dataset import Part

        chosen = [folders] if isinstance(folders, Path) else list(folders)
        with writing(tmp_path / "mirror", DATASETS) as writer:
            import_dataset(DATASETS[dataset], chosen, writer)
        return Mirror(tmp_path / "mirror").rows(dataset, Part(language, split))

    return import_
