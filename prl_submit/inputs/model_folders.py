"""Folders that are given as models."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.rules.job import Job

_MODELS = ("model", "ref_model", "reward_model", "teacher_model")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift model/register `get_model_info`: a folder's config.json says what it is."""
    is_here = False
    for argument in _MODELS:
        if argument not in job.swift or argument in _unloaded(job):
            continue
        for given in map(str, job.many(argument)):
            path = resolve(given, workdir)
            if made_by_setup(job, path, workdir):
                continue
            if os.path.isfile(path):
                message = f"{given} is a file; a model is a folder, or a hub's id"
                yield job.refuse(argument, message, "the folder with config.json in it")
            elif os.path.isfile(os.path.join(path, "config.json")):
                is_here = True
            elif os.path.isdir(path):
                message = f"{given} holds no config.json"
                yield job.refuse(
                    argument, message, "a model's folder has one; adapters takes an adapter"
                )
    if is_here:
        from prl_submit.inputs import model_types  # a hub's id says by its name what it is

        yield from model_types.check(job, workdir)


def _unloaded(job: Job) -> set[str]:
    if not {"ref_model", "teacher_model"} & job.swift.keys():
        return set()
    from prl_submit.rules.other_models import unloaded  # few jobs have a second model

    return unloaded(job.swift)
