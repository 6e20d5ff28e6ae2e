"""Whatever a path holds, the harness reads back what was written."""

from __future__ import annotations

import argparse

from hypothesis import given
from hypothesis import strategies as st
from lm_eval._cli.utils import MergeDictAction

from lm_eval_xling.models.argument_words import argument_words

PATHS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x00"), min_size=1).map(
    "/m/".__add__
)


@given(PATHS, PATHS)
def test_the_harness_reads_back_what_is_written(pretrained: str, peft: str) -> None:
    arguments = {"pretrained": pretrained, "peft": peft, "dtype": "float32"}
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_args", nargs="+", action=MergeDictAction)
    assert parser.parse_args(["--model_args", argument_words(arguments)]).model_args == arguments


def test_a_folder_that_is_called_like_a_number_stays_a_text() -> None:
    for name in ("2024", "1e5", "nan", "true", "None"):
        parser = argparse.ArgumentParser()
        parser.add_argument("--model_args", nargs="+", action=MergeDictAction)
        words = argument_words({"pretrained": name})
        assert parser.parse_args(["--model_args", words]).model_args == {"pretrained": name}


def test_plain_paths_are_written_plainly() -> None:
    assert argument_words({"pretrained": "/m", "peft": "/a b"}) == "pretrained=/m,peft=/a b"
