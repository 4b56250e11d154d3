"""Rules on arguments without which a job does not start or does not reach its first step."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json


def model(job: Job) -> Iterator[Problem]:
    """A job needs a model, unless ms-swift takes it from a checkpoint.

    Source: ms-swift 4.6.0 model_args `__post_init__`.
    """
    if str(job.get("model", None) or "").strip() or not is_written(job):
        return
    if job.get("load_args", False) and job.many("adapters"):
        return
    resumed = job.get("resume_only_model", False) and job.get("resume_from_checkpoint", None)
    if resumed and job.tuner_type == "full":
        return  # ms-swift uses the checkpoint as the model (sft_args `__post_init__`)
    yield missing(job, "model", "a hub's id or a path")


def is_written(job: Job) -> bool:
    """True if the user wrote a value under `swift:`. An empty section is one problem, reported elsewhere."""
    return any(map(job.written, job.swift))


def missing(job: Job, name: str, hint: str) -> Problem:
    """The problem of an argument without which ms-swift stops."""
    return job.problem("swift", f"{name} is not set; ms-swift needs it", f"{name}: {hint}")


def data(job: Job) -> Iterator[Problem]:
    """A job needs a dataset or a cached_dataset. Source: ms-swift 4.6.0 sft_args `__post_init__`."""
    given = "".join(map(str, job.many("dataset"))).strip() or job.many("cached_dataset")
    if not given and is_written(job):
        yield missing(job, "dataset", "[a file or a hub's id]")


def reentrant(job: Job) -> Iterator[Problem]:
    """Before ms-swift 3.6 an adapter cannot be trained on several processes with the defaults.

    Gradient checkpointing is reentrant by default (trainers/arguments `_fix_gradient_checkpointing`), and
    transformers makes DDP look for unused parameters if the model has an adapter. Together they end the
    first backward pass with "Expected to mark a variable ready only once" (seen with 3.3.0). It is a
    warning, because ms-swift itself accepts the job.
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
        "DDP cannot be combined with reentrant gradient checkpointing",
        "set gradient_checkpointing_kwargs: {use_reentrant: false}",
        "warning",
    )


def _is_not_reentrant(job: Job) -> bool:
    """True if gradient_checkpointing_kwargs (a mapping, or JSON text) sets use_reentrant to false."""
    value = job.get("gradient_checkpointing_kwargs", None)
    if isinstance(value, str):
        try:
            value = decode_json(value.encode())
        except ValueError:
            return False
    return isinstance(value, dict) and value.get("use_reentrant") in (False, "false")


RULES = (model, data, reentrant)
