"""What the harness raises about the user's input ▸ one message with the fix."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lm_eval_xling.errors import UserError, unknown_name

__all__ = ["messages"]

_LOGGER = logging.getLogger(__name__)

_LOADING = ("create_from_arg_obj", "create_from_arg_string", "from_pretrained")
"""Functions of the harness and of transformers in which a model or a tokenizer is loaded."""
_LOADING_DATA = ("load_dataset", "dataset_module_factory")
"""Functions of the datasets library in which a task's own data is sought."""
_CHECKING = ("from_cli", "process_tasks", "load_yaml_config")
"""Functions of the harness in which arguments are checked."""


@contextmanager
def messages() -> Iterator[None]:
    """Turn what the harness raises about the user's input into a message; what is nobody's input stays as it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        passed = {frame.name for frame in frames}
        _LOGGER.debug("raised by the harness", exc_info=True)
        if str(error).startswith("Tasks not found: "):
            raise _unknown_task(str(error).removeprefix("Tasks not found: ").split(", ")[0]) from None
        if passed.intersection(_LOADING) and any("peft" in Path(frame.filename).parts for frame in frames):
            raise UserError(
                f"the adapter could not be loaded: {_first_line(error)}",
                where="peft in --model_args",
                fix="check its folder; xling doctor --adapter ADAPTER --model MODEL says whether it fits the model",
            ) from None
        if passed.intersection(_LOADING):
            from lm_eval_xling.models.embedded import EMBEDDED_MODELS

            embedded = ", ".join(EMBEDDED_MODELS)
            raise UserError(
                f"the model could not be loaded: {_first_line(error)}",
                where="--model_args",
                fix=f"check the network, or name a folder or a model that needs none: {embedded}"
                if "couldn't connect to" in str(error)
                else "check the name, the files and the arguments; LMEVAL_LOG_LEVEL=DEBUG shows where it failed",
            ) from None
        if passed.intersection(_LOADING_DATA):
            raise UserError(
                f"the data of a task cannot be had: {_first_line(error)}",
                where="--tasks",
                fix="check dataset_path and dataset_kwargs of the task, and the network",
            ) from None
        if "chat_template" in str(error) and "apply_chat_template" in passed:
            raise UserError(
                f"the chat template cannot be applied: {_first_line(error)}",
                where="--apply_chat_template",
                fix="leave it out, or name a model whose tokenizer has a chat template",
            ) from None
        if isinstance(error, AssertionError) and "--samples" in str(error):
            raise UserError(_first_line(error), where="--samples", fix="name rows that the task has") from None
        if passed.intersection(_CHECKING) and isinstance(error, ValueError | TypeError | OSError):
            raise UserError(_first_line(error), fix="lm_eval run --help lists the arguments") from None
        raise


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    if text.endswith(":") and lines[1:]:
        text = f"{text} {lines[1].strip()}"
    return (
        f"{type(error).__name__}: {text}"
        if text and not isinstance(error, ValueError | OSError)
        else text or repr(error)
    )


def _unknown_task(name: str) -> UserError:
    from lm_eval_xling.harness import task_names

    names = [name for kind in ("all_subtasks", "all_groups", "all_tags") for name in task_names(kind)]
    error = unknown_name("task", name, names, where="--tasks")
    lists = "xling tasks lists ours, lm_eval ls tasks those of the harness"
    near = str(error.fix).startswith("did you mean")
    return UserError(error.what, where=error.where, fix=f"{error.fix} {lists}" if near else lists)
