"""Models behind an address: what they must be given, what stays out of results, and how their failures are told."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.report.naming import public
from lm_eval_xling.scoring import MODEL_NAME

__all__ = ["check_model", "failures", "is_server", "kept_private"]

_ASKING = ("generate_until", "loglikelihood", "loglikelihood_rolling")
"""Functions of the harness in which a model is asked."""
_MENDED = {
    400: "the warning above says what the server refused",
    401: "export OPENAI_API_KEY=… with a valid key",
    403: "export OPENAI_API_KEY=… with a key that may use this model",
    404: "give base_url whole, up to /v1/chat/completions or /v1/completions, and the model by its name there",
}
"""By the status of an answer: what to do where asking again does not help."""


def is_server(name: str) -> bool:
    """Tell whether one of the harness's models is behind an address."""
    return name.endswith("-completions")


def check_model(
    name: str,
    template: object,
    tasks: Mapping[str, tuple[Family, Leaf]],
    parameters: Mapping[str, Any] | None,
) -> None:
    """Refuse what a model cannot do, before it is loaded or anything is sent to it.

    Args:
        name: of the model among the harness's.
        template: the value of ``--apply_chat_template``.
        tasks: the tasks of ours that are asked for.
        parameters: as in ``--metadata '{"xling": {…}}'``.

    Raises:
        UserError: no turns, a form that needs log-likelihoods, or a commercial API without its key; a form that scores
            the next token, with another model than our backend.
    """
    forms = {}
    for task, (family, leaf) in tasks.items():
        configured, values = configure(family, leaf, parameters)
        forms[task] = family.form(configured, values)
    by_token = [task for task, form in forms.items() if form.next_token]
    if by_token and name not in (MODEL_NAME, "dummy"):
        raise UserError(
            "the papers' scripts compare probabilities of single tokens, which this model does not give",
            where=f"--model {name}, preset: paper of {_first(by_token)}",
            fix="xling eval --model hf; what the paper asks chat servers for MMLU and the quiz is its form generate",
        )
    if not name.endswith("chat-completions"):
        return
    if not template:
        raise UserError("a chat server takes turns, not text", where=f"--model {name}", fix="add --apply_chat_template")
    if name.startswith("openai-") and not os.environ.get("OPENAI_API_KEY"):
        raise UserError("the API's key is missing", where=f"--model {name}", fix="export OPENAI_API_KEY=…")
    scored = [task for task, form in forms.items() if not form.generates]
    if scored:
        raise UserError(
            "a chat server gives no log-likelihoods, which these tasks compare",
            where=_first(scored),
            fix="""ask for answers in words: --metadata '{"xling": {"form": "generate"}}' (docs/servers.md)""",
        )


def _first(tasks: Sequence[str]) -> str:
    return ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")


@contextmanager
def kept_private(name: str, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a model its address and keys, and nobody else: the harness writes all arguments into results and logs.

    Args:
        name: of the model among the harness's.
        arguments: of the model.

    Yields:
        The arguments that may be seen; while the block runs, the model is made with all of them.
    """
    seen = public(arguments)
    unseen = {key: value for key, value in arguments.items() if key not in seen}
    if not is_server(name) or not unseen:
        yield dict(arguments)
        return
    from lm_eval.api.registry import get_model

    model = get_model(name)
    inherited = model.create_from_arg_obj.__func__
    own = "create_from_arg_obj" in vars(model)

    def create_from_arg_obj(cls: type, arg_dict: Mapping[str, Any], additional: dict[str, Any] | None = None) -> Any:
        return inherited(cls, {**arg_dict, **unseen}, additional)

    model.create_from_arg_obj = classmethod(create_from_arg_obj)
    try:
        yield seen
    finally:
        if own:
            model.create_from_arg_obj = classmethod(inherited)
        else:
            del model.create_from_arg_obj


@contextmanager
def failures(name: str, *, kept: bool) -> Iterator[None]:
    """Turn what is left of a server's failure after the harness's last try into one message, without its address.

    Args:
        name: of the model among the harness's.
        kept: whether answers are kept with ``--use_cache``.

    Raises:
        UserError: what the server did, and how to go on.
    """
    try:
        yield
    except Exception as error:
        passed = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if not is_server(name) or not passed.intersection(_ASKING):
            raise
        told = _told(error, passed, kept)
        if told is None:
            raise
        raise told from None


def _told(error: Exception, passed: set[str], kept: bool) -> UserError | None:
    if "parse_logprobs" in passed:
        return UserError(
            "the server's answer holds no log-likelihoods of the prompt",
            where="--model local-completions",
            fix="""use a server that gives them (vLLM), or --metadata '{"xling": {"form": "generate"}}'""",
        )
    if isinstance(error, NotImplementedError):
        return UserError(
            "the server gives no log-likelihoods, which one of the tasks compares",
            fix="leave out tasks that compare likelihoods, or ask ours for the form generate (docs/servers.md)",
        )
    said = _said(error)
    if said is None:
        return None
    fix = next((fix for status, fix in _MENDED.items() if f"status {status}" in said), None)
    again = "run the same command again" + (
        ": the answers so far are kept" if kept else ", with --use_cache FILE to keep what is answered"
    )
    return UserError(said, where="--model_args base_url=…", fix=fix or again)


def _said(error: Exception) -> str | None:
    # Their own messages hold the address.
    try:
        import aiohttp
        import requests
    except ModuleNotFoundError:
        return None
    status = None
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
    elif isinstance(error, aiohttp.ClientResponseError):
        status = error.status
    if status is not None and not 200 <= status < 300:
        return f"the server answered with status {status} to every try"
    if isinstance(error, requests.Timeout | TimeoutError):
        return "the server did not answer in time (model argument timeout, in seconds)"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.JSONDecodeError):
        return "the server's answer was cut off"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ContentTypeError):
        return "the server's answer was cut off"
    if isinstance(error, requests.ConnectionError | aiohttp.ClientConnectionError):
        return "the server cannot be reached, or closed the connection"
    if isinstance(error, requests.RequestException | aiohttp.ClientError):
        return f"the server cannot be asked ({type(error).__name__})"
    return None
