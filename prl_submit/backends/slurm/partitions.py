"""The cluster's partitions, and what in a plan none of their nodes could ever run.

prl-submit checks this before it calls sbatch. Slurm refuses such a job too, but only after it has used
a job id and listed a FAILED job (seen with Slurm 22.05.8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from prl_submit.errors import Refusal
from prl_submit.planning.plan import Plan
from prl_submit.spec.scalars import ALL_MEMORY, format_duration, gpus_asked_for, mebibytes
from prl_submit.spec.suggest import closest

#: Lists partitions, one line for each kind of node in each (--exact: sinfo does not merge kinds).
#: Fields: partition, the same with `*` behind the default one, time limit, nodes, CPUs, MiB, gres.
SINFO = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%P|%l|%D|%c|%m|%G"]

#: The same without the time limit, with the nodes' state and the administrator's reason for it.
SINFO_STATES = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%P|%D|%c|%m|%G|%T|%E"]

#: Parts of the names of states in which a node starts no new job (sinfo(1), NODE STATE CODES).
_UNAVAILABLE = re.compile(r"drain|down|fail|maint|inval|unknown|error|reboot|no_respond")

#: Lists the flags of each QoS. With the flag PartitionTimeLimit, a QoS overrides the time limits of
#: partitions (sacctmgr(1)).
QOS_FLAGS = ["sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=flags"]


class NodeKind(Struct, frozen=True):
    """Nodes of a partition that are alike. `cpus`, `memory_mib`, `gpus`: of each node.

    `gpus`: number by GPU type; the type is '' if the cluster's gres has no type.
    """

    nodes: int
    cpus: int
    memory_mib: int
    gpus: dict[str, int]


class Partition(Struct, frozen=True):
    """A partition and its kinds of nodes. `max_seconds`: its time limit; None if it has none."""

    name: str
    default: bool
    max_seconds: int | None
    kinds: list[NodeKind]


def parse_sinfo(text: str) -> dict[str, Partition]:
    """The partitions in SINFO's output, by name. Lines that cannot be parsed are skipped."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 7:
            continue
        name, marked, limit, nodes, cpus, memory, gres = fields
        kind = _node_kind(nodes, cpus, memory, gres)
        if kind is None:
            continue
        known = found[name].kinds if name in found else []
        # A partition may have no nodes yet, because a cloud plugin creates them on demand.
        kinds = [*known, kind] if kind.nodes else known
        found[name] = Partition(name, marked.endswith("*"), parse_limit(limit), kinds)
    return found


def _node_kind(nodes: str, cpus: str, memory: str, gres: str) -> NodeKind | None:
    """From sinfo's fields; None if they are not numbers. `memory` may be `512000+`: at least that."""
    memory = memory.rstrip("+") or "0"
    if not all(text.isdecimal() and text.isascii() for text in (nodes, cpus, memory)):
        return None
    return NodeKind(int(nodes), int(cpus), int(memory), parse_gres(gres))


def in_words(partition: Partition) -> str:
    """`gpu (default): 4 nodes with 4 GPUs, up to 02:00:00`."""
    name = f"{partition.name} (default)" if partition.default else partition.name
    kinds = ", ".join(
        f"{kind.nodes} node{'s' if kind.nodes != 1 else ''} with {_gpu_words(kind.gpus)}"
        for kind in partition.kinds
    )
    words = f"{name}: {kinds or 'no nodes yet'}"
    if partition.max_seconds is not None:
        words += f", up to {format_duration(partition.max_seconds)}"
    return words


def _gpu_words(gpus: dict[str, int]) -> str:
    if not gpus:
        return "no GPU"
    return " and ".join(
        f"{count} {kind + ' ' if kind else ''}GPU{'s' if count != 1 else ''}"
        for kind, count in gpus.items()
    )


def unavailable(plan: Plan, text: str, default: str | None) -> Refusal | None:
    """The refusal if too many of the nodes that could run the job are drained or down now.

    `text`: SINFO_STATES's output; `default`: the partition to use if the spec names none.
    """
    suitable, away = 0, dict[str, int]()
    partitions = set[str]()
    for line in text.splitlines():
        fields = line.split("|", 7)
        if len(fields) != 8 or not _is_asked_for(plan, default, fields[0], fields[1]):
            continue
        name, _, nodes, cpus, memory, gres, state, reason = fields
        kind = _node_kind(nodes, cpus, memory, gres)
        if kind is None or not _could_run(plan, kind):
            continue
        partitions.add(name)
        suitable += kind.nodes
        if _UNAVAILABLE.search(state):
            words = _state_words(state, reason)
            away[words] = away.get(words, 0) + kind.nodes
    if not away or suitable - sum(away.values()) >= plan.resources.nodes:
        return None
    listed = ", ".join(f"{count} {words}" for words, count in away.items())
    where = f"partition {', '.join(sorted(partitions))}"
    message = f"Slurm could not start it now: of the {suitable} nodes of {where} that could run it, {listed}"
    hint = "if you submit it, it waits until those nodes are back: `sinfo -R`"
    return Refusal("slurm.partition" if plan.slurm.partition else None, message, hint)


def _is_asked_for(plan: Plan, default: str | None, name: str, marked: str) -> bool:
    """True if the job may run in that partition. `marked`: its name, with `*` if it is the default."""
    names = plan.slurm.partition or default
    return name in names.split(",") if names else marked.endswith("*")


def _state_words(state: str, reason: str) -> str:
    """`drained (bad fan)`: without the flags that sinfo appends to a state, such as `*` and `~`."""
    words = state.rstrip("*~#!%$@^-+")
    return words if reason in ("none", "None", "") else f"{words} ({reason})"


def _could_run(plan: Plan, kind: NodeKind) -> bool:
    """True if a node of that kind, when idle, has enough of everything."""
    resources = plan.resources
    count = resources.nproc_per_node
    gpus = kind.gpus.get(resources.gpu_type, 0) if resources.gpu_type else sum(kind.gpus.values())
    return (
        (resources.accelerator != "gpu" or gpus >= count)
        and (resources.cpus_per_proc or 0) * count <= kind.cpus
        and mebibytes(resources.memory or ALL_MEMORY) <= kind.memory_mib
    )


def parse_gres(text: str) -> dict[str, int]:
    """The number of GPUs by type: `gpu:h100:8(S:0-1),tmpfs:100` -> {"h100": 8}."""
    gpus: dict[str, int] = {}
    for item in re.sub(r"\([^)]*\)", "", text).split(","):
        name, *words = re.sub("^gres[:/]", "", item).split(":")  # squeue writes `gres:gpu:…`
        if name == "gpu":
            count = int(words.pop()) if words and words[-1].isdecimal() else 1
            kind = words[0] if words and words[0] != "no_consume" else ""
            gpus[kind] = gpus.get(kind, 0) + count
    return gpus


def parse_limit(text: str) -> int | None:
    """Seconds in Slurm's `[D-]HH:MM:SS` or `MM:SS`; None for `infinite` or anything else."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def chosen(plan: Plan, partitions: dict[str, Partition], default: str | None) -> list[Partition]:
    """The partitions that the job may run in; those that sinfo did not list are omitted.

    `default`: the partitions to use if the spec names none; None: the cluster's default one.
    """
    names = plan.slurm.partition or default
    if names:
        return [partitions[name] for name in names.split(",") if name in partitions]
    return [partition for partition in partitions.values() if partition.default]


def hopeless(
    plan: Plan, partitions: Sequence[Partition], *, other_qos: bool = False
) -> list[Refusal]:
    """One refusal for each reason why no node of these partitions could ever run the job.

    Empty if sinfo listed none of the partitions, or one that has no nodes yet. The time limit is checked
    only if no QoS is named, because a QoS may allow more time than the partition. `other_qos`: a QoS is
    named outside the spec.
    """
    if not partitions or not all(partition.kinds for partition in partitions):
        return []
    where = f"partition {', '.join(partition.name for partition in partitions)}"
    kinds = [kind for partition in partitions for kind in partition.kinds]
    found = [_gpu_type(plan, kinds, where) or _gpus(plan, kinds, where)]
    found += [look(plan, kinds, where) for look in (_cpus, _memory, _nodes)]
    if not other_qos and not plan.slurm.qos:
        found.append(_time(plan, partitions, where))
    return [refusal for refusal in found if refusal is not None]


def _gpu_type(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    wanted = plan.resources.gpu_type
    known = sorted({name for kind in kinds for name in kind.gpus if name})
    if not wanted or plan.resources.accelerator != "gpu" or wanted in known:
        return None
    if not any(kind.gpus for kind in kinds):
        return None  # _gpus then reports that the partition has no GPUs
    near = closest(wanted, known, 0.5)
    guess = f"did you mean {near!r}? " if near else ""
    listed = f"it has: {', '.join(known)}" if known else "its GPUs have no type: remove gpu_type"
    return Refusal("resources.gpu_type", f"{wanted!r} is no GPU type of {where}", guess + listed)


def _gpus(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    if plan.resources.accelerator != "gpu":
        return None
    count, wanted = plan.resources.nproc_per_node, plan.resources.gpu_type
    most = max(kind.gpus.get(wanted, 0) if wanted else sum(kind.gpus.values()) for kind in kinds)
    if count <= most:
        return None
    hint = "take another partition" if most == 0 else f"nproc_per_node up to {most}, on more nodes"
    message = f"{gpus_asked_for(count, wanted)}; no node of {where} has more than {most}"
    return Refusal("resources.nproc_per_node", message, hint)


def _cpus(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    each, count = plan.resources.cpus_per_proc, plan.resources.nproc_per_node
    most = max(kind.cpus for kind in kinds)
    if each is None or each * count <= most:
        return None
    message = f"{each * count} CPUs per node ({each} x {count} processes) are asked for; no node of {where} has more than {most}"
    return Refusal("resources.cpus_per_proc", message, f"up to {most // count}")


def _memory(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    wanted = plan.resources.memory
    most = max(kind.memory_mib for kind in kinds)
    if wanted is None or mebibytes(wanted) <= most:
        return None
    message = f"{wanted} per node are asked for; no node of {where} has more than {most} MiB"
    return Refusal("resources.memory", message, f"up to {most}M")


def _nodes(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    most = sum(kind.nodes for kind in kinds)
    if plan.resources.nodes <= most:
        return None
    message = f"{plan.resources.nodes} nodes are asked for; {where} has {most}"
    return Refusal("resources.nodes", message, None)


def _time(plan: Plan, partitions: Sequence[Partition], where: str) -> Refusal | None:
    limits = [partition.max_seconds for partition in partitions]
    wanted = plan.resources.time_limit
    if wanted is None or None in limits:
        return None
    most = max(limit for limit in limits if limit is not None)
    if wanted <= most:
        return None
    message = f"{format_duration(wanted)} is more than {where} allows, {format_duration(most)}; it would wait forever"
    return Refusal("resources.time_limit", message, "a shorter time, or another partition")
