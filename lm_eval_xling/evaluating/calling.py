"""``evaluate``: what ``xling eval`` does, from Python, with the results in memory."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval_xling.errors import unknown_name
from lm_eval_xling.evaluating.arguments import check_tasks, complete, runs
from lm_eval_xling.evaluating.messages import messages
from lm_eval_xling.evaluating.results import Results
from lm_eval_xling.evaluating.task_index import task_index
from lm_eval_xling.harness import check_version
from lm_eval_xling.servers import failures, served

__all__ = ["evaluate"]

_COMMAND_ONLY = frozenset({"wandb_args", "wandb_config_args", "trackio_args", "show_config", "log_samples"})
"""What the harness's command does around an evaluation."""


def evaluate(
    tasks: str | Sequence[str],
    *,
    model: str = "hf",
    model_args: str | Mapping[str, Any] | None = None,
    num_fewshot: int | None = None,
    batch_size: int | str = 1,
    limit: float | None = None,
    apply_chat_template: bool | str = False,
    metadata: Mapping[str, Any] | None = None,
    include_path: str | Path | Sequence[str | Path] = (),
    output_path: str | Path | None = None,
    skip_missing: bool = False,
    **harness: Any,
) -> Results:
    """Evaluate a model on tasks as ``xling eval`` does, and return the results with every item's sample.

    The harness's ``simple_evaluate`` runs with our tasks in sight. ``model="hf"`` is the shared-prefix backend: the
    numbers of the harness's ``hf``, each shared beginning computed once. All is checked before a model is loaded.

    Args:
        tasks: names or patterns of tasks, tags and groups; a text may hold several with commas.
        model: kind of model among the harness's: ``hf``, ``vllm``, ``local-chat-completions``, ``dummy``, …
        model_args: arguments of the model, as ``name=value,…`` or by name. ``pretrained`` is a folder, a name on the
            hub or an embedded model (``gemma-3-270m``); ``peft`` an adapter.
        num_fewshot: demonstrations, instead of each task's own number.
        batch_size: prompts at once, or ``auto``.
        limit: the first items of each task, or below 1 a share of them.
        apply_chat_template: whether prompts become turns; a text is the template's name.
        metadata: as after ``--metadata``; parameters of our families stand under ``xling``.
        include_path: further folders of tasks.
        output_path: folder for the files that the harness writes, samples included; nothing is written without it.
        skip_missing: whether tasks of ours are left out whose data is not here.
        harness: any other argument of the harness by the name of its flag: ``gen_kwargs``, ``system_instruction``,
            ``seed``, ``device``, ``use_cache``, ``samples``, …

    Returns:
        The harness's results, ``samples`` included. Empty in all but the first of several processes.

    Raises:
        UserError: for what the arguments, the model or the data do not allow.
    """
    from lm_eval import simple_evaluate
    from lm_eval._cli.utils import request_caching_arg_to_dict
    from lm_eval.config.evaluate_config import EvaluatorConfig
    from lm_eval.loggers import EvaluationTracker

    check_version()
    known = [field.name for field in dataclasses.fields(EvaluatorConfig) if field.name not in _COMMAND_ONLY]
    for name in harness:
        if name not in known:
            raise unknown_name("argument", name, known, where="evaluate")
    if isinstance(harness.get("cache_requests"), str | bool):
        words = str(harness["cache_requests"]).lower()
        harness["cache_requests"] = None if words == "false" else request_caching_arg_to_dict(words)
    folders = [include_path] if isinstance(include_path, str | Path) else list(include_path)
    given = argparse.Namespace(
        **{"config": None, **harness},
        model=model,
        model_args=model_args if isinstance(model_args, str) else dict(model_args or {}),
        tasks=tasks if isinstance(tasks, str) else ",".join(tasks),
        num_fewshot=num_fewshot,
        batch_size=batch_size,
        limit=limit,
        apply_chat_template=apply_chat_template,
        metadata=None if metadata is None else dict(metadata),
        include_path=[str(folder) for folder in folders],
        output_path=None if output_path is None else str(output_path),
        peft=[],
        skip_missing=skip_missing,
        func=None,
    )
    with messages():
        complete(given)
        check_tasks(given)
        (run,) = runs(given)
        with served(run.model, run.model_args, run.apply_chat_template) as run.model_args:
            predict_only = bool(harness.get("predict_only"))
            # Without a folder the command would have nowhere to write the answers; here they are returned.
            run.predict_only = predict_only and output_path is not None
            with task_index(run):
                settings = EvaluatorConfig.from_cli(run)
                settings.predict_only = predict_only
                tracker = EvaluationTracker(**{**settings.hf_hub_log_args, "output_path": settings.output_path})
                manager = settings.process_tasks(settings.metadata)
            seeds = settings.seed or [None] * 4
            with failures(run.model, kept=bool(run.use_cache)):
                results = simple_evaluate(
                    **{
                        name: getattr(settings, name)
                        for name in (
                            "model",
                            "model_args",
                            "tasks",
                            "num_fewshot",
                            "batch_size",
                            "max_batch_size",
                            "device",
                            "use_cache",
                            "limit",
                            "samples",
                            "check_integrity",
                            "write_out",
                            "system_instruction",
                            "apply_chat_template",
                            "fewshot_as_multiturn",
                            "gen_kwargs",
                            "verbosity",
                            "predict_only",
                            "confirm_run_unsafe_code",
                            "metadata",
                        )
                    },
                    **(settings.cache_requests or {}),
                    log_samples=True,
                    evaluation_tracker=tracker,
                    task_manager=manager,
                    random_seed=seeds[0],
                    numpy_random_seed=seeds[1],
                    torch_random_seed=seeds[2],
                    fewshot_random_seed=seeds[3],
                )
    if results is None:
        return Results()
    samples = results.pop("samples")
    # Also without a folder to write to: it keeps how the model was prompted, which in-memory results lack.
    tracker.save_results_aggregated(results=results, samples=samples)
    if settings.output_path:
        for task in results["configs"]:
            tracker.save_results_samples(task_name=task, samples=samples[task])
    return Results(results | dataclasses.asdict(tracker.general_config_tracker) | {"samples": samples})
