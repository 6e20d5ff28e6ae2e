"""Children of the test process that may be killed at any moment."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm

__all__ = ["forked"]


def forked(target: Callable[..., object], *args: Any, **kwargs: Any) -> BaseProcess:
    """Return a child, not yet started, that begins with all that the test has set up.

    It has a lock of its own for progress bars: a child killed while it held tqdm's, which forks share, would stop
    the test process for ever.
    """

    def run() -> None:
        kinds = [tqdm]
        for kind in kinds:
            kind.set_lock(threading.RLock())
            kinds += kind.__subclasses__()
        target(*args, **kwargs)

    return multiprocessing.get_context("fork").Process(target=run)
