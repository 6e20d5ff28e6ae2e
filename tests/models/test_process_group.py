from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import tiny

_SCRIPT = """
import atexit, sys
from datetime import timedelta
import torch.distributed as group
from lm_eval_xling.models.process_group import leave_process_group_at_exit

leave_process_group_at_exit()  # no group: nothing to leave
atexit.register(lambda: print("at the end:", group.is_initialized()))  # runs after what is registered later
if sys.argv[1] == "group":
    store = group.FileStore(sys.argv[2], 1)
    group.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=timedelta(seconds=60))
    if sys.argv[4:]:
        from lm_eval_xling.scoring.model import SharedPrefixLM
        SharedPrefixLM(pretrained=sys.argv[4])
    else:
        leave_process_group_at_exit()
        leave_process_group_at_exit()
    print("before:", group.is_initialized())
if sys.argv[3] == "left":
    group.destroy_process_group()
"""


def ending(tmp_path: Path, group: str, left: str = "", *model: str) -> list[str]:
    words = [sys.executable, "-c", _SCRIPT, group, str(tmp_path / "store"), left, *model]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert model or not done.stderr  # the harness logs there
    return done.stdout.splitlines()


def test_the_group_is_left_before_python_ends(tmp_path: Path) -> None:
    assert ending(tmp_path, "group") == ["before: True", "at the end: False"]


def test_one_process_alone_leaves_nothing(tmp_path: Path) -> None:
    assert ending(tmp_path, "alone") == ["at the end: False"]


def test_a_group_that_was_left_is_not_left_again(tmp_path: Path) -> None:
    assert ending(tmp_path, "group", "left") == ["before: True", "at the end: False"]


def test_a_model_leaves_the_group_that_it_works_in(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "model")
    assert ending(tmp_path, "group", "", str(folder)) == ["before: True", "at the end: False"]
