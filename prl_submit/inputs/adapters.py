"""Folders that are given as adapters."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.paths import resolve
from prl_submit.rules.job import Job

#: ms-swift 4.6.0 tuner_plugin/mapping: these look at their own files.
_OWN = ("ia3", "lora_llm", "dummy")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift >= 3.1.1 base_args `_check_is_adapter`: what is here must look like one."""
    if job.tuner_type in _OWN:
        return
    for given in map(str, job.many("adapters")):
        folder = resolve(given, workdir)
        if os.path.isdir(folder) and not is_adapter(folder):
            message = f"{given} holds no adapter_config.json"
            yield job.refuse("adapters", message, "model takes a whole model")


def is_adapter(folder: str) -> bool:
    """One of the three places ms-swift looks at."""
    places = ("adapter_config.json", "default/adapter_config.json", "reft")
    return any(os.path.exists(os.path.join(folder, place)) for place in places)
