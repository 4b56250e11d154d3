"""The cluster's partitions, and jobs that could never start in them.

A configuration that no node has is refused by sbatch too, but only after it has used up a job id
and left a FAILED job behind (measured on 22.05.8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from prl_submit.errors import Refusal
from prl_submit.planning.plan import Plan
from prl_submit.spec.scalars import ALL_MEMORY, format_duration, mebibytes
from prl_submit.spec.suggest import closest

#: One line per partition and kind of node; `-e`: do not lump different nodes together.
SINFO = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%P|%l|%D|%c|%m|%G"]

#: Likewise, with the state of the nodes and why an administrator set it.
SINFO_STATES = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%P|%D|%c|%m|%G|%T|%E"]

#: States in which no new job starts on a node (sinfo(1), NODE STATE CODES).
_AWAY = re.compile(r"drain|down|fail|maint|inval|unknown|error|reboot|no_respond")

#: Flags of each QoS: PartitionTimeLimit lifts the limits of partitions (sacctmgr(1)).
QOS_FLAGS = ["sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=flags"]


class NodeKind(Struct, frozen=True):
    """Nodes of a partition that are alike. `gpus` by type ('' where the cluster names none)."""

    nodes: int
    cpus: int
    memory_mib: int
    gpus: dict[str, int]


class Partition(Struct, frozen=True):
    """`max_seconds` None: no limit."""

    name: str
    default: bool
    max_seconds: int | None
    kinds: list[NodeKind]


def parse_sinfo(text: str) -> dict[str, Partition]:
    """The answer to SINFO, by partition name. Lines that do not read are passed over."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 7:
            continue
        name, marked, limit, nodes, cpus, memory, gres = fields
        counts = [nodes, cpus, memory.rstrip("+") or "0"]
        if not all(text.isdecimal() and text.isascii() for text in counts):
            continue
        kind = NodeKind(int(nodes), int(cpus), int(counts[2]), parse_gres(gres))
        before = found.get(name)
        kinds = [*(before.kinds if before else []), kind]
        kinds = [kind for kind in kinds if kind.nodes]  # they may be made on demand
        found[name] = Partition(name, marked.endswith("*"), parse_limit(limit), kinds)
    return found


def in_words(partition: Partition) -> str:
    """`gpu (default): 4 nodes with 4 GPUs, up to 02:00:00`."""
    name = f"{partition.name} (default)" if partition.default else partition.name
    kinds = ", ".join(
        f"{kind.nodes} node{'s' if kind.nodes != 1 else ''} with {_gpu_words(kind.gpus)}"
        for kind in partition.kinds
    )
    limit = partition.max_seconds
    return f"{name}: {kinds or 'no nodes yet'}" + (
        "" if limit is None else f", up to {format_duration(limit)}"
    )


def _gpu_words(gpus: dict[str, int]) -> str:
    if not gpus:
        return "no GPU"
    return " and ".join(
        f"{count} {kind + ' ' if kind else ''}GPU{'s' if count != 1 else ''}"
        for kind, count in gpus.items()
    )


def unavailable(plan: Plan, text: str, default: str | None) -> Refusal | None:
    """Why no node can take the job now: too many of those that could are drained or down.

    `text`: the answer to SINFO_STATES; `default`: the partition where the spec names none.
    """
    fit, away = 0, dict[str, int]()
    names = (plan.slurm.partition or default or "").split(",")
    seen = set[str]()
    for line in text.splitlines():
        fields = line.split("|", 7)
        if len(fields) != 8 or not all(field.isdecimal() for field in fields[2:4]):
            continue
        name, marked, nodes, cpus, memory, gres, state, reason = fields
        if name not in names and not (names == [""] and marked.endswith("*")):
            continue
        kind = NodeKind(int(nodes), int(cpus), int(memory.rstrip("+") or 0), parse_gres(gres))
        if not _could_take(plan, kind):
            continue
        seen.add(name)
        fit += kind.nodes
        if _AWAY.search(state):
            why = "" if reason in ("none", "None", "") else f" ({reason})"
            word = state.rstrip("*~#!%$@^-+") + why
            away[word] = away.get(word, 0) + kind.nodes
    if not away or fit - sum(away.values()) >= plan.resources.nodes:
        return None
    listed = ", ".join(f"{count} {word}" for word, count in away.items())
    where = f"partition {', '.join(sorted(seen))}"
    message = (
        f"Slurm could not start it now: of the {fit} nodes of {where} that could run it, {listed}"
    )
    hint = "submitted, it would wait until they are back: `sinfo -R`"
    return Refusal("slurm.partition" if plan.slurm.partition else None, message, hint)


def _could_take(plan: Plan, kind: NodeKind) -> bool:
    resources = plan.resources
    count = resources.nproc_per_node
    gpus = kind.gpus.get(resources.gpu_type, 0) if resources.gpu_type else sum(kind.gpus.values())
    return (
        (resources.accelerator != "gpu" or gpus >= count)
        and (resources.cpus_per_proc or 0) * count <= kind.cpus
        and mebibytes(resources.memory or ALL_MEMORY) <= kind.memory_mib
    )


def parse_gres(text: str) -> dict[str, int]:
    """`gpu:h100:8(S:0-1),tmpfs:100` -> {"h100": 8}."""
    gpus: dict[str, int] = {}
    for item in re.sub(r"\([^)]*\)", "", text).split(","):
        name, *words = re.sub("^gres[:/]", "", item).split(":")  # squeue's prefix
        if name == "gpu":
            count = int(words.pop()) if words and words[-1].isdecimal() else 1
            kind = words[0] if words and words[0] != "no_consume" else ""
            gpus[kind] = gpus.get(kind, 0) + count
    return gpus


def parse_limit(text: str) -> int | None:
    """Seconds of Slurm's `[D-]HH:MM:SS` or `MM:SS`; None for infinite or what does not read."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def chosen(plan: Plan, partitions: dict[str, Partition], default: str | None) -> list[Partition]:
    """The known ones of the partitions that the job may run in."""
    names = plan.slurm.partition or default
    if names:
        return [partitions[name] for name in names.split(",") if name in partitions]
    return [partition for partition in partitions.values() if partition.default]


def hopeless(
    plan: Plan, partitions: Sequence[Partition], *, other_qos: bool = False
) -> list[Refusal]:
    """Everything for which no node of these partitions could ever run the job.

    A QoS may allow more time than its partition, so with one (`other_qos`: named outside the spec)
    Slurm alone can tell.
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
        return None  # _gpus says that there are none at all
    near = closest(wanted, known, 0.5)
    guess = f"did you mean {near!r}? " if near else ""
    listed = f"it has: {', '.join(known)}" if known else "its GPUs have no type: leave gpu_type out"
    return Refusal("resources.gpu_type", f"{wanted!r} is no GPU type of {where}", guess + listed)


def _gpus(plan: Plan, kinds: list[NodeKind], where: str) -> Refusal | None:
    if plan.resources.accelerator != "gpu":
        return None
    count, kind = plan.resources.nproc_per_node, plan.resources.gpu_type
    most = max(kind_.gpus.get(kind, 0) if kind else sum(kind_.gpus.values()) for kind_ in kinds)
    if count <= most:
        return None
    name = f"{kind} GPUs" if kind else "GPUs"
    hint = "take another partition" if most == 0 else f"nproc_per_node up to {most}, on more nodes"
    message = f"{count} {name} per node are asked for; no node of {where} has more than {most}"
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
