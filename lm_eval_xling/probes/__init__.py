"""Probes: what happens inside the layers, as numbers first and pictures of them after.

``run`` is the whole way: load ▸ prompts ▸ activations ▸ measures ▸ save ▸ draw. A probe is a value of ``Probe`` in a
module of ``kinds``; ``PROBES`` has all by name. docs/probes.md shows how to call and how to write one.
"""

from lm_eval_xling.probes.lexicons import read_lexicons, words_by_language
from lm_eval_xling.probes.probe import Findings, Measure, Point, Probe, Prompt, Quantity, setting
from lm_eval_xling.probes.probed_model import ProbedModel
from lm_eval_xling.probes.prompt_sources import from_files, from_tasks, parallel_sentences
from lm_eval_xling.probes.registered import PROBES, register
from lm_eval_xling.probes.spine import run

__all__ = [
    "PROBES",
    "Findings",
    "Measure",
    "Point",
    "Probe",
    "ProbedModel",
    "Prompt",
    "Quantity",
    "from_files",
    "from_tasks",
    "parallel_sentences",
    "read_lexicons",
    "register",
    "run",
    "setting",
    "words_by_language",
]
