"""Translate sbatch's refusal: which key of the spec caused it, and which values the cluster has."""

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


#: Parts of sbatch's messages, in lower case (slurm_errno.c and sbatch/opt.c of Slurm 22.05), and the
#: key of the spec that causes each. The first match counts.
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


#: sbatch says one of these if no node can run the job. It says the same if suitable nodes exist but
#: are drained or down.
NO_NODE = (
    "Requested node configuration is not available",
    "Required node not available",
    "Requested nodes are busy",
)


def explain(err: str, plan: Plan, choices: Sequence[str] = ()) -> Refusal:
    """The refusal that sbatch printed as `err`, with the key of the spec that caused it.

    `choices`: the names that the cluster has for that key (partitions, accounts, QoS), for the hint.
    """
    said = first_line(err)
    key, hint = _cause(err)
    if key == "resources.gpu_type" and "gres" in plan.slurm.extra:
        key = "slurm.extra.gres"
    section, _, name = (key or "").partition(".")
    if section != "slurm" or "." in name:
        return Refusal(key, f"Slurm refused the job: {said}", hint)
    value = getattr(plan.slurm, name, None)
    if choices:
        near = closest(value, choices, 0.6) if value else None
        guess = f"did you mean {near!r}? " if near else ""
        hint = f"{guess}has: {', '.join(choices)}"
    about = f"{value!r}: " if value else ""
    return Refusal(key, f"{about}Slurm refused the job: {said}", hint)


def _cause(err: str) -> tuple[str | None, str | None]:
    """The key of the spec that caused the refusal, and a hint; None where unknown."""
    if option := re.search(r"unrecognized option '--([a-z-]+)", err):
        return f"slurm.extra.{option[1]}", "this version of Slurm does not have it: remove it"
    low = err.lower()
    for cause in _CAUSES:
        if re.search(cause.pattern, low):
            return cause.key, cause.hint
    return None, None


def choices_argv(key: str | None, user: str) -> list[str] | None:
    """The command that lists the valid values of a key; None for keys without such a command.

    Parse its output with `parse_choices`. `user`: whose accounts and QoS to list.
    """
    if key == "slurm.partition":
        return ["sinfo", "--noheader", "--all", "--format=%R"]
    field = {"slurm.account": "account", "slurm.qos": "qos"}.get(key or "")
    if field is None:
        return None
    argv = ["sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}"]
    return [*argv, f"format={field}"]


def parse_choices(text: str) -> list[str]:
    """The names in the output of `choices_argv`'s command, each once, in the order printed.

    A line holds one name, or several separated by commas.
    """
    names = [name.strip() for line in text.splitlines() for name in line.split(",")]
    return list(dict.fromkeys(name for name in names if name))
