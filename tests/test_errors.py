import pickle

import pytest

from lm_eval_xling.errors import UserError, naming_arguments, unknown_name


def test_the_message_says_what_where_and_the_fix() -> None:
    error = UserError("2 rows are cut off", where="mirror/hp/en.jsonl", fix="xling data fetch hp --to mirror")
    assert str(error) == "2 rows are cut off\n  in: mirror/hp/en.jsonl\n  fix: xling data fetch hp --to mirror"


def test_an_error_survives_the_way_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(UserError("what", where="where", fix="fix")))
    assert (error.what, error.where, error.fix, str(error)) == ("what", "where", "fix", str(error))


@pytest.mark.parametrize(("name", "fix"), [("atlsa", "did you mean atlas?"), ("qqq", "known: atlas, mmlu")])
def test_an_unknown_name_comes_with_the_nearest_or_all(name: str, fix: str) -> None:
    assert unknown_name("family", name, ["atlas", "mmlu"]).fix == fix


def test_from_python_an_error_names_arguments_and_commands_keep_their_flags() -> None:
    @naming_arguments
    def fails() -> None:
        raise UserError(
            "no translator",
            where="--output_path /runs",
            fix="--with apertium; or run xling data fetch mmlu --to mirror; see --batch-tokens",
        )

    with pytest.raises(UserError) as raised:
        fails()
    assert raised.value.where == "output_path /runs"
    assert raised.value.fix == "translator apertium; or run xling data fetch mmlu --to mirror; see batch_tokens"
