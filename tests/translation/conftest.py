from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.translation import tiny_seq2seq


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_seq2seq.save(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return of
