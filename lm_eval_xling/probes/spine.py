"""One run of a probe from beginning to end: load ▸ prompts ▸ activations ▸ measures ▸ save ▸ draw."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.files import nothing_left
from lm_eval_xling.probes.probe import Findings, Probe, Prompt
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.registered import PROBES
from lm_eval_xling.probes.runs import Run

__all__ = ["run"]

_MODULES = ("jinja2", "matplotlib", "pyarrow", "regex", "scipy", "sklearn")


def run(
    probe: str | Probe,
    model: str | ProbedModel,
    prompts: Sequence[Prompt],
    out: str | Path,
    *,
    adapters: Sequence[str | Path] = (),
    revision: str | None = None,
    dtype: str = "float32",
    device: str | None = None,
    batch_tokens: int = 2048,
    **settings: Any,
) -> Findings:
    """Probe a model on prompts, and write numbers, pictures and a page to a folder.

    Args:
        probe: a name in ``PROBES``, or a probe of one's own.
        model: folder, hub id, name of an embedded model, or a model that is loaded already.
        prompts: as ``from_tasks``, ``from_files`` or ``parallel_sentences`` give them.
        out: folder of the run; a killed run is continued by the same call.
        adapters: peft folders; each is compared with the base model. For a model that is not loaded.
        revision: of the model on the hub; likewise.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto``; likewise.
        device: ``cpu``, ``cuda``, …; likewise.
        batch_tokens: greatest number of tokens in a batch, padding included.
        settings: of the probe, by name.

    Raises:
        UserError: for everything that the user can mend, before the model runs where that can be known.
    """
    chosen = probe if isinstance(probe, Probe) else _known(probe)
    wanted = chosen.prepare(prompts, chosen.settings_from(settings))
    _require_modules()
    if not isinstance(model, ProbedModel):
        model = ProbedModel(
            model, [Path(adapter) for adapter in adapters], revision=revision, dtype=dtype, device=device
        )
    with nothing_left(Path(out), "run.json"):
        folder = Run(Path(out), chosen.name, model=model.describe(), prompts=prompts, settings=_described(wanted))
        findings = chosen.measure(model, prompts, wanted, folder.activations, batch_tokens)
    folder.save(findings)
    folder.show(chosen, findings, chosen.draw(findings, prompts, folder.figures, model.name))
    return findings


def _known(name: str) -> Probe:
    if name not in PROBES:
        raise unknown_name("probe", name, PROBES)
    return PROBES[name]


def _require_modules() -> None:
    """Ask before the model runs: hours of numbers are not lost for a picture."""
    missing = [module for module in _MODULES if not find_spec(module)]
    if missing:
        raise UserError(f"not installed: {', '.join(missing)}", fix="pip install 'lm-eval-xling[probes]'")


def _described(settings: Any) -> dict[str, Any]:
    """Return settings for ``run.json``; of word lists, a digest that does not depend on the order of their files."""
    values = {entry.name: getattr(settings, entry.name) for entry in dataclasses.fields(settings)}
    return {name: _digest(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _digest(words: Mapping[Any, Any]) -> str | None:
    if not words:
        return None
    digest = hashlib.sha256()
    for key in sorted(words):
        entries = words[key]
        digest.update(
            repr((key, sorted(entries.items()) if isinstance(entries, Mapping) else sorted(entries))).encode()
        )
    return digest.hexdigest()[:16]
