"""The #SBATCH lines of a plan's job."""

from __future__ import annotations

from typing import Any

from prl_submit.backends.slurm.option_names import OWNED
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import SLURM_LOG
from prl_submit.spec.scalars import format_duration

#: The job's comment holds this prefix and the run's token. If sbatch's answer is lost, prl-submit
#: finds the job by that comment.
TOKEN_PREFIX = "prl-submit:"
#: Output of sbatch, srun and slurmstepd. launch.sh writes its own log for each node.

#: An option's long name without `--`, and its value; None for an option without a value.
Option = tuple[str, "str | None"]


def directives(plan: Plan, token: str) -> list[Option]:
    """The options of sbatch, in the order a person would write them."""
    resources, slurm = plan.resources, plan.slurm
    extra = {
        name: value
        for name, value in slurm.extra.items()
        if value is not None and value is not False
    }
    count = resources.nproc_per_node
    cpus, limit = resources.cpus_per_proc, resources.time_limit
    found: list[Option] = [
        ("job-name", plan.name),
        ("comment", comment(extra.pop("comment", None), token)),
        ("chdir", plan.workdir),
        ("output", output(plan.run_dir)),
        ("open-mode", "append"),
        *_slurm_section(plan),
        *_end_if_never(plan, extra),
        ("nodes", str(resources.nodes)),
        ("ntasks-per-node", "1"),
        *_unless_none("gres", _gres(plan, extra.pop("gres", None))),
        *_unless_none("cpus-per-task", None if cpus is None else str(cpus * count)),
        *_unless_none("mem", resources.memory),
        *_unless_none("time", None if limit is None else format_duration(limit)),
        ("signal", f"B:USR1@{plan.restarts.grace}"),
        ("requeue" if plan.restarts.max else "no-requeue", None),
    ]
    if slurm.mail_user and "mail-type" not in extra:
        found.append(("mail-type", "END,FAIL,REQUEUE"))
    return [*found, *((name, _value(value)) for name, value in extra.items())]


def _slurm_section(plan: Plan) -> list[Option]:
    """The options that keys of the `slurm:` section set: partition, account, …."""
    found: list[Option] = []
    for option, key in OWNED.items():
        section, _, field = key.partition(".")
        if section == "slurm":
            value = getattr(plan.slurm, field)
            found += _unless_none(option, dependency(plan) if field == "dependency" else value)
    return found


def dependency(plan: Plan) -> str | None:
    """What the user wrote, and the jobs of --after, which must succeed first."""
    jobs = [f"afterok:{':'.join(plan.after_jobs)}"] if plan.after_jobs else []
    return ",".join([*([plan.slurm.dependency] if plan.slurm.dependency else []), *jobs]) or None


def _end_if_never(plan: Plan, extra: dict[str, Any]) -> list[Option]:
    """Let Slurm end the job if a run of --after fails. Otherwise such a job would be pending for ever."""
    is_needed = plan.after_jobs and "kill-on-invalid-dep" not in extra
    return [("kill-on-invalid-dep", "yes")] if is_needed else []


def _unless_none(name: str, value: str | None) -> list[Option]:
    return [] if value is None else [(name, value)]


def comment(users_comment: Any, token: str) -> str:
    """The job's comment: the user's own, and the token by which the job is found."""
    mark = f"{TOKEN_PREFIX}{token}"
    return mark if users_comment in (None, "") else f"{_value(users_comment)} {mark}"


def _gres(plan: Plan, users_gres: Any) -> str | None:
    """`gpu:h100:4`, and after a comma what the user asks for in slurm.extra.gres."""
    resources = plan.resources
    parts = []
    if resources.accelerator == "gpu":
        kind = f"{resources.gpu_type}:" if resources.gpu_type else ""
        parts.append(f"gpu:{kind}{resources.nproc_per_node}")
    if users_gres is not None and (more := _value(users_gres)):
        parts.append(more)
    return ",".join(parts) or None


def _value(value: Any) -> str | None:
    """A YAML value as sbatch wants it: true has no value, a list is joined by commas."""
    if value is True:
        return None
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def has_own_log_file(plan: Plan) -> bool:
    r"""True if job.sbatch must open slurm.log itself, because --output cannot name its path.

    That is so if the path has a backslash: in --output, Slurm 22.05 and 24.11 take it as an escape of
    the next character, and Slurm 26.05 drops it.
    """
    return "\\" in plan.run_dir


def output(folder: str, pattern: str = "") -> str:
    """The path for --output. There `%` begins a pattern, and `%%` stands for a percent sign.

    `folder`: the run directory. `pattern`: what stands behind it for the number of an array's task.
    """
    if "\\" in folder:
        return "/dev/null"
    return f"{folder.replace('%', '%%')}{pattern}/{SLURM_LOG}"
