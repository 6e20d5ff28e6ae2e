"""Children of the test process: such as may be killed at any moment, and launches on two machines."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from tqdm import tqdm

__all__ = ["CHILDREN", "forked", "on_two_machines"]

CHILDREN: BaseContext = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
CHILDREN.set_forkserver_preload(
    [f"lm_eval_xling.trainers.{recipe}" for recipe in ("facts", "mixed_language", "question_alignment")]
    + ["peft.tuners.lora", "datasets"]
)
"""Starts children of a server that has imported torch once: an import takes longer than a whole tiny run. Where that
may have touched a GPU, a fork cannot use it."""


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


def on_two_machines(words: list[str], environment: Mapping[str, str]) -> None:
    """Run ``xling`` under ``accelerate launch`` as two machines with one CPU process each would, that meet here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_machines", "2", "--num_processes", "2"]
    # Without a GPU, --multi_gpu is the launcher's name for several processes.
    launch += ["--multi_gpu", "--main_process_ip", "127.0.0.1", "--main_process_port", str(port), "--same_network"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    # Files, because a full pipe of one would stop both.
    with tempfile.TemporaryFile("w+") as first, tempfile.TemporaryFile("w+") as second:
        machines = [
            subprocess.Popen(
                [*launch, "--machine_rank", str(rank), "-m", "lm_eval_xling", *words],
                env={**environment, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            for rank, said in enumerate((first, second))
        ]
        codes = [machine.wait(timeout=600) for machine in machines]
        for said in (first, second):
            said.seek(0)
        assert codes == [0, 0], first.read() + second.read()
