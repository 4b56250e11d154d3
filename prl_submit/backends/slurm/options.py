"""What `check` and `render` need of Slurm: the rules for the section `slurm:` and its option names, and job.sbatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prl_submit.backends.slurm.option_names import OTHERS, OWNED, REFUSED
from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: Seconds: Slurm stores the time of the warning in 16 bits (slurm.h, warn_time).
_LONGEST_WARNING_S = 65_535
#: Slurm checks time limits once a minute, so a warning may come that many seconds early.
_EARLY_S = 60
#: Options whose value Slurm reads as a number, and ignores if it is none (22.05).
_NUMBERS = frozenset(
    [
        "core-spec",
        "cores-per-socket",
        "mincpus",
        "nice",
        "ntasks-per-core",
        "ntasks-per-socket",
        "priority",
        "sockets-per-node",
        "thread-spec",
        "threads-per-core",
    ]
)


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """What sbatch would refuse or ignore in the section `slurm:`, as far as that is known without running sbatch."""
    for name, value in job.spec.slurm.extra.items():
        yield from _extra(job, name, value)
    yield from _memory(job)
    if job.spec.resources.cpus_per_proc is None and job.spec.resources.accelerator == "gpu":
        message = "is not set: Slurm gives one CPU to all processes of a node"
        yield job.problem("resources.cpus_per_proc", message, "8 is usual", "warning")
    yield from _warning_time(job)
    yield from _container(job)


def _extra(job: Job, name: str, value: Any) -> Iterator[Problem]:
    """The problem of one option of `slurm.extra`, if it has one."""
    key, option = f"slurm.extra.{name}", name.lstrip("-").replace("_", "-")
    problem = _wrong_name(name, option) or _wrong_value(option, value)
    if problem is not None:
        yield job.problem(key, *problem)


def _wrong_name(name: str, option: str) -> tuple[str, str | None] | None:
    """What is wrong with an option's name, and what to do. `option`: the name as sbatch writes it."""
    if option in OWNED:
        return f"is set by {OWNED[option]}", f"use {OWNED[option]} instead"
    if option in REFUSED:
        return "is prl-submit's own", REFUSED[option]
    if option not in OTHERS:
        near = closest(option, [*OTHERS, *OWNED], 0.7)
        hint = f"did you mean {near!r}?" if near else None
        return f"sbatch has no option --{option}", hint or (
            "see `man sbatch`; options have long names here"
        )
    if name != option:
        return f"is written {option}", f"rename it to {option!r}"
    return None


def _wrong_value(option: str, value: Any) -> tuple[str, str | None] | None:
    """What is wrong with an option's value, and what to do."""
    items = _items(value)
    if not all(isinstance(item, (str, int, float, type(None))) for item in items):
        return "takes text, a number, true or a list", None
    if option == "gres" and any(str(item).startswith("gpu") for item in items):
        hint = "nproc_per_node and gpu_type ask for the GPUs; other gres stand here"
        return "GPUs are asked for by `resources`", hint
    if option in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int)):
        return f"takes a number, found {value!r}", None
    if option == "wckey" and str(value).startswith("*"):
        return f"{value!r} is no wckey for sbatch: it begins with *", None
    if option == "comment" and value is True:
        return "takes text", None
    if any(char < " " or char == "\x7f" for item in items for char in str(item)):
        return "holds a control character", "a #SBATCH line is one line"
    return None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _memory(job: Job) -> Iterator[Problem]:
    for name in ("mem-per-cpu", "mem-per-gpu"):
        if name in job.spec.slurm.extra and job.spec.resources.memory:
            yield job.problem(
                f"slurm.extra.{name}", "resources.memory is given too", "keep one of the two"
            )


def _warning_time(job: Job) -> Iterator[Problem]:
    limit, grace = job.spec.resources.time_limit, job.spec.restarts.grace
    if grace > _LONGEST_WARNING_S:
        message = f"Slurm warns at most {_LONGEST_WARNING_S} s before the end, found {grace} s"
        yield job.problem("restarts.grace", message, "18h is the most")
    elif limit is not None and grace >= limit:
        yield job.problem(
            "restarts.grace",
            f"{grace} s of warning do not fit into a time limit of {limit} s",
            "the warning comes that long before the limit",
        )
    elif limit is not None and limit < grace + _EARLY_S:
        message = f"with {grace} s of warning little may be left of a time limit of {limit} s"
        hint = "Slurm may warn up to 60 s earlier than asked (sbatch(1), --signal)"
        yield job.problem("resources.time_limit", message, hint, "warning")


def _container(job: Job) -> Iterator[Problem]:
    container = job.spec.environment.container
    if container is None:
        return
    for key, path in (("workdir", job.spec.workdir), ("output", job.spec.output)):
        if set(path) & set(",:"):
            yield job.problem(key, f"{path!r} is mounted into the container", "no comma or colon")
    for mount in container.mounts:
        parts = mount.split(":")
        if "," in mount or len(parts) > 3 or not all(parts):
            yield job.problem(
                "environment.container.mounts",
                f"{mount!r} is no mount",
                "HOST:CONTAINER or HOST:CONTAINER:ro; no commas in the paths",
            )


def artefact(plan: Plan, scripts: Mapping[str, str], token: str, site: Path | None) -> str:
    """job.sbatch, which runs launch.sh from the run directory."""
    from prl_submit.backends.slurm.batch_script import render_script

    return render_script(plan, token, site)
