"""Check of the folders in `adapters`: each must hold an adapter."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.paths import resolve
from prl_submit.rules.job import Job

#: Tuners that load their own kind of files (ms-swift 4.6.0 tuner_plugin/mapping).
_OWN = ("ia3", "lora_llm", "dummy")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """A local folder in `adapters` must hold an adapter. Source: ms-swift >= 3.1.1 base_args `_check_is_adapter`."""
    if job.tuner_type in _OWN:
        return
    for given in map(str, job.many("adapters")):
        folder = resolve(given, workdir)
        if os.path.isdir(folder) and not is_adapter(folder):
            message = f"{given} holds no adapter_config.json"
            yield job.refuse("adapters", message, "write a whole model under `model`")


def is_adapter(folder: str) -> bool:
    """True if the folder has one of the three files or folders by which ms-swift recognises an adapter."""
    places = ("adapter_config.json", "default/adapter_config.json", "reft")
    return any(os.path.exists(os.path.join(folder, place)) for place in places)
