"""Without these no job starts."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.job import Job


def model(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 model_args `__post_init__`: a model, unless a checkpoint's args.json has one."""
    if str(job.get("model", None) or "").strip():
        return
    if job.get("load_args", False) and job.many("adapters"):
        return
    resumed = job.get("resume_only_model", False) and job.get("resume_from_checkpoint", None)
    if resumed and job.tuner_type == "full":
        return  # sft_args `__post_init__` takes the checkpoint for the model
    yield missing(job, "model", "a hub's id or a path")


def missing(job: Job, name: str, hint: str) -> Problem:
    """An error, or a warning where a spec has no `swift:` at all yet."""
    message = f"{name} is not set; ms-swift needs it"
    severity = "error" if any(map(job.written, job.swift)) else "warning"
    return job.problem("swift", message, f"{name}: {hint}", severity)


def data(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 sft_args `__post_init__`: rows, raw or cached."""
    if not "".join(map(str, job.many("dataset"))).strip() and not job.many("cached_dataset"):
        yield missing(job, "dataset", "[a file or a hub's id]")


RULES = (model, data)
