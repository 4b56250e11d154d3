"""sbatch's refusals: which key of the spec they are about, and what the cluster has instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from prl_submit.backends.slurm.slurm_commands import first_line
from prl_submit.errors import Refusal
from prl_submit.planning.plan import Plan
from prl_submit.spec.suggest import closest


class _Cause(Struct, frozen=True):
    pattern: str
    key: str
    hint: str | None = None


#: sbatch's words (slurm_errno.c and sbatch/opt.c of 22.05) and the key that causes them.
_CAUSES = (
    _Cause(
        "job violates accounting/qos policy",
        "slurm.qos",
        "a limit of your account or QoS: `sacctmgr show qos`, `sacctmgr show assoc user=$USER`",
    ),
    _Cause("invalid partition", "slurm.partition"),
    _Cause("invalid account", "slurm.account"),
    _Cause("invalid qos", "slurm.qos"),
    _Cause(
        "invalid feature", "slurm.constraint", "`sinfo -o '%f'` lists the features of the nodes"
    ),
    _Cause("reservation", "slurm.reservation", "`scontrol show reservation` lists them"),
    _Cause("invalid node name", "slurm.nodelist", "`sinfo -N` lists the nodes"),
    _Cause("dependency", "slurm.dependency", "for example afterok:JOBID"),
    _Cause("group not permitted", "slurm.partition", "take another partition, or ask for access"),
    _Cause("account not permitted", "slurm.account"),
    _Cause("generic resource", "resources.gpu_type", "`sinfo -o '%P %G'` lists the GPUs"),
    _Cause("time limit", "resources.time_limit", "`sinfo -o '%P %l'` lists the limits"),
    _Cause("node count", "resources.nodes"),
    _Cause("more processors", "resources.cpus_per_proc"),
    _Cause("memory", "resources.memory", "`sinfo -o '%P %m'` lists the memory of the nodes in MiB"),
    _Cause(
        "node configuration is not available",
        "resources",
        "no node has that many GPUs, CPUs and that much memory at once: `sinfo -o '%P %c %m %G'`",
    ),
    _Cause("mail-type", "slurm.extra.mail-type"),
    _Cause("wckey", "slurm.extra.wckey", "`sacctmgr show wckey user=$USER` lists yours"),
    _Cause("license", "slurm.extra.licenses", "`scontrol show license` lists them"),
    _Cause("mcs_label", "slurm.extra.mcs-label"),
    _Cause("burst buffer", "slurm.extra.bb"),
    _Cause("--nice value", "slurm.extra.nice"),
    _Cause("invalid time specified", "resources.time_limit"),
    _Cause("cpu count", "resources.cpus_per_proc"),
)


#: What sbatch says where no node can take a job, also if all that could are drained.
NO_NODE = (
    "Requested node configuration is not available",
    "Required node not available",
    "Requested nodes are busy",
)


def explain(err: str, plan: Plan, choices: Sequence[str] = ()) -> Refusal:
    """A refusal in Slurm's words, with the key it is about and the cluster's real choices."""
    said = first_line(err)
    key, hint = _cause(err)
    if key == "resources.gpu_type" and "gres" in plan.slurm.extra:
        key = "slurm.extra.gres"
    if key is not None and key.startswith("slurm.") and key.count(".") == 1:
        name = key.rpartition(".")[2]
        found = getattr(plan.slurm, name, None)
        listed = f"has: {', '.join(choices)}" if choices else None
        near = closest(found, choices, 0.6) if found else None
        guess = f"did you mean {near!r}? " if near else ""
        if listed:
            hint = f"{guess}{listed}"
        if found:
            return Refusal(key, f"{found!r}: Slurm refused the job: {said}", hint)
    return Refusal(key, f"Slurm refused the job: {said}", hint)


def _cause(err: str) -> tuple[str | None, str | None]:
    if option := re.search(r"unrecognized option '--([a-z-]+)", err):
        return f"slurm.extra.{option[1]}", "this version of Slurm does not have it: leave it out"
    low = err.lower()
    for cause in _CAUSES:
        if re.search(cause.pattern, low):
            return cause.key, cause.hint
    return None, None


def choices_argv(key: str | None, user: str) -> list[str] | None:
    """The question that lists what there is instead, or None. Each answer line holds one name."""
    if key == "slurm.partition":
        return ["sinfo", "--noheader", "--all", "--format=%R"]
    field = {"slurm.account": "account", "slurm.qos": "qos"}.get(key or "")
    if field is None:
        return None
    argv = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}"]
    return [*argv, f"format={field}"]


def parse_choices(text: str) -> list[str]:
    """Names, one or several (by commas) per line, each once and in order."""
    names = [name.strip() for line in text.splitlines() for name in line.split(",")]
    return list(dict.fromkeys(name for name in names if name))
