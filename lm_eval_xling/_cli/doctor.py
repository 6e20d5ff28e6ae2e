"""``xling doctor``: what works here, and what to do where something does not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from lm_eval_xling.errors import UserError

__all__ = ["EPILOG", "doctor"]

EPILOG = """
Examples:\n
  xling doctor\n
  XLING_DATA=mirror xling doctor\n
  xling doctor --adapter ADAPTER --model MODEL
"""

_PACKAGES = ("lm-eval-xling", "lm_eval", "torch", "transformers", "peft", "accelerate", "datasets")
_COLUMN = 15


def doctor(
    adapter: Annotated[Path | None, typer.Option(help="Check this adapter instead of the installation.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model that the adapter is for: a folder or a name.")] = None,
) -> None:
    """Say which versions, tasks and datasets this environment has, and the fix where one is missing.

    With --adapter and --model: does the adapter fit the model, and does it change what the model says?
    """
    if adapter is not None or model is not None:
        if adapter is None or model is None:
            raise UserError("--adapter and --model go together", fix="xling doctor --adapter ADAPTER --model MODEL")
        _check_adapter(adapter, model)
        return
    _versions()
    _device()
    _tasks()
    _datasets()


def _line(name: str, text: str) -> None:
    print(f"{name:{_COLUMN}} {text}")


def _versions() -> None:
    from lm_eval_xling.harness import check_version

    for package in _PACKAGES:
        try:
            _line(package, version(package))
        except PackageNotFoundError:
            _line(package, f"not installed: pip install {package}")
    check_version()


def _device() -> None:
    import torch

    from lm_eval_xling.models import computes_in_bfloat16

    computes = computes_in_bfloat16()
    if torch.accelerator.is_available():
        advice = "dtype=bfloat16 halves memory and time" if computes else "dtype=float16 is the fastest"
        _line("device", f"{torch.accelerator.current_accelerator()}; --model_args …,{advice}")
        return
    advice = {
        True: "; it computes in bfloat16: --model_args …,dtype=bfloat16 is about twice as fast, and rounds "
        "(docs/scoring.md)",
        False: "; it has no bfloat16 instructions: dtype=float32 is the fastest, also of models stored in half "
        "precision",
        None: "",
    }[computes]
    _line("device", f"processor with {torch.get_num_threads()} threads{advice}")


def _tasks() -> None:
    from lm_eval_xling.harness import folder_to_include, seen_folder, tasks_folder

    folder, seen, to_include = tasks_folder(), seen_folder(), folder_to_include()
    if to_include is None:
        _line("tasks", f"the harness sees them, in {folder}")
        return
    if seen is None:
        _line("tasks", f"in {folder}, where the harness does not look: add")
        _line("", '--include_path "$(xling tasks --path)", or use `xling eval`, which adds it')
        return
    _line("tasks", f"in {folder}; but without a flag the harness sees those of an installed wheel,")
    _line("", f"in {seen}")
    _line("two copies", f"the code that runs is in {Path(__file__).resolve().parent.parent},")
    _line("", "the version above may be the wheel's. `pip uninstall lm-eval-xling` removes the wheel; or take the")
    _line(
        "", "other copy off PYTHONPATH; or use `xling eval`, which lets the tasks beside the code override the wheel's"
    )


def _datasets() -> None:
    from lm_eval_xling.catalog import DATASETS
    from lm_eval_xling.catalog.availability import availability
    from lm_eval_xling.catalog.mirror import VARIABLE, mirror_from_environment

    unreachable = False
    mirror = mirror_from_environment()
    _line(VARIABLE, "not set: datasets come from their sources" if mirror is None else str(mirror.folder))
    for found in availability(DATASETS.values()):
        if found.built_in:
            _line(found.name, "part of the package")
        elif mirror is not None:
            rows = sum(part.rows for part in found.stored)
            held = f"mirror: {rows:,} rows in {len(found.stored)} parts"
            _line(
                found.name, held if rows else f"not in the mirror: xling data fetch {found.name} --to {mirror.folder}"
            )
        elif not found.unreachable:
            _line(found.name, f"can be reached: {', '.join(found.sources)}")
        else:
            _line(found.name, f"cannot be reached: {'; '.join(found.unreachable)}")
            unreachable = True
    if unreachable:
        print("\nOn a machine that reaches the sources: xling data fetch --all --to MIRROR")
        print(f"Here: export {VARIABLE}=MIRROR")


def _check_adapter(adapter: Path, model: str) -> None:
    from lm_eval_xling.training.adapter_check import check_adapter

    check = check_adapter(adapter, model)
    modules = f" on {', '.join(check.modules)}" if check.modules else ""
    _line("adapter", f"{check.adapter}: {check.kind}, {check.parameters:,} weights{modules}")
    _line("trained on", check.trained_on)
    _line("model", check.model)
    if check.difference is not None:
        _line("difference", f"{check.difference:.3g} (greatest change of a logit)")
    for note in check.notes:
        _line("note", note)
    for problem in check.problems:
        _line("problem", problem)
    if not check.ok:
        raise UserError("evaluations with this adapter and this model would be wrong", where=check.adapter)
    _line("verdict", "the adapter fits the model and changes what it says")
    words = f"--model_args {check.arguments} --tasks crosslingual_atlas --batch_size 16"
    _line("evaluate it", f"xling eval --model hf {words}")
