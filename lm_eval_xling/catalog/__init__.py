"""What each dataset is, where it comes from, and how its raw form becomes rows.

One call of ``load_rows`` goes from the left to the right::

    registry ▸ loading ▸ package | mirror | sources ▸ formats ▸ checks ▸ rows
"""

from lm_eval_xling.catalog.availability import Availability, Lacking, availability, commands, lacking, lacks_in_words
from lm_eval_xling.catalog.dataset import Dataset, Part
from lm_eval_xling.catalog.loading import load_rows
from lm_eval_xling.catalog.registry import DATASETS

__all__ = [
    "DATASETS",
    "Availability",
    "Dataset",
    "Lacking",
    "Part",
    "availability",
    "commands",
    "lacking",
    "lacks_in_words",
    "load_rows",
]
