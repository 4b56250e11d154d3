"""How many nodes and processes a job has, by the spec and by the variables of the node on which prl-submit runs.

`prl_identify` of templates/platform_variables.lib.sh does the same on each node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prl_submit.backends.platform.variables import Seen, see_platform
from prl_submit.planning.plan import Plan
from prl_submit.spec.sections import JobSpec

NODES, PROCESSES = "resources.nodes", "resources.nproc_per_node"
_DEVICES = "local.cuda_visible_devices"


def size_of_nodes(spec: JobSpec, environ: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """The keys of the job's size that this node tells: the number, and the variable that says it.

    Empty on a machine that is no node of a platform, and if its variables are wrong.
    """
    found: dict[str, tuple[int, str]] = {}
    if spec.local.cuda_visible_devices:
        found[PROCESSES] = (_devices(spec), _DEVICES)
    seen = see_platform(environ, spec.platform)
    if seen is None or seen.faults:
        return found
    found[NODES] = (seen.nodes, seen.variables["nodes"])
    count = processes(seen, spec)
    if count is not None:
        found.setdefault(PROCESSES, (count, seen.variables["nproc_per_node"]))
    return found


def processes(seen: Seen, spec: JobSpec | Plan) -> int | None:
    """The processes of each node by the node's variables; None if they say nothing of that.

    A number of GPUs says nothing about the processes of a job that trains on the CPU.
    """
    counts_gpus = "NPROC" not in seen.variables.get("nproc_per_node", "")
    if spec.resources.accelerator == "cpu" and counts_gpus and not spec.platform.nproc_per_node:
        return None
    return seen.nproc_per_node


def differences(plan: Plan, seen: Seen) -> Iterator[str]:
    """What the spec states otherwise than this node's variables, with both numbers."""
    stated = plan.resources
    if NODES not in plan.unstated and stated.nodes != seen.nodes:
        yield (
            f"{NODES} in the spec is {stated.nodes}, but the platform has started {seen.nodes} "
            f"({seen.said('nodes')})"
        )
    given, chosen = processes(seen, plan), plan.local.cuda_visible_devices
    if PROCESSES in plan.unstated or given is None or given == stated.nproc_per_node:
        return
    if not chosen or given < stated.nproc_per_node:
        yield (
            f"{PROCESSES} in the spec is {stated.nproc_per_node}, but the platform gives this node "
            f"{given} ({seen.said('nproc_per_node')})"
        )


def _devices(spec: JobSpec) -> int:
    return len((spec.local.cuda_visible_devices or "").split(","))
