"""Every probe by its name: those of ``kinds``, and those that are registered at run time."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from lm_eval_xling.probes import kinds
from lm_eval_xling.probes.probe import Probe

__all__ = ["PROBES", "register"]

PROBES: dict[str, Probe] = {}
"""Every probe by its name."""


def register(probe: Probe) -> None:
    """Make a probe known to ``run`` and to ``xling probe``; one of the same name is replaced."""
    PROBES[probe.name] = probe


for _module in iter_modules(kinds.__path__):
    register(import_module(f"{kinds.__name__}.{_module.name}").PROBE)
