"""Without these no job starts, or none comes to its first step."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json


def model(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 model_args `__post_init__`: a model, unless a checkpoint's args.json has one."""
    if str(job.get("model", None) or "").strip() or not is_written(job):
        return
    if job.get("load_args", False) and job.many("adapters"):
        return
    resumed = job.get("resume_only_model", False) and job.get("resume_from_checkpoint", None)
    if resumed and job.tuner_type == "full":
        return  # sft_args `__post_init__` takes the checkpoint for the model
    yield missing(job, "model", "a hub's id or a path")


def is_written(job: Job) -> bool:
    """Whether anybody wrote a value under `swift:`; that nobody did is told once, with the spec."""
    return any(map(job.written, job.swift))


def missing(job: Job, name: str, hint: str) -> Problem:
    """An argument without which ms-swift stops."""
    return job.problem("swift", f"{name} is not set; ms-swift needs it", f"{name}: {hint}")


def data(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 sft_args `__post_init__`: rows, raw or cached."""
    given = "".join(map(str, job.many("dataset"))).strip() or job.many("cached_dataset")
    if not given and is_written(job):
        yield missing(job, "dataset", "[a file or a hub's id]")


def reentrant(job: Job) -> Iterator[Problem]:
    """ms-swift < 3.6 trainers/arguments `_fix_gradient_checkpointing`: reentrant unless told otherwise.

    transformers lets DDP look for unused parameters of an adapter's model; together the first backward
    pass ends with "Expected to mark a variable ready only once". Seen with 3.3.0. A warning: ms-swift
    itself takes the job.
    """
    if job.since("3.6") or job.world == 1 or job.tuner_type == "full":
        return
    if job.get("deepspeed", None) or job.get("fsdp", None):
        return
    if not job.get("gradient_checkpointing", True):
        return
    if job.get("ddp_find_unused_parameters", None) is False or _is_not_reentrant(job):
        return
    yield job.problem(
        "swift.gradient_checkpointing_kwargs",
        f"{job.tuner_type} on {job.world} processes fails at its first step in ms-swift before 3.6: "
        "DDP does not go with reentrant checkpoints",
        "set gradient_checkpointing_kwargs: {use_reentrant: false}",
        "warning",
    )


def _is_not_reentrant(job: Job) -> bool:
    """The value is a mapping in a spec, and may be JSON's text; what is no mapping is told elsewhere."""
    value = job.get("gradient_checkpointing_kwargs", None)
    if isinstance(value, str):
        try:
            value = decode_json(value.encode())
        except ValueError:
            return False
    return isinstance(value, dict) and value.get("use_reentrant") in (False, "false")


RULES = (model, data, reentrant)
