"""Models behind an address: what they are given, what stays out of results, and how their failures are met and told."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lm_eval_xling.errors import UserError
from lm_eval_xling.families import Family, Leaf
from lm_eval_xling.families.parameters import configure
from lm_eval_xling.scoring import MODEL_NAME

__all__ = ["check_model", "failures", "is_server", "served"]

_LOGGER = logging.getLogger(__name__)

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
def served(name: str, arguments: Mapping[str, Any], template: object = None) -> Iterator[dict[str, Any]]:
    """Give a model its address and keys, and nobody else: the harness writes all arguments into results and logs.

    A model behind a server also fails, and is asked again, where the server's reply holds no answer.

    Args:
        name: of the model among the harness's.
        arguments: of the model.
        template: the value of ``--apply_chat_template``.

    Yields:
        The arguments that may be seen; while the block runs, the model is made with all of them.
    """
    if not is_server(name):
        yield dict(arguments)
        return
    from lm_eval.api.registry import get_model

    # Here, because the report's parts take long to import, and few commands have a server.
    from lm_eval_xling.report.naming import public

    seen = public(arguments)
    unseen = {key: value for key, value in arguments.items() if key not in seen}
    model = get_model(name)
    inherited = model.create_from_arg_obj.__func__
    own = "create_from_arg_obj" in vars(model)

    def create_from_arg_obj(cls: type, arg_dict: Mapping[str, Any], additional: dict[str, Any] | None = None) -> Any:
        made = inherited(cls, {**arg_dict, **unseen}, additional)
        _refuse_empty_replies(made)
        if not template and (begin := _left_out(made)):
            _LOGGER.warning(
                "the tokenizer begins every text with %s, which is not sent: add add_bos_token=true to --model_args, "
                "or the numbers are others than those of --model hf",
                begin,
            )
        return made

    model.create_from_arg_obj = classmethod(create_from_arg_obj)
    try:
        yield seen
    finally:
        if own:
            model.create_from_arg_obj = classmethod(inherited)
        else:
            del model.create_from_arg_obj


def _left_out(model: Any) -> str | None:
    """The token that the tokenizer and ``--model hf`` begin a text with, where ``local-completions`` leaves it out."""
    tokenizer = model.tokenizer if getattr(model, "tokenizer_backend", None) == "huggingface" else None
    if tokenizer is None or model.add_bos_token or tokenizer.bos_token_id is None:
        return None
    return str(tokenizer.bos_token) if tokenizer("a").input_ids[0] == tokenizer.bos_token_id else None


class _NoAnswerError(Exception):
    """A reply with status 200 that holds no answer."""


def _refuse_empty_replies(model: Any) -> None:
    """Let a reply without an answer fail inside the harness's tries.

    The harness reads it as an empty answer, which counts and is cached, or stops with a ``KeyError`` after the tries.
    One request at a time, only the call is tried again; several at a time, call and reading.
    """
    from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

    readers = (LocalChatCompletion.parse_generations, LocalCompletionsAPI.parse_generations)
    if getattr(type(model), "parse_generations", None) not in readers:
        return  # Another layout than OpenAI's.
    call = model.model_call

    def model_call(*args: Any, **kwargs: Any) -> Any:
        reply = call(*args, **kwargs)
        try:
            return _with_answers(reply)
        except _NoAnswerError:
            _LOGGER.warning("the server's reply holds no answer: %.500s", reply)
            raise

    def checked(read: Callable[..., Any]) -> Callable[..., Any]:
        return lambda outputs, **kwargs: read(outputs=_with_answers(outputs), **kwargs)

    model.model_call = model_call
    model.parse_generations = checked(model.parse_generations)
    model.parse_logprobs = checked(model.parse_logprobs)


def _with_answers(reply: Any) -> Any:
    for part in reply if isinstance(reply, list) else [reply]:
        choices = part.get("choices") if isinstance(part, dict) and not part.get("error") else None
        if not isinstance(choices, list) or not choices or not all(map(_is_answer, choices)):
            raise _NoAnswerError
        for number, choice in enumerate(choices):
            choice.setdefault("index", number)  # Some servers leave it out where there is one choice.
    return reply


def _is_answer(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("error") or choice.get("finish_reason") == "error":
        return False
    # What a content filter stopped is the same when it is asked again: it counts as an empty answer.
    return (
        "text" in choice or isinstance(choice.get("message"), dict) or choice.get("finish_reason") == "content_filter"
    )


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
        # The harness reads the failure of one of several requests under way; asyncio would print those of the others.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise told from None


def _told(error: Exception, passed: set[str], kept: bool) -> UserError | None:
    if "parse_logprobs" in passed and not isinstance(error, _NoAnswerError):
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
    if isinstance(error, _NoAnswerError):
        return "the server's replies hold no answer (the warning above shows one)"
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
    if isinstance(error, requests.exceptions.ChunkedEncodingError | aiohttp.ClientPayloadError):
        return "the server's answer was cut off"
    if isinstance(error, json.JSONDecodeError | requests.exceptions.JSONDecodeError | aiohttp.ContentTypeError):
        return "the server's answer is no JSON, or was cut off"
    if isinstance(error, requests.ConnectionError | aiohttp.ClientConnectionError):
        return "the server cannot be reached, or closed the connection"
    if isinstance(error, requests.RequestException | aiohttp.ClientError):
        return f"the server cannot be asked ({type(error).__name__})"
    return None
