"""From a family here to a pull request to lm-evaluation-harness, where this package is no dependency.

::

    exportable ▸ columns or at_source ▸ harness_files, cards ▸ contributing
    agreement (in a process with the harness alone), harness_checks
"""

from lm_eval_xling.upstream.agreement import Agreement, check
from lm_eval_xling.upstream.contributing import export

__all__ = ["Agreement", "check", "export"]
