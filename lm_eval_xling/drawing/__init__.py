"""What pictures and pages of every stage share: colours, and tables that sort by a click on their headings."""

from __future__ import annotations

from lm_eval_xling.drawing.palette import PALETTE, line_style
from lm_eval_xling.drawing.scripts import SORTING, content_policy, read_script

__all__ = ["PALETTE", "SORTING", "content_policy", "line_style", "read_script"]
