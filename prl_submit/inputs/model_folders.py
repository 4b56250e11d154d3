"""Check of the folders given as models: each must hold a config.json."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.rules.job import Job

_MODELS = ("model", "ref_model", "reward_model", "teacher_model")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """A local model must be a folder with config.json. Source: ms-swift model/register `get_model_info`.

    For a local model the model type is checked too. For a hub's id ms-swift knows it from the name.
    """
    is_here = False
    for argument in _MODELS:
        if argument not in job.swift or argument in _unloaded(job):
            continue
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            if made_by_setup(job, path, workdir):
                continue
            is_here = is_here or os.path.isfile(os.path.join(path, "config.json"))
            yield from _folder(job, argument, given, path)
    if is_here:
        from prl_submit.inputs import model_types

        yield from model_types.check(job, workdir)


def _folder(job: Job, argument: str, given: str, path: str) -> Iterator[Problem]:
    """The problem of a path that exists on this machine and is no model."""
    if os.path.isfile(path):
        message = f"{given} is a file; a model is a folder or a hub's id"
        yield job.refuse(argument, message, "give the folder that holds config.json")
    elif os.path.isdir(path) and not os.path.isfile(os.path.join(path, "config.json")):
        message = f"{given} holds no config.json"
        hint = "a model's folder has config.json; write an adapter's folder under `adapters`"
        yield job.refuse(argument, message, hint)


def _unloaded(job: Job) -> set[str]:
    """The arguments of models that ms-swift never loads with this job's values."""
    if not {"ref_model", "teacher_model"} & job.swift.keys():
        return set()
    from prl_submit.rules.other_models import unloaded

    return unloaded(job.swift)
