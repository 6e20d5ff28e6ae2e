"""A translator that shows what it was asked, for tests of what stands around translators."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from pathlib import Path

from lm_eval_xling.translation import Translator


class Shouting(Translator):
    """Upper-cases; logs every text it was asked for in a file, so that processes can be compared."""

    batch = 4

    def __init__(self, log: Path, *, seconds: float = 0.0, name: str = "shouting") -> None:
        self.log = log
        self.seconds = seconds
        self.name = name

    def identity(self, source: str, target: str) -> str:
        return self.name

    def check(self, source: str, target: str) -> None:
        pass

    def translate(self, texts: Sequence[str], source: str, target: str, attempt: int = 0) -> list[str | None]:
        time.sleep(self.seconds)
        with self.log.open("a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.writelines(f"{text}\n" for text in texts)
        return [f"{target}: {text.upper()}" for text in texts]

    @property
    def asked(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
