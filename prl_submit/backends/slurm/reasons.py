"""Why a job waits and how it ended: Slurm's codes translated into plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.backends.waiting.names import listed
from prl_submit.runs.record import ArrayTask

#: squeue's reason codes (squeue(1), JOB REASON CODES) and what each means for the user.
_WAITING = {
    "AssociationJobLimit": "your account may not run more jobs at once",
    "BadConstraints": "no node has what it asks for; it will never start",
    "BeginTime": "its start time has not come",
    "BurstBufferResources": "waiting for burst buffers",
    "BurstBufferStageIn": "its data is being staged in",
    "Cleaning": "the last attempt is being cleaned up",
    "Dependency": "waiting for the job it depends on",
    "DependencyNeverSatisfied": "the job it depends on did not end as asked; it will never start",
    "InvalidAccount": "its account is not valid; it will never start",
    "InvalidQOS": "its QoS is not valid; it will never start",
    "JobArrayTaskLimit": "waits for its turn: the sweep runs no more at a time",
    "JobHeldAdmin": "held by an administrator",
    "JobHeldUser": "held; `scontrol release` lets it go",
    "JobLaunchFailure": "it could not be started on its node",
    "Licenses": "waiting for a licence",
    "MaxJobsPerAccount": "your account may not run more jobs at once",
    "NodeDown": "a node it needs is down",
    "OutOfMemory": "out of memory",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is switched off",
    "PartitionNodeLimit": "its partition does not give that many nodes; it will never start",
    "PartitionTimeLimit": "its partition does not allow that much time; it will never start",
    "Prolog": "its node is being prepared",
    "QOSJobLimit": "its QoS may not run more jobs at once",
    "Reservation": "waiting for its reservation to begin",
    "SystemFailure": "Slurm had a fault",
    "launch_failed_requeued_held": "its start failed, and Slurm holds it; `scontrol release` tries again",
    "job_requeued_in_held_state": "put back and held; `scontrol release` lets it go",
}
#: The same for families of codes, by their beginning.
_PREFIXES = {
    "Assoc": "your account is at a limit",
    "QOS": "its QoS is at a limit",
    "Nodes_required_for_job_are_DOWN": "the nodes it could run on are down, drained or reserved",
}
#: Slurm's states of ended jobs and what each means; used if the job left no exit.json.
ENDED = {
    "BOOT_FAIL": "its node did not boot",
    "DEADLINE": "its deadline passed",
    "NODE_FAIL": "a node failed",
    "OUT_OF_MEMORY": "out of memory: a process was killed at the limit of resources.memory",
    "PREEMPTED": "preempted by a job of higher priority",
    "TIMEOUT": "the time limit was reached",
    "REVOKED": "taken over by another cluster",
}


#: The predecessors of a run that have not succeeded, each with how it ended, if it did.
WaitsFor = Sequence[tuple[str, "str | None"]]


def why_waiting(job: ListedJob, task: ArrayTask | None = None, waits_for: WaitsFor = ()) -> str:
    """`waiting for 4 GPUs (Priority)`: the reason in words, and Slurm's own code in brackets.

    `task`: which task of an array it is, if it is one.
    """
    reason = job.reason
    code = (reason or "").replace(" ", "_").partition(",")[0]
    if code == "Dependency" and waits_for:
        return f"waiting for {listed([name for name, _ in waits_for])} ({reason})"
    if code == "DependencyNeverSatisfied" and waits_for:
        return f"{why_never(waits_for)}, so it will never start ({reason})"
    if task is not None and task.at_once is not None and _is_for_its_turn(code, task):
        return f"waits for its turn: the sweep runs at most {task.at_once} at a time ({reason})"
    if code in ("", "Priority", "Resources"):
        return f"waiting for {wanted(job)}" + (f" ({reason})" if reason else "")
    if code.startswith("ReqNodeNotAvail"):
        return f"{_node_words(reason or '')} ({reason})"
    words = _WAITING.get(code) or next(
        (text for start, text in _PREFIXES.items() if code.startswith(start)), None
    )
    return f"{words} ({reason})" if words else f"waiting: {reason}"


def why_never(waits_for: WaitsFor) -> str:
    """`v3 FAILED`: the predecessor because of which a job never starts, as far as the files tell."""
    ended = [f"{name} {state}" for name, state in waits_for if state is not None]
    names = listed([name for name, _ in waits_for])
    return ended[0] if ended else f"{names} did not succeed at the first try"


def _is_for_its_turn(code: str, task: ArrayTask) -> bool:
    """True if the task waits only because other runs of the sweep come first."""
    return code == "JobArrayTaskLimit" or (code == "Dependency" and task.follows)


def _node_words(reason: str) -> str:
    """Why a node that the job asks for is not available.

    Slurm has the one code ReqNodeNotAvail for several causes; the text behind the code tells them
    apart.
    """
    if re.search(r"[Uu]navailable(?:Nodes)?:[^\s)]", reason):
        return "a node it asks for is down or drained"
    if "maintenance" in reason:
        return "a node it asks for is reserved for maintenance"
    return "a node it asks for is busy, or reserved for another job"


def wanted(job: ListedJob) -> str:
    """What the job asks for: `8 GPUs on 2 nodes`, `1 node`."""
    return wanted_words(job.gpus, job.node_count)


def wanted_words(gpus_per_node: int, nodes: int) -> str:
    """`8 GPUs on 2 nodes` for 4 and 2; without GPUs only the nodes: `2 nodes`."""
    places = f"{nodes} node{'s' if nodes != 1 else ''}"
    total = gpus_per_node * nodes
    if not total:
        return places
    gpus = f"{total} GPU{'s' if total != 1 else ''}"
    return gpus if nodes == 1 else f"{gpus} on {places}"
