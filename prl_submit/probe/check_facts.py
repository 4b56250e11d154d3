"""What a plan asks for and its nodes do not have, by the facts of the last probe. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from prl_submit.errors import Problem
from prl_submit.inputs.local_files import made_by_setup
from prl_submit.launch.quote import bash
from prl_submit.planning.plan import Plan, Planned
from prl_submit.probe.node_facts import NO_PARTITION, Damaged, Facts
from prl_submit.spec.nodes import near_origin, problem_at
from prl_submit.spec.scalars import gpus_asked_for, mebibytes

#: Facts older than so many days give warnings, not errors.
STALE_DAYS = 30


def check_facts(planned: Planned, facts: Facts | Damaged, now: float) -> list[Problem]:
    """Problems: too few GPUs or others, too few CPUs, too little memory, missing paths."""
    if isinstance(facts, Damaged):
        message = f"what was probed before is not used: {facts.path} {facts.reason}"
        hint = f"{_again(planned.plan, None)} writes it anew"
        return [_problem(planned, "backend", message, hint, "warning")]
    return [
        *_gpus(planned, facts, now),
        *_cpus(planned, facts, now),
        *_memory(planned, facts, now),
        *_paths(planned, facts, now),
    ]


def _gpus(planned: Planned, facts: Facts, now: float) -> list[Problem]:
    resources = planned.plan.resources
    nodes = gpu_kinds(facts)
    if resources.accelerator != "gpu" or not nodes:
        return []
    where, count, wanted = _where(facts), resources.nproc_per_node, resources.gpu_type
    again = f"if that has changed: {_again(planned.plan, facts)}"
    if wanted and any(nodes) and not any(is_kind(wanted, kind) for node in nodes for kind in node):
        message = f"{where} no {wanted}: {gpu_words(nodes)} ({_seen(facts.probed_at)})"
        return [_problem(planned, "resources.gpu_type", message, again, "warning")]
    most = max(
        sum(number for kind, number in node.items() if not wanted or is_kind(wanted, kind))
        for node in nodes
    )
    if most >= count:
        return []
    message = (
        f"{gpus_asked_for(count, wanted)}; {where} {gpu_words(nodes)} ({_seen(facts.probed_at)})"
    )
    hint = f"nproc_per_node up to {most}; {again}" if most else again
    severity = _severity(facts.probed_at, now)
    return [_problem(planned, "resources.nproc_per_node", message, hint, severity)]


def gpu_kinds(facts: Facts) -> list[dict[str, int]]:
    """The GPUs of each kind of node, by type: Slurm's own numbers, else what the probe saw.

    If Slurm gives its GPUs no type and only one kind of node has any, their name from nvidia-smi is
    taken for the type.
    """
    if facts.kinds:
        names = {gpu.name for node in facts.nodes for gpu in node.gpus or [] if gpu.name}
        alike = len(names) == 1 and sum(bool(node.gpus) for node in facts.kinds) == 1
        seen = names.pop() if alike else ""
        return [
            {kind or seen: number for kind, number in node.gpus.items()} for node in facts.kinds
        ]
    found = []
    for node in facts.nodes:
        if node.gpus is None:
            continue
        kinds: dict[str, int] = {}
        for gpu in node.gpus:
            kinds[gpu.name or ""] = kinds.get(gpu.name or "", 0) + 1
        found.append(kinds)
    return found


def is_kind(wanted: str, kind: str) -> bool:
    """True if the wanted `h100` is a kind such as `NVIDIA H100 80GB HBM3` or `h100_sxm`.

    The kind '' is unknown, so it may be any.
    """
    plain = re.sub(r"[^a-z0-9]", "", wanted.lower())
    return not kind or plain in re.sub(r"[^a-z0-9]", "", kind.lower())


def gpu_words(nodes: list[dict[str, int]]) -> str:
    """The GPUs of nodes in words, such as `4 x h100 or 8 x a100`; like nodes are named once."""
    words = [
        " + ".join(f"{number} x {kind}" if kind else str(number) for kind, number in node.items())
        for node in nodes
    ]
    return " or ".join(dict.fromkeys(word or "none" for word in words))


def _memory(planned: Planned, facts: Facts, now: float) -> list[Problem]:
    """Too much `memory`. Only schedulers read it: nothing limits a local job's memory."""
    wanted = planned.plan.resources.memory
    if wanted is None or not facts.kinds:
        return []
    most = max(kind.memory_mib for kind in facts.kinds)
    if mebibytes(wanted) <= most:
        return []
    seen = _seen(facts.probed_at)
    message = f"{wanted} per node are asked for; {_where(facts)} {most} MiB at most ({seen})"
    hint = f"up to {most}M; if that has changed: {_again(planned.plan, facts)}"
    return [_problem(planned, "resources.memory", message, hint, _severity(facts.probed_at, now))]


def _cpus(planned: Planned, facts: Facts, now: float) -> list[Problem]:
    """Too many CPUs for all processes of a node together."""
    resources = planned.plan.resources
    if resources.cpus_per_proc is None or not facts.kinds:
        return []
    wanted, most = (
        resources.cpus_per_proc * resources.nproc_per_node,
        max(kind.cpus for kind in facts.kinds),
    )
    if wanted <= most:
        return []
    seen = _seen(facts.probed_at)
    message = f"{wanted} CPUs per node are asked for; {_where(facts)} {most} at most ({seen})"
    hint = f"up to {most // resources.nproc_per_node}; if that has changed: {_again(planned.plan, facts)}"
    severity = _severity(facts.probed_at, now)
    return [_problem(planned, "resources.cpus_per_proc", message, hint, severity)]


def _paths(planned: Planned, facts: Facts, now: float) -> list[Problem]:
    """Paths that the probe looked for and did not find.

    A path that a setup line names is left out, because that line may make it. A local job is left out,
    because `check` looks at this machine itself; so is a container, whose mounts decide what it has.
    """
    plan = planned.plan
    if facts.partition == NO_PARTITION or plan.environment.container is not None:
        return []
    missing = {item.path: item for item in facts.paths if not item.exists}
    problems = []
    for path in plan.paths:
        fact = missing.get(path.path)
        if fact is None or made_by_setup(path.path, plan):
            continue
        message = f"{path.kind} {path.path} is not on the nodes: {fact.node} did not have it ({_seen(fact.probed_at)})"
        hint = f"put it there, then look again: {_again(plan, facts)}"
        severity = _severity(fact.probed_at, now)
        problems.append(_problem(planned, path.key, message, hint, severity))
    return problems


def _where(facts: Facts) -> str:
    if facts.partition == NO_PARTITION:
        return f"{facts.cluster} has"
    return f"the nodes of partition {facts.partition} have"


def _seen(probed_at: str) -> str:
    """`probed 2026-11-22 21:00`, in the time zone of the probe."""
    return f"probed {probed_at[:16].replace('T', ' ')}"


def _again(plan: Plan, facts: Facts | None) -> str:
    """The command that probes the nodes again."""
    words = ["prl-submit", "probe", plan.spec_file, "--backend", plan.backend]
    if (
        facts is not None and facts.partition != NO_PARTITION
    ):  # not always in SPEC: --set may have named it
        words += ["--partition", facts.partition]
    return f"`{' '.join(map(bash, words))}`"


def _severity(probed_at: str, now: float) -> str:
    try:
        age = now - datetime.fromisoformat(probed_at).timestamp()
    except ValueError:
        return "warning"
    return "error" if age <= STALE_DAYS * 86400 else "warning"


def _problem(planned: Planned, key: str, message: str, hint: str, severity: str) -> Problem:
    """A problem at `key`, or at the nearest key around it that the spec has."""
    return problem_at(near_origin(planned.tree, key), key, message, hint, severity)
