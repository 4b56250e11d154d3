"""Checks of the files that a job names: plugins, data, models, checkpoints and configurations.

    plugins.py           names that plugin files register, their syntax, imports and rewards
    plugin_cache.py      what Python files say, cached between commands
    plugin_facts.py      the types of what they say
    plugin_syntax.py     reads a Python file with `ast` for plugin_cache
    plugin_ast.py        follows a whole plugin with `ast` to find all names that it registers
    swift_source.py      names in the source of the job's ms-swift, which users of a checkout may edit
    registered.py        names of templates, model types and the like
    data.py              data files: readable, enough rows for one batch, the needed columns
    damage.py            the first mistake in a data file
    rows.py              how many rows a data file has
    training_rows.py     how many rows and steps a training has
    columns.py           the columns that reach the reward functions
    model_folders.py     folders given as models
    model_types.py       the model type and template of a local model
    targets.py           target_modules against the modules of a local model
    adapters.py          folders given as adapters
    checkpoint.py        the checkpoint to resume from
    parallel_configs.py  configurations of DeepSpeed and FSDP
    named.py             text and JSON files that other arguments name
    packages.py          optional packages that the job needs
    setup_lines.py       whether bash can read environment.setup
    local_files.py       whether the files that the job names exist on this machine
    paths.py             paths as ms-swift resolves them
    spec_files.py        the files of a spec: itself, its bases, and the profile

The functions that read files and the functions that judge what was read are separate. If the working
directory is on another machine, nothing is checked.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator
from importlib import import_module

from prl_submit.errors import Problem
from prl_submit.inputs import data, model_folders, plugins
from prl_submit.rules.job import DoubtfulError, Job

Check = Callable[[Job, str], Iterator[Problem]]

#: Arguments whose value is a name that ms-swift or a plugin registers.
_REGISTERED = (
    "template", "reward_template", "model_type", "ref_model_type", "reward_model_type",
    "teacher_model_type", "loss_scale", "agent_template", "attn_impl",
)  # fmt: skip


def check_inputs(job: Job, workdir: str) -> list[Problem]:
    """All problems with the files that a job names. `workdir` is an absolute path."""
    if not os.path.isdir(workdir):
        return []
    problems: list[Problem] = []
    for check in checks(job):
        try:
            problems.extend(check(job, workdir))
        except DoubtfulError:
            continue  # a value that the check needs is wrong already
    return problems


def checks(job: Job) -> Iterator[Check]:
    """The checks that this job needs. A module is imported only if the job needs its check."""
    yield plugins.check
    yield data.check
    yield model_folders.check
    needed = {
        "targets": _has(job, "target_modules", "target_regex"),
        "packages": bool(job.folders),
        "registered": _has(job, *_REGISTERED),
        "named": _names_a_file(job),
        "parallel_configs": _has(job, "deepspeed", "teacher_deepspeed", "fsdp"),
        "checkpoint": _has(job, "resume_from_checkpoint"),
        "adapters": _has(job, "adapters"),
    }
    for name, is_needed in needed.items():
        if is_needed:
            module = import_module(f"prl_submit.inputs.{name}")
            check: Check = module.check
            yield check


def _has(job: Job, *names: str) -> bool:
    """True if the job has one of the arguments."""
    return any(name in job.swift for name in names)


def _names_a_file(job: Job) -> bool:
    """True if a value may be the name of a text file or a JSON file."""
    for values in job.swift.values():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str) and value.endswith((".txt", ".json")):
                return True
    return False
