"""How lm-evaluation-harness finds us: its version, where the tasks are, and what it would send to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lm_eval_xling.errors import UserError, unknown_name
from lm_eval_xling.records import Document, Request

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

__all__ = [
    "OLDEST",
    "chat_template",
    "check_version",
    "folder_to_include",
    "requests",
    "seen_folder",
    "task_manager",
    "task_names",
    "tasks_folder",
]

OLDEST = "0.4.12"
"""Oldest release of the harness for which the tests pass."""


@cache
def check_version() -> None:
    """Raise a UserError where the installed harness is older than the tasks need; looked up once a process."""
    from packaging.version import Version

    installed = version("lm_eval")
    if Version(installed) < Version(OLDEST):
        raise UserError(
            f"lm_eval {installed} is too old: the tasks need {OLDEST}", fix=f"pip install 'lm_eval>={OLDEST}'"
        )


def seen_folder() -> Path | None:
    """Return the folder of xling tasks that the harness finds without a flag: a wheel's, among its own."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], "tasks", "xling")
    return folder if (folder / "atlas").is_dir() else None


def tasks_folder() -> Path:
    """Return the folder of this package's task YAMLs: inside the harness for a wheel, beside the package otherwise.

    Raises:
        UserError: if the installation holds no tasks.
    """
    beside = Path(__file__).resolve().parent.parent / "tasks"
    # Beside first: a checkout before an installed wheel on the path brings its own.
    folder = beside if (beside / "atlas").is_dir() else seen_folder()
    if folder is None:
        raise UserError(
            "the installation holds no xling tasks", where=beside, fix="pip install --force-reinstall lm-eval-xling"
        )
    return folder


def folder_to_include() -> Path | None:
    """Return what to give to ``TaskManager(include_path=…)``: the folder of the task YAMLs, or ``None``.

    ``None`` where the harness finds this package's tasks itself, as with an installed wheel: a folder that is named
    although the harness looks there costs a warning for each of its tasks. ``tasks_folder`` is the folder in any case.

    Raises:
        UserError: if the installation holds no tasks.
    """
    folder = tasks_folder()
    return None if folder == seen_folder() else folder


def task_names(kind: str = "all_subtasks", include_path: Sequence[str | Path] = ()) -> list[str]:
    """Return the sorted names of the leaf tasks, ours and in further folders, or of ``all_groups`` or ``all_tags``."""
    return list(getattr(task_manager(include_path, include_defaults=False), kind))


def task_manager(
    include_path: Sequence[str | Path] = (),
    *,
    metadata: Mapping[str, Any] | None = None,
    include_defaults: bool = True,
) -> TaskManager:
    """Return the harness's ``TaskManager`` that knows our tasks, each once, for ``lm_eval.simple_evaluate``.

    Args:
        include_path: further folders of tasks, such as those that ``xling tasks new`` makes.
        metadata: as after ``--metadata``; ``simple_evaluate`` needs it too.
        include_defaults: whether the harness's own tasks are known; without them it is made in a moment.

    Raises:
        UserError: a folder that is not there, or an installation without tasks.
    """
    from lm_eval.tasks import TaskManager

    for folder in include_path:
        if not Path(folder).is_dir():
            raise UserError("there is no such folder of tasks", where=folder, fix="xling tasks new makes one")
    ours = folder_to_include() if include_defaults else tasks_folder()
    return TaskManager(
        include_path=[*([] if ours is None else [str(ours)]), *map(str, include_path)],
        include_defaults=include_defaults,
        metadata=dict(metadata) if metadata else None,
    )


def chat_template(tokenizer: Any) -> Callable[..., str]:
    """Return the harness's way to a tokenizer's chat template.

    Raises:
        UserError: if the tokenizer has none.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "the tokenizer has no chat template", where=tokenizer.name_or_path, fix="leave out --apply-chat-template"
        )
    from lm_eval.models.huggingface import HFLM

    return partial(HFLM.apply_chat_template, SimpleNamespace(tokenizer=tokenizer, chat_template_args={}))


def requests(
    task: str,
    *,
    rows: Sequence[int] | None = None,
    limit: int | None = None,
    num_fewshot: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    include_path: Sequence[str | Path] = (),
    chat_template: Callable[..., str] | None = None,
) -> list[Request]:
    """Return what the harness would send to a model, without a model.

    Args:
        task: name of a leaf task.
        rows: indices of the documents; all of them if not given.
        limit: the first documents only.
        num_fewshot: instead of the task's own, unless that is 0: those have no demonstrations, and the harness ignores
            the number.
        metadata: as with ``--metadata``.
        include_path: further folders of tasks of ours, such as those of own data.
        chat_template: as ``chat_template`` makes it; demonstrations are turns then, as with ``--apply_chat_template``.

    Raises:
        UserError: unknown task, a tag or group of tasks, or a row that does not exist.
    """
    manager = task_manager(include_path, metadata=metadata, include_defaults=False)
    _check_leaf(task, manager)
    loaded = manager.load([task])["tasks"][task]
    if metadata and hasattr(loaded, "check_metadata"):
        loaded.check_metadata(metadata)
    pool = loaded.eval_docs
    if rows is None:
        rows = range(len(pool) if limit is None else min(limit, len(pool)))
    own = loaded.config.num_fewshot
    shots = (own or 0) if num_fewshot is None or own == 0 else num_fewshot
    made = []
    for row in rows:
        if not 0 <= row < len(pool):
            raise UserError(f"row {row} does not exist", where=task, fix=f"rows go from 0 to {len(pool) - 1}")
        document = pool[row]
        context = loaded.fewshot_context(
            document,
            shots,
            gen_prefix=loaded.doc_to_prefix(document),
            apply_chat_template=chat_template is not None,
            fewshot_as_multiturn=chat_template is not None,
            chat_template=chat_template,
        )
        built = loaded.construct_requests(
            document, context, metadata=(task, row, 1), apply_chat_template=chat_template is not None
        )
        if isinstance(built, list):
            scored, most = tuple(instance.arguments[1] for instance in built), 0
        else:
            scored, most = (), int(built.arguments[1]["max_gen_toks"])
        made.append(Request(Document.from_row(document), context, scored, most))
    return made


def _check_leaf(task: str, manager: TaskManager) -> None:
    """Refuse what is no leaf task, with leaves where a tag or group was named."""
    if task in manager.all_subtasks:
        return
    if task not in (*manager.all_tags, *manager.all_groups):
        raise unknown_name("task", task, manager.all_subtasks)
    family = task.partition("::")[0].replace("crosslingual_", "xling_", 1)
    leaves = [name for name in manager.all_subtasks if name.startswith(f"{family}_")]
    raise UserError(
        "this is a tag or group of tasks, where a leaf task is needed",
        where=task,
        fix=f"name leaves, such as {', '.join(leaves[:3])}" if leaves else "name its leaves; xling tasks lists them",
    )
