"""Plan -> the #SBATCH lines of its job."""

from __future__ import annotations

from typing import Any

from prl_submit.backends.slurm.options import OWNED
from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import LOGS
from prl_submit.spec.scalars import format_duration

#: Stands in the job's comment before the token by which a lost submission is found again.
TOKEN_PREFIX = "prl-submit:"
#: What sbatch, srun and slurmstepd say of a job; launch.sh has its own log per node.
LOG = "slurm.log"


def directives(plan: Plan, token: str) -> list[tuple[str, str | None]]:
    """The options of sbatch, name and value, in the order a person would write them."""
    resources, slurm = plan.resources, plan.slurm
    extra = {
        name: value
        for name, value in slurm.extra.items()
        if value is not None and value is not False
    }
    count = resources.nproc_per_node
    cpus, limit = resources.cpus_per_proc, resources.time_limit
    found: list[tuple[str, str | None]] = [
        ("job-name", plan.name),
        ("comment", _comment(extra.pop("comment", None), token)),
        ("chdir", plan.workdir),
        ("output", _output(plan)),
        ("open-mode", "append"),
        *_section(plan),
        ("nodes", str(resources.nodes)),
        ("ntasks-per-node", "1"),
        *_some("gres", _gres(plan, extra.pop("gres", None))),
        *_some("cpus-per-task", None if cpus is None else str(cpus * count)),
        *_some("mem", resources.memory),
        *_some("time", None if limit is None else format_duration(limit)),
        ("signal", f"B:USR1@{plan.restarts.grace}"),
        ("requeue" if plan.restarts.max else "no-requeue", None),
    ]
    if slurm.mail_user and "mail-type" not in extra:
        found.append(("mail-type", "END,FAIL,REQUEUE"))
    return [*found, *((name, _value(value)) for name, value in extra.items())]


def _section(plan: Plan) -> list[tuple[str, str | None]]:
    names = [(o, k.partition(".")[2]) for o, k in OWNED.items() if k.startswith("slurm.")]
    return [pair for option, field in names for pair in _some(option, getattr(plan.slurm, field))]


def _some(name: str, value: str | None) -> list[tuple[str, str | None]]:
    return [] if value is None else [(name, value)]


def _comment(own: Any, token: str) -> str:
    mark = f"{TOKEN_PREFIX}{token}"
    return mark if own in (None, "") else f"{_value(own)} {mark}"


def _gres(plan: Plan, more: Any) -> str | None:
    resources = plan.resources
    kind = f"{resources.gpu_type}:" if resources.gpu_type else ""
    gpus = f"gpu:{kind}{resources.nproc_per_node}" if resources.accelerator == "gpu" else None
    parts = [part for part in (gpus, None if more is None else _value(more)) if part]
    return ",".join(parts) or None


def _value(value: Any) -> str | None:
    if value is True:
        return None
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def has_own_log_file(plan: Plan) -> bool:
    r"""Whether job.sbatch opens slurm.log itself, since --output cannot name it.

    A backslash there stands for the next character in 22.05 and 24.11, and is lost in 26.05.
    """
    return "\\" in plan.run_dir


def _output(plan: Plan) -> str:
    """The path for --output, where `%` begins a pattern and `%%` is a percent sign."""
    if has_own_log_file(plan):
        return "/dev/null"
    return f"{plan.run_dir}/{LOGS}/{LOG}".replace("%", "%%")
