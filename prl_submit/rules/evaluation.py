"""Rules on the evaluation during a training, and on the arguments that need an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

_STRATEGIES = ("no", "steps", "epoch")


def eval_strategy(job: Job) -> str:
    """The eval_strategy that ms-swift will use: by default save_strategy, and `no` without data.

    Source: ms-swift 4.6.0 sft_args `_init_eval_strategy`.
    """
    strategy = job.get("eval_strategy", job.get("save_strategy", "steps"))
    if strategy == "no" or not _has_data(job):
        return "no"
    return str(strategy)


def _has_data(job: Job) -> bool:
    """True if the job has rows to evaluate on. Streamed rows cannot be split.

    Source: ms-swift 4.6.0 data_args `_init_val_dataset_exists`.
    """
    given = job.many("val_dataset") or job.many("cached_val_dataset") or job.many("eval_dataset")
    default = 0 if job.since("3.6") else 0.01
    split = job.get("split_dataset_ratio", default) > 0 and not job.get("streaming", False)
    return bool(given or (split and job.many("dataset")))


def evaluates(job: Job) -> bool:
    """True if the job evaluates during the training."""
    return eval_strategy(job) != "no"


def strategy(job: Job) -> Iterator[Problem]:
    """eval_strategy is no, steps or epoch. save_strategy may also be best, which is no way to evaluate.

    Source: transformers trainer_utils IntervalStrategy.
    """
    chosen = eval_strategy(job)
    if chosen in _STRATEGIES:
        return
    if job.get("eval_strategy", None) is None:
        message = (
            f"is not set, so ms-swift takes save_strategy {chosen}, which evaluation does not have"
        )
        yield job.refuse("eval_strategy", message, "set eval_strategy: steps or epoch")
    else:
        hint = f"these work: {', '.join(_STRATEGIES)}"
        yield job.refuse("eval_strategy", f"{chosen} is not known", hint)


def eval_steps(job: Job) -> Any:
    """The eval_steps that will be used: by default save_steps; logging_steps in place of 0.

    Source: ms-swift 4.6.0 sft_args `_init_eval_strategy`, transformers `__post_init__`.
    """
    steps = job.get("eval_steps", job.get("save_steps", 500))
    return job.get("logging_steps", 5) if steps == 0 else steps


def whole(job: Job, name: str, value: float) -> Iterator[Problem]:
    """A number of steps above 1 must be whole. Source: transformers `_validate_args`."""
    if value > 1 and (math.isinf(value) or value != int(value)):
        message = f"must be a whole number if it is above 1, found {value}"
        nearest = 500 if math.isinf(value) else int(value)
        hint = f"use {nearest}, or a share below 1 of all steps"
        yield job.refuse(name, message, hint)


def steps(job: Job) -> Iterator[Problem]:
    """eval_steps must be a whole number or a share below 1. Source: transformers `_validate_args`."""
    if eval_strategy(job) == "steps" and job.get("eval_steps", None) is not None:
        yield from whole(job, "eval_steps", eval_steps(job))


def batch(job: Job) -> Iterator[Problem]:
    """The evaluation's batch must not be empty. Source: torch DataLoader."""
    size = job.get("per_device_eval_batch_size", 1)
    if size < 1 and evaluates(job):
        message = f"must be at least 1, found {size}"
        yield job.refuse("per_device_eval_batch_size", message, "use 1 or more")


def best_model(job: Job) -> Iterator[Problem]:
    """load_best_model_at_end needs an evaluation at every checkpoint. Source: transformers `_validate_args`."""
    saves = job.get("save_strategy", "steps")
    if not job.get("load_best_model_at_end", False) or saves == "best":
        return
    chosen = eval_strategy(job)
    if chosen not in _STRATEGIES:
        return  # the rule `strategy` reports it
    if chosen != saves:
        why = "" if _has_data(job) else ": there is no val_dataset"
        message = f"needs an evaluation at every checkpoint, found save_strategy {saves} and eval_strategy {chosen}{why}"
        yield job.refuse("load_best_model_at_end", message, f"set eval_strategy: {saves}")
        return
    every, save_steps = eval_steps(job), job.get("save_steps", 500)
    if chosen == "steps" and every > 0 and not _is_multiple(save_steps, every):
        yield job.refuse(
            "load_best_model_at_end",
            f"needs save_steps to be a multiple of eval_steps, found {save_steps} and {every}",
            f"such as save_steps {every}, or eval_steps {save_steps}",
        )


def _is_multiple(save_steps: Any, every: Any) -> bool:
    """True if save_steps is a multiple of `every`, as transformers computes it.

    Two shares of all steps are compared at six digits. A share is never a multiple of a number of steps.
    """
    if save_steps % every == 0:
        return True
    if every >= 1 or save_steps >= 1:
        return False
    large = 1_000_000
    return bool(save_steps * large % (every * large) == 0)


def schedulers(job: Job) -> Iterator[Problem]:
    """Two learning rate schedules need an evaluation. Source: transformers `_validate_args`."""
    chosen = job.get("lr_scheduler_type", "cosine")
    if chosen in ("reduce_lr_on_plateau", "greedy") and not evaluates(job):
        message = f"{chosen} needs an evaluation, and the job has none"
        yield job.refuse("lr_scheduler_type", message, "give val_dataset, or use cosine")


def evalscope(job: Job) -> Iterator[Problem]:
    """eval_dataset names data of EvalScope. Without EvalScope the job needs other rows to evaluate on.

    Source: ms-swift 4.6.0 trainers/mixin.
    """
    if not job.many("eval_dataset") or job.get("eval_use_evalscope", False) or not evaluates(job):
        return
    if job.many("val_dataset") or job.get("split_dataset_ratio", 0) > 0:
        return
    hint = "val_dataset names rows to evaluate on; eval_use_evalscope: true uses EvalScope"
    yield job.refuse("eval_dataset", "names EvalScope's data, and the job has no other data", hint)


RULES = (strategy, steps, batch, best_model, schedulers, evalscope)
