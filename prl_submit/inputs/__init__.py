"""What a job's own files say of it: plugins, DeepSpeed configurations, data, checkpoints.

    plugins.py      names that a plugin file registers, where its text plainly says so
    following.py    the same by `ast`, for what it does not plainly say
    plugin_facts.py        syntax errors, imports and rewards of Python files, remembered between commands
    source.py       reads them by `ast`
    swift_source.py the same of the ms-swift that runs: lines that users wrote into their checkout
    parallel_configs.py DeepSpeed and FSDP configurations: there, JSON, and in keeping with the arguments
    rows.py         how many rows data files have, counted no further than needed
    damage.py       the first row of a data file that cannot be read
    columns.py      which columns are left for rewards when ms-swift has made messages of the rows
    data.py         rules on those: enough for one batch, with columns that ms-swift and rewards need
    checkpoint.py   what is in the checkpoint to resume from, and the rules on it
    adapters.py     folders that should hold an adapter
    models.py       folders that should hold a model
    named.py        text and JSON files that other arguments name

Each file reads facts and has rules on them that do not read; only `check_inputs` joins the two.
Where the working directory is on another machine nothing is said.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator

from prl_submit.errors import Problem
from prl_submit.inputs import data, model_folders, plugins
from prl_submit.rules.job import DoubtfulError, Job

Check = Callable[[Job, str], Iterator[Problem]]

#: Arguments that name what ms-swift, or a plugin, registers.
_REGISTERED = frozenset({
    "template", "reward_template", "model_type", "ref_model_type", "reward_model_type",
    "teacher_model_type", "loss_scale", "agent_template", "attn_impl",
})  # fmt: skip


def check_inputs(job: Job, workdir: str) -> list[Problem]:
    """All that is wrong with the files a job names; `workdir` is absolute."""
    if not os.path.isdir(workdir):
        return []
    problems: list[Problem] = []
    for check in checks(job):
        try:
            problems.extend(check(job, workdir))
        except DoubtfulError:
            continue
    return problems


def checks(job: Job) -> Iterator[Check]:
    """Those that a job has arguments for."""
    yield plugins.check
    yield data.check
    yield model_folders.check
    if "target_modules" in job.swift or "target_regex" in job.swift:
        from prl_submit.inputs import targets

        yield targets.check
    if job.folders:
        from prl_submit.inputs import packages

        yield packages.check
    if not _REGISTERED.isdisjoint(job.swift):
        from prl_submit.inputs import registered

        yield registered.check
    if _names_a_file(job):
        from prl_submit.inputs import named

        yield named.check
    if any(name in job.swift for name in ("deepspeed", "teacher_deepspeed", "fsdp")):
        from prl_submit.inputs import parallel_configs  # not for the others' jobs

        yield parallel_configs.check
    if "resume_from_checkpoint" in job.swift:
        from prl_submit.inputs import checkpoint

        yield checkpoint.check
    if "adapters" in job.swift:
        from prl_submit.inputs import adapters

        yield adapters.check


def _names_a_file(job: Job) -> bool:
    """Whether a value may be the name of a text or JSON file."""
    return any(
        isinstance(value, str) and value.endswith((".txt", ".json"))
        for values in job.swift.values()
        for value in (values if isinstance(values, list) else [values])
    )
