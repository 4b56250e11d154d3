"""Plan -> the #SBATCH lines of its job."""

from __future__ import annotations

from typing import Any

from prl_submit.plan import Plan
from prl_submit.runs import LOGS
from prl_submit.scalars import format_duration
from prl_submit.slurm_options import OWNED

#: Stands in the job's comment before the token by which a lost submission is found again.
TOKEN_PREFIX = "prl-submit:"
#: What sbatch, srun and slurmstepd say of a job; launch.sh has its own log per node.
LOG = "slurm.log"

#: A variable of sbatch beats the script's own line (sbatch(1), INPUT ENVIRONMENT VARIABLES).
_VARIABLES = {
    "chdir": [],
    "cpus-per-task": [],
    "mail-type": [],
    "mem": ["SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"],
    "mem-per-cpu": ["SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_GPU"],
    "mem-per-gpu": ["SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU"],
    "time": ["SBATCH_TIMELIMIT"],
    "signal": ["SBATCH_SIGNAL"],
    "requeue": ["SBATCH_NO_REQUEUE"],
    "no-requeue": ["SBATCH_REQUEUE"],
    "switches": ["SBATCH_REQ_SWITCH"],
}
#: Not for this job, whatever the spec says.
_NEVER = [
    "SBATCH_ARRAY_INX",
    "SBATCH_CLUSTERS",
    "SBATCH_EXPORT",
    "SBATCH_GPUS",
    "SBATCH_GPUS_PER_NODE",
    "SBATCH_GPUS_PER_TASK",
    "SBATCH_CPUS_PER_GPU",
    "SBATCH_IGNORE_PBS",
    "SBATCH_INPUT",
    "SBATCH_ERROR",
    "SBATCH_WAIT",
    "SLURM_CLUSTERS",
]


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
        ("output", output_pattern(f"{plan.run_dir}/{LOGS}/{LOG}")),
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


def output_pattern(path: str) -> str:
    r"""A path for --output, where `%` and `\` are special (measured on 22.05.8).

    With a backslash in it nothing is expanded and each backslash stands for the next character;
    without one, `%%` is `%`.
    """
    if "\\" in path:
        return path.replace("\\", "\\\\")
    return path.replace("%", "%%")


def hidden_variables(options: list[tuple[str, str | None]]) -> set[str]:
    """Variables that must not reach sbatch: there they would beat what the spec says."""
    named = {
        variable
        for name, _ in options
        for variable in [
            f"SBATCH_{name.upper().replace('-', '_')}",
            *_VARIABLES.get(name, []),
        ]
    }
    return named | set(_NEVER)
