"""Evaluation while training, and what depends on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

_STRATEGIES = ("no", "steps", "epoch")


def eval_strategy(job: Job) -> str:
    """ms-swift 4.6.0 sft_args `_init_eval_strategy`: as save_strategy, and no without data."""
    strategy = job.get("eval_strategy", job.get("save_strategy", "steps"))
    if strategy == "no" or not _has_data(job):
        return "no"
    return str(strategy)


def _has_data(job: Job) -> bool:
    """ms-swift 4.6.0 data_args `_init_val_dataset_exists`: streaming cannot be split."""
    given = job.many("val_dataset") or job.many("cached_val_dataset") or job.many("eval_dataset")
    default = 0 if job.since("3.6") else 0.01
    split = job.get("split_dataset_ratio", default) > 0 and not job.get("streaming", False)
    return bool(given or (split and job.many("dataset")))


def evaluates(job: Job) -> bool:
    """Whether there is any evaluation."""
    return eval_strategy(job) != "no"


def strategy(job: Job) -> Iterator[Problem]:
    """Source: transformers trainer_utils IntervalStrategy: best is a way to save, not to evaluate."""
    chosen = eval_strategy(job)
    if chosen in _STRATEGIES:
        return
    if job.get("eval_strategy", None) is None:
        message = f"is taken over from save_strategy {chosen}, and evaluation knows no {chosen}"
        yield job.refuse("eval_strategy", message, "set eval_strategy: steps or epoch")
    else:
        hint = f"these work: {', '.join(_STRATEGIES)}"
        yield job.refuse("eval_strategy", f"{chosen} is not known", hint)


def eval_steps(job: Job) -> Any:
    """ms-swift 4.6.0 sft_args `_init_eval_strategy`, transformers `__post_init__`."""
    steps = job.get("eval_steps", job.get("save_steps", 500))
    return job.get("logging_steps", 5) if steps == 0 else steps


def whole(job: Job, name: str, value: float) -> Iterator[Problem]:
    """Source: transformers `_validate_args`: a number of steps above 1 has no fraction."""
    if value > 1 and (math.isinf(value) or value != int(value)):
        message = f"above 1 is a whole number, found {value}"
        nearest = 500 if math.isinf(value) else int(value)
        hint = f"use {nearest}, or a share below 1 of all steps"
        yield job.refuse(name, message, hint)


def steps(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`; torch's DataLoader takes no batch of none."""
    if eval_strategy(job) == "steps" and job.get("eval_steps", None) is not None:
        yield from whole(job, "eval_steps", eval_steps(job))


def batch(job: Job) -> Iterator[Problem]:
    """Source: torch DataLoader: a batch of none."""
    size = job.get("per_device_eval_batch_size", 1)
    if size < 1 and evaluates(job):
        message = f"must be at least 1, found {size}"
        yield job.refuse("per_device_eval_batch_size", message, "use 1 or more")


def best_model(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`: the best checkpoint is one that was evaluated."""
    saves = job.get("save_strategy", "steps")
    if not job.get("load_best_model_at_end", False) or saves == "best":
        return
    chosen = eval_strategy(job)
    if chosen not in _STRATEGIES:
        return  # said already
    if chosen != saves:
        why = "" if _has_data(job) else ": there is no val_dataset"
        message = f"needs saving and evaluation to go together, found save_strategy {saves} and eval_strategy {chosen}{why}"
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
    """Shares of all steps are compared at six digits, and never with numbers of steps."""
    if save_steps % every == 0:
        return True
    if every >= 1 or save_steps >= 1:
        return False
    large = 1_000_000
    return bool(save_steps * large % (every * large) == 0)


def schedulers(job: Job) -> Iterator[Problem]:
    """Source: transformers `_validate_args`: two learning rate schedules look at the evaluation."""
    chosen = job.get("lr_scheduler_type", "cosine")
    if chosen in ("reduce_lr_on_plateau", "greedy") and not evaluates(job):
        message = f"{chosen} needs an evaluation, and there is none"
        yield job.refuse("lr_scheduler_type", message, "give val_dataset, or use cosine")


def evalscope(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 trainers/mixin: eval_dataset is EvalScope's; alone it evaluates on nothing."""
    if not job.many("eval_dataset") or job.get("eval_use_evalscope", False) or not evaluates(job):
        return
    if job.many("val_dataset") or job.get("split_dataset_ratio", 0) > 0:
        return
    hint = "val_dataset names rows to evaluate on; eval_use_evalscope: true uses EvalScope"
    yield job.refuse("eval_dataset", "names EvalScope's data, and nothing else is given", hint)


RULES = (strategy, steps, batch, best_model, schedulers, evalscope)
