"""Model and examples ▸ trained model: transformers' Trainer with whole checkpoints and a loss that must be a number."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset
from transformers import EarlyStoppingCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerControl, TrainerState

from lm_eval_xling.errors import UserError
from lm_eval_xling.files import write_atomically
from lm_eval_xling.models.float32_products import float32_products
from lm_eval_xling.models.process_group import leave_process_group_at_exit
from lm_eval_xling.training.batching import Example, PackedCollator, PaddedCollator
from lm_eval_xling.training.checkpoints import complete_checkpoint, seal
from lm_eval_xling.training.configuration import Config
from lm_eval_xling.training.monitoring import MetricsCallback, ProgressBar
from lm_eval_xling.training.provenance import Fingerprint, take_fingerprint
from lm_eval_xling.training.supervised_loss import supervised_forward

__all__ = ["Fitted", "disk_errors", "fit", "training_arguments"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, saved and not yet checked."""

    scores: Mapping[str, float]
    """Optimiser steps, and the validation loss before and after, in nats per target token, where there is one."""
    by_language: Mapping[str, tuple[float, float]]
    """What was watched, language by language, to its loss before and after, in nats per target token."""
    fingerprint: Fingerprint
    """What the trained model says."""
    folder: Path
    """Its weights, written by the main process."""
    device: torch.device
    """Where it was trained, or the CPU if its weights were sharded; half precision says something else elsewhere."""


def training_arguments(config: Config) -> TrainingArguments:
    """Return what transformers needs to know, from ``training`` and the recipe's own keys.

    Raises:
        UserError: if transformers refuses a value.
    """
    validated = config.validation > 0
    options: dict[str, Any] = {
        "output_dir": str(config.output / "checkpoints"),
        "bf16": config.precision == "bf16",
        "fp16": config.precision == "fp16",
        "label_names": ["labels"],
        "remove_unused_columns": False,
        # The filter would hide a NaN loss behind the average of the losses before it.
        "logging_nan_inf_filter": False,
        "prediction_loss_only": True,
        "dataloader_pin_memory": torch.accelerator.is_available(),
        # transformers takes bfloat16 on a CPU only when the CPU was asked for.
        "use_cpu": not torch.accelerator.is_available(),
        "eval_strategy": "steps" if validated else "no",
        "load_best_model_at_end": validated,
        "metric_for_best_model": "loss" if validated else None,
        "restore_callback_states_from_checkpoint": config.early_stopping is not None,
        **config.training,
    }
    options.setdefault("per_device_eval_batch_size", options.get("per_device_train_batch_size", 8))
    if validated and options.get("save_steps") != options.get("eval_steps"):
        raise UserError(
            "the best checkpoint is kept, so that checkpoints and evaluations must fall together",
            where="training",
            fix=f"set training.save_steps and training.eval_steps to the same number, or validation=0 "
            f"(now {options.get('save_steps')} and {options.get('eval_steps')})",
        )
    if options.get("save_total_limit") == 1:
        raise UserError(
            "one checkpoint alone is lost when the next is cut off", where="training.save_total_limit", fix="set 2"
        )
    try:
        return TrainingArguments(**options)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f"transformers refuses the options: {error}", where="training") from None


def fit(
    model: Any,
    tokenizer: Any,
    config: Config,
    train: Sequence[Example] | ConcatDataset[Example],
    validation: Sequence[Example],
    watched: Mapping[str, Sequence[Example]],
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> Fitted:
    """Train a model in place, from the last whole checkpoint if there is one, and save its weights.

    Args:
        model: model to train, with adapters or without.
        tokenizer: of the model.
        config: the run's configuration.
        train: examples to learn.
        validation: examples held out; may be empty where ``config.validation`` is 0.
        watched: examples whose loss is measured before and after, by a name with their language.
        callbacks: of transformers, that look on.

    Raises:
        UserError: if the loss is not a number, or the disk is full.
    """
    arguments = training_arguments(config)
    metrics = MetricsCallback(config.output / "metrics.jsonl")
    collator = PackedCollator() if config.batching == "packed" else PaddedCollator(tokenizer.pad_token_id or 0)
    base = model.get_base_model() if config.lora is not None else model
    with (
        supervised_forward(base, packed=config.batching == "packed", device=arguments.device),
        # Not the model's device: the Trainer moves it.
        float32_products(arguments.device),
        disk_errors(config.output),
    ):
        trainer = _Trainer(
            model=model,
            args=arguments,
            data_collator=collator,
            train_dataset=train,
            eval_dataset=validation or None,
            callbacks=[metrics, *callbacks],
        )
        leave_process_group_at_exit()
        trainer.metrics = metrics
        if trainer.pop_callback(ProgressCallback) is not None:
            trainer.add_callback(ProgressBar())
        if config.lora is None:
            trainer.add_callback(_LossesBefore(trainer, watched, config.output / "before.json"))
        if config.early_stopping is not None:
            trainer.add_callback(EarlyStoppingCallback(config.early_stopping))
        # The main process of all machines, as everywhere in the trainers: they share the output folder. It removes
        # what was cut off before the others look.
        with arguments.main_process_first(local=False, desc="looking for checkpoints"):
            checkpoint = complete_checkpoint(Path(arguments.output_dir), say=print)
        outcome = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        scores = {"steps": float(outcome.global_step)}
        if validation:
            scores["validation_loss"] = _losses(trainer, {"": validation})[""]
        after = _losses(trainer, watched)
        if config.lora is None:
            before = json.loads((config.output / "before.json").read_text(encoding="utf-8"))
        else:
            with model.disable_adapter():
                before = _losses(trainer, watched)
                if validation:
                    scores["validation_loss_before"] = _losses(trainer, {"": validation})[""]
    # Every process takes part in these two: weights that are sharded over devices are gathered for them.
    trained: Any = trainer.model
    trained.eval()
    whole = not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
    if whole:
        # Without autocast, as what is saved will be loaded.
        trainer.accelerator.unwrap_model(trained, keep_fp32_wrapper=False)
    fingerprint = take_fingerprint(trained, tokenizer)
    folder = config.output / ".weights"
    with disk_errors(config.output):
        trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        (folder / "training_args.bin").unlink()  # a pickle
    trainer.accelerator.wait_for_everyone()
    by_language = {name: (before[name], after[name]) for name in watched}
    return Fitted(scores, by_language, fingerprint, folder, arguments.device if whole else torch.device("cpu"))


def _losses(trainer: Trainer, examples: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """Return the mean loss of each set of examples, as transformers takes it: the mean over its batches."""
    # Not ``evaluate``, to which callbacks listen that choose and stop by the validation loss.
    return {name: trainer.predict(dataset).metrics["test_loss"] for name, dataset in examples.items()}


class _LossesBefore(TrainerCallback):  # type: ignore[misc]
    """Measure losses before the first step, and keep them for a run that continues with other weights.

    Adapters are switched off for that in the end, and need none of this. In the training's own beginning, because
    weights that are sharded over devices have been by then.
    """

    def __init__(self, trainer: Trainer, examples: Mapping[str, Sequence[Example]], path: Path) -> None:
        self._trainer, self._examples, self._path = trainer, examples, path

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Measure, unless the run continues from a checkpoint."""
        if state.global_step > 0:
            return
        # Loading data draws from the generator that dropout draws from.
        with torch.random.fork_rng():
            losses = _losses(self._trainer, self._examples)
        self._trainer.model.train()
        if state.is_world_process_zero:
            write_atomically(self._path, json.dumps(losses).encode())


class _Trainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer, with three additions: tokens are counted, checkpoints sealed, NaN never saved."""

    metrics: MetricsCallback

    def training_step(
        self, model: Any, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        mask = inputs.get("attention_mask")
        self.metrics.tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not torch.isfinite(self._tr_loss):
            # The next log says so and ends the run; until then the last good checkpoint must stay the last one.
            return
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what a full disk makes of torch, safetensors and the file system into one message.

    Raises:
        UserError: if the disk that holds the folder is full.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        says_so = any(words in str(error) for words in _FULL)
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or says_so or _is_full(folder):
            raise UserError(
                "the disk is full",
                where=folder,
                fix="free some space and run the same command again: it continues from the last whole checkpoint",
            ) from error
        raise


_FULL = ("No space left", "os error 28", "os error 27", "file write failed", "unexpected pos", "iostream error")
"""What safetensors (28 is ENOSPC, 27 EFBIG) and torch.save say, which raise no OSError."""


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < 2**16
