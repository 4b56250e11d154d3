"""What became of a job: its own word, the operator's conditions and the pods, weighed.

The job's own word is exit.json where the output volume is here too, and the container's termination
message, which holds the same, where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.kubernetes.names import replica
from prl_submit.kubernetes.objects import Condition, Event, Job, Pod, Terminated, local_time
from prl_submit.kubernetes.reasons import clean, name_of, why_waiting
from prl_submit.runs import ExitRecord
from prl_submit.states import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
    state_of_exit,
)

#: launch.sh's exit code of a node that ended because another one had.
_LOST_ITS_PEER = 200
_SIGKILL = 137
#: Reasons of a DisruptionTarget condition (Kubernetes 1.26 and later).
_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted by a job of higher priority",
    "PreemptionByKubeScheduler": "preempted by a job of higher priority",
    "DeletionByTaintManager": "its node failed or was drained",
    "EvictionByEvictionAPI": "evicted, its node is being drained",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "evicted by its node",
}


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is known of one attempt.

    `exit`, `others`: exit.json of node 0 and of the other nodes, by node rank; `cancelled`: the
    words of cancel.json; `starts`: how often node 0 began, by the run directory; `restarts_before`:
    earlier jobs of this run; `age`: seconds since it was submitted; `untold`: why its pods or events
    could not be listed.
    """

    job: Job | None
    pods: Sequence[Pod] = ()
    events: Sequence[Event] = ()
    exit: ExitRecord | None = None
    others: Sequence[tuple[int, ExitRecord]] = ()
    cancelled: str | None = None
    nodes: int = 1
    max_restarts: int = 0
    restarts_before: int = 0
    starts: int = 0
    queue: str | None = None
    age: float = 0.0
    untold: str | None = None


def still_running(seen: Evidence) -> str:
    """The pods that run on, in words; empty where none does."""
    left = ", ".join(name_of(pod) for pod in seen.pods if pod.is_up)
    return f"{left} still running; `prl-submit cancel` ends that too" if left else ""


class End(Struct, frozen=True, kw_only=True):
    """How one node ended: what is known from its pod, its own word, or both."""

    node: int
    name: str
    code: int | None = None
    reason: str = ""
    state: str | None = None
    at: str = ""
    started_at: str | None = None
    is_cause: bool = True


def judge(seen: Evidence) -> State | None:
    """The job's state, or None where nothing is known of its end and there is no such job."""
    seen = _this_attempt(seen)
    if seen.job is None:
        gone = _absent(seen)
        return gone and msgspec.structs.replace(gone, restarts=restarts_of(seen))
    ended = _ended(seen.job, seen)
    if ended is not None:
        return ended
    state = _live(seen.job, seen)
    return msgspec.structs.replace(state, restarts=restarts_of(seen))


def needs_pods(job: Job, nodes: int, *, has_word: bool) -> bool:
    """Whether its conditions leave something to ask. `has_word`: every node's own word is here."""
    if job.condition("Succeeded"):
        return not has_word
    counts = job.status.replica_statuses or {}
    running = sum(count.active for count in counts.values())
    return not (
        job.condition("Running") and running == nodes and not job.metadata.deletion_timestamp
    )


def restarts_of(seen: Evidence) -> int:
    """How often the run has been started again, by all who say so."""
    told = [seen.restarts_before, seen.restarts_before + max(seen.starts - 1, 0)]
    told += [record.restarts for record in own_words(seen.pods)]
    told += [record.restarts for _, record in seen.others]
    told += [seen.exit.restarts] if seen.exit else []
    return max(told)


def own_words(pods: Sequence[Pod]) -> list[ExitRecord]:
    """The termination messages that are launch.sh's."""
    return [word for pod in pods if (word := own_word(pod.terminated)) is not None]


def own_word(ended: Terminated | None) -> ExitRecord | None:
    """What launch.sh wrote to the termination log, or None where that is not its."""
    try:
        return msgspec.json.decode((ended.message if ended else "") or "", type=ExitRecord)
    except msgspec.DecodeError:
        return None


def _this_attempt(seen: Evidence) -> Evidence:
    """Without what earlier starts of the run left behind."""
    restarts = restarts_of(seen)
    is_open = seen.job is not None and not seen.job.condition("Failed")
    stale = seen.exit is not None and seen.exit.restarts < restarts
    return msgspec.structs.replace(
        seen,
        exit=None if stale and is_open else seen.exit,
        others=[item for item in seen.others if item[1].restarts >= restarts or not is_open],
    )


def _absent(seen: Evidence) -> State | None:
    """No such job any more: what the run itself says."""
    ends = _ends(seen)
    code = seen.exit.exit_code if seen.exit is not None else None
    if seen.cancelled and code != 0:
        return _with_times(State(state=CANCELLED, reason=seen.cancelled), ends)
    if seen.exit is None:
        return None
    followed = not any(end.code and end.is_cause for end in ends)
    if code != 0 and followed and seen.exit.state != CANCELLED:
        # No node failed by itself: SIGTERM, and not by us. The pods went with the job.
        reason = f"somebody deleted the PyTorchJob ({seen.exit.reason})"
        return _with_times(State(state=LOST, reason=reason, exit_code=code), ends)
    return _finished(seen, ends)


def _ended(job: Job, seen: Evidence) -> State | None:
    """The state of a job that its operator calls ended, or that is being deleted; else None."""
    ends = _ends(seen)
    if job.condition("Succeeded"):
        if any(pod.is_up for pod in seen.pods):  # workers, whose last words are still to come
            return State(state=RUNNING, reason="node 0 has ended", started_at=_began(seen, job))
        masters = [pod for pod in seen.pods if pod.node == 0]
        told = [word for word in [seen.exit, *own_words(masters)] if word]
        if told and told[0].exit_code == 0:
            return state_of_exit(told[0])
        return _job_times(State(state=SUCCEEDED, exit_code=0), job, seen)
    if job.metadata.deletion_timestamp is not None:
        return None
    failed = job.condition("Failed") or _given_up(seen.pods)
    if failed is None:
        return None
    if seen.cancelled:
        return _job_times(State(state=CANCELLED, reason=seen.cancelled), job, seen)
    if _is_deadline(failed, seen.pods):
        return _job_times(_timeout(seen), job, seen)
    state = _finished(seen, ends)
    # The operator also counts nodes of which we know nothing.
    if state is None or state.state == SUCCEEDED:
        state = State(state=FAILED, reason=_unexplained(failed, seen))
    state = _told_to_end(state, seen)
    spent = _spent(seen)
    if spent and state.state == FAILED and "restarts.max is" not in (state.reason or ""):
        state = msgspec.structs.replace(state, reason=f"{state.reason}; {spent}")
    return _job_times(state, job, seen)


def _unexplained(failed: Condition, seen: Evidence) -> str:
    """Of a job whose pods say nothing of its end."""
    here = {pod.node for pod in seen.pods}
    gone = [replica(node) for node in range(seen.nodes) if node not in here]
    said = clean(failed.message) or "the PyTorchJob failed"
    if not gone or seen.untold:
        return said
    return f"{said}; {', '.join(gone)} gone: node drained, preempted, or deleted by somebody"


def _told_to_end(state: State, seen: Evidence) -> State:
    """SIGTERM from outside, and neither a cancellation nor the time limit."""
    if state.state != FAILED or "stopped by signal 15" not in (state.reason or ""):
        return state
    hint = "" if seen.max_restarts else "; restarts.max: 1 would start it again"
    why = "its pod was told to end: node drained, preempted, or deleted by somebody"
    return msgspec.structs.replace(state, reason=f"{state.reason} ({why}{hint})")


def _given_up(pods: Sequence[Pod]) -> Condition | None:
    """A pod that failed for good: operators before 1.8 leave its job Restarting for ever (#2044)."""
    for pod in pods:
        ended = pod.terminated
        if pod.status.phase == "Failed" and ended is not None and 0 < ended.exit_code < 128:
            return Condition(type="Failed", status="True", message=f"{name_of(pod)} failed")
    return None


def _spent(seen: Evidence) -> str:
    restarts = restarts_of(seen) - seen.restarts_before
    if not restarts:
        return ""
    return f"after {restarts} restart{'s' if restarts > 1 else ''}"


def _is_deadline(failed: Condition, pods: Sequence[Pod]) -> bool:
    words = f"{failed.reason} {failed.message}"
    over = "DeadlineExceeded" in words or "longer than specified deadline" in words
    return over or any(pod.status.reason == "DeadlineExceeded" for pod in pods)


def _timeout(seen: Evidence) -> State:
    told = [record for record in [seen.exit, *own_words(seen.pods)] if record]
    own = [record.reason for record in told if record.state == TIMEOUT and record.reason]
    reason = own[0] if own else "the time limit was reached (activeDeadlineSeconds)"
    return State(state=TIMEOUT, reason=reason, exit_code=124 if own else None)


def _finished(seen: Evidence, ends: Sequence[End]) -> State | None:
    """From how the nodes ended: the one that failed by itself, before the others followed it."""
    causes = [end for end in ends if end.code != 0 and end.is_cause]
    failed = causes or [end for end in ends if end.code != 0]
    if not failed:
        if seen.exit is None:
            return None
        return state_of_exit(seen.exit)
    first = min(failed, key=lambda end: (end.at or "9", end.node))
    where = f"{first.name}: " if seen.nodes > 1 else ""
    state = State(
        state=first.state if first.state in (TIMEOUT, CANCELLED) else FAILED,
        reason=f"{where}{first.reason}",
        exit_code=first.code,
    )
    return _with_times(state, ends)


def _ends(seen: Evidence) -> list[End]:
    """How each node ended, of those that are known to have."""
    by_node = {end.node: end for end in map(_end_by_word, _words_here(seen))}
    for pod in seen.pods:
        end = _end_of(pod)
        if end is None:
            continue
        # The pod also knows what the job in it cannot: who killed it.
        known = by_node.get(end.node)
        if known is None or known.code != end.code or _killed_by(pod, pod.terminated):
            by_node[end.node] = end
    return [by_node[node] for node in sorted(by_node)]


def _words_here(seen: Evidence) -> list[tuple[int, ExitRecord]]:
    own = [(0, seen.exit)] if seen.exit is not None else []
    return [*own, *seen.others]


def _end_by_word(item: tuple[int, ExitRecord]) -> End:
    node, word = item
    return End(
        node=node,
        name=replica(node),
        code=word.exit_code,
        reason=word.reason or f"exit code {word.exit_code}",
        state=word.state,
        at=local_time(word.ended_at) or "",  # the pod's zone may be another
        started_at=local_time(word.started_at),
        is_cause=word.exit_code not in (*INTERRUPTED, _LOST_ITS_PEER) or word.state == TIMEOUT,
    )


def _end_of(pod: Pod) -> End | None:
    node = pod.node
    if node is None:
        return None
    ended = pod.terminated
    if ended is None and pod.status.phase != "Failed":
        return None
    word = own_word(ended)
    killed = _killed_by(pod, ended)
    if word is not None and not killed:
        return msgspec.structs.replace(_end_by_word((node, word)), name=name_of(pod))
    code = ended.exit_code if ended is not None else None
    return End(
        node=node,
        name=name_of(pod),
        code=code if code is not None else _SIGKILL,
        reason=killed or _by_exit_code(ended),
        at=local_time(ended.finished_at if ended else None) or "",
        started_at=local_time(ended.started_at if ended else pod.status.start_time),
        is_cause=bool(killed) or code not in (*INTERRUPTED, _LOST_ITS_PEER),
    )


def why_pod_ended(pod: Pod) -> str:
    """In words, of a pod that has."""
    return _killed_by(pod, pod.terminated) or _by_exit_code(pod.terminated)


def _killed_by(pod: Pod, ended: Terminated | None) -> str:
    """Who ended the pod from outside, in words; empty where nobody did."""
    if ended is not None and ended.reason == "OOMKilled":
        return "out of memory (OOMKilled); resources.memory is the limit of the whole pod"
    target = pod.condition("DisruptionTarget")
    message = clean(pod.status.message)
    if pod.status.reason == "Evicted":
        return f"evicted: {message}" if message else "evicted"
    if target is not None and target.status == "True":
        words = _DISRUPTIONS.get(target.reason or "", target.reason or "disrupted")
        said = clean(target.message)
        return f"{words} ({said})" if said else words
    if pod.status.reason and pod.status.reason != "DeadlineExceeded":
        return f"{pod.status.reason}: {message}" if message else pod.status.reason
    return ""


def _by_exit_code(ended: Terminated | None) -> str:
    if ended is None:
        return "the pod failed before its container started"
    said = clean(ended.message)
    if ended.reason not in (None, "Error", "Completed"):  # ContainerCannotRun, StartError
        return f"{ended.reason}: {said}" if said else f"{ended.reason}"
    what = f"exit code {ended.exit_code}"
    if ended.exit_code == _SIGKILL:
        what += ": killed (SIGKILL)"
    return f"{what}: {said}" if said else what


def _live(job: Job, seen: Evidence) -> State:
    """A job that has not ended."""
    if job.metadata.deletion_timestamp is not None:
        reason = "being deleted" + (f": {seen.cancelled}" if seen.cancelled else "")
        began = job.condition("Running") or any(pod.is_up or pod.terminated for pod in seen.pods)
        if not began:
            return State(state=QUEUED, reason=reason)
        return State(state=RUNNING, reason=reason, started_at=_began(seen, job))
    counts = job.status.replica_statuses or {}
    active = sum(count.active for count in counts.values())
    running = active if not seen.pods else sum(pod.is_up for pod in seen.pods)
    if job.condition("Running") and running + _done(seen.pods) >= seen.nodes:
        ending = "node 0 has ended" if seen.exit is not None else None
        return State(state=RUNNING, reason=ending, started_at=_began(seen, job))
    why = why_waiting(job, seen.pods, seen.events, seen.nodes, seen.queue, seen.age)
    restarting = job.condition("Restarting") or restarts_of(seen) > seen.restarts_before
    if restarting:
        why = f"{_restart(seen)}; {why}"
    if seen.untold:
        why = f"{why} ({seen.untold})"
    return State(state=QUEUED, reason=why)


def _restart(seen: Evidence) -> str:
    """`worker-0: out of memory …, restart 1 of 3`."""
    ends = [end for end in map(_end_of, seen.pods) if end is not None and end.code]
    cause = f"{ends[0].name}: {ends[0].reason}, " if ends else ""
    number = max(restarts_of(seen) - seen.restarts_before, 1)
    most = f" of {seen.max_restarts}" if seen.max_restarts >= number else ""
    return f"{cause}restart {number}{most}"


def _done(pods: Sequence[Pod]) -> int:
    return sum(pod.terminated is not None for pod in pods)


def _began(seen: Evidence, job: Job) -> str | None:
    """When the last of its containers started."""
    times = [
        pod.container.state.running.started_at
        for pod in seen.pods
        if pod.container and pod.container.state.running
    ]
    known = [time for time in times if time]
    if known:
        return local_time(max(known))
    running = job.condition("Running")
    return local_time(running.last_transition_time if running else job.status.start_time)


def _with_times(state: State, ends: Sequence[End]) -> State:
    started = [end.started_at for end in ends if end.started_at]
    ended = [end.at for end in ends if end.at]
    return msgspec.structs.replace(
        state, started_at=min(started, default=None), ended_at=max(ended, default=None)
    )


def _job_times(state: State, job: Job, seen: Evidence) -> State:
    failed = job.condition("Failed")
    end = job.status.completion_time or (failed.last_transition_time if failed else None)
    return msgspec.structs.replace(
        state,
        started_at=state.started_at or _began(seen, job),
        ended_at=state.ended_at or local_time(end),
        restarts=restarts_of(seen),
    )
