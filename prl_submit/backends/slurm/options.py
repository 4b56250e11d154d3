"""What `check` and `render` need of Slurm: the rules for the section `slurm:` and its option names, and job.sbatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: Options that another key of the spec sets (`sbatch --help`, 22.05).
OWNED = {
    "job-name": "name",
    "chdir": "workdir",
    "nodes": "resources.nodes",
    "ntasks": "resources.nproc_per_node",
    "ntasks-per-node": "resources.nproc_per_node",
    "ntasks-per-gpu": "resources.nproc_per_node",
    "gpus": "resources.nproc_per_node",
    "gpus-per-node": "resources.nproc_per_node",
    "gpus-per-task": "resources.nproc_per_node",
    "cpus-per-task": "resources.cpus_per_proc",
    "cpus-per-gpu": "resources.cpus_per_proc",
    "mem": "resources.memory",
    "time": "resources.time_limit",
    "signal": "restarts.grace",
    "requeue": "restarts.max",
    "no-requeue": "restarts.max",
    "partition": "slurm.partition",
    "account": "slurm.account",
    "qos": "slurm.qos",
    "constraint": "slurm.constraint",
    "reservation": "slurm.reservation",
    "exclude": "slurm.exclude",
    "nodelist": "slurm.nodelist",
    "mail-user": "slurm.mail_user",
    "dependency": "slurm.dependency",
    "container": "environment.container",
    "export": "environment.env",
    "export-file": "environment.env",
}
#: Options that would change what a submission is.
REFUSED = {
    "array": "one run is one job; submit one spec per run",
    "clusters": "submit on the cluster itself, or with its SLURM_CONF",
    "output": "the logs of a run are in its directory",
    "error": "the logs of a run are in its directory",
    "open-mode": "the logs of a run are kept across restarts",
    "input": "a training reads no standard input",
    "uid": "submit as that user: a run directory belongs to whoever submits",
    "wrap": "launch.sh is what runs",
    "wait": "prl-submit has --wait",
    "test-only": "prl-submit check --online asks Slurm",
    "parsable": "prl-submit reads sbatch's answer itself",
    "quiet": "prl-submit reads sbatch's answer itself",
    "help": "see man sbatch",
    "usage": "see man sbatch",
    "version": "see man sbatch",
    "ignore-pbs": "there are no PBS lines in job.sbatch",
}
#: The other options of `sbatch --help` of 22.05, and those added up to 24.11.
OTHERS = frozenset(
    [
        "acctg-freq",
        "batch",
        "bb",
        "bbf",
        "begin",
        "cluster-constraint",
        "comment",
        "contiguous",
        "core-spec",
        "cores-per-socket",
        "cpu-freq",
        "deadline",
        "delay-boot",
        "distribution",
        "exclusive",
        "extra",
        "extra-node-info",
        "get-user-env",
        "gid",
        "gpu-bind",
        "gpu-freq",
        "gpus-per-socket",
        "gres",
        "gres-flags",
        "hint",
        "hold",
        "kill-on-invalid-dep",
        "licenses",
        "mail-type",
        "mcs-label",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
        "network",
        "nice",
        "no-kill",
        "nodefile",
        "ntasks-per-core",
        "ntasks-per-socket",
        "overcommit",
        "oom-kill-step",
        "oversubscribe",
        "power",
        "prefer",
        "priority",
        "profile",
        "propagate",
        "reboot",
        "resv-ports",
        "segment",
        "sockets-per-node",
        "spread-job",
        "stepmgr",
        "switches",
        "thread-spec",
        "threads-per-core",
        "time-min",
        "tmp",
        "tres-bind",
        "tres-per-task",
        "umask",
        "use-min-nodes",
        "verbose",
        "wait-all-nodes",
        "wckey",
        "x11",
    ]
)


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
