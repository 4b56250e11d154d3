"""What became of a job: its own word, the operator's conditions and the pods, weighed.

The job's own word is exit.json where the output volume is here too, and the container's termination
message, which holds the same, where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes import remaining_pods
from prl_submit.backends.kubernetes.labels import replica
from prl_submit.backends.kubernetes.objects import (
    Condition,
    Event,
    Pod,
    PyTorchJob,
    Terminated,
    local_time,
    seconds_of,
)
from prl_submit.backends.kubernetes.reasons import clean, is_suspended, name_of, why_waiting
from prl_submit.backends.kubernetes.remaining_pods import SOMEBODY, Remaining
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
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
from prl_submit.system.reading import decode_json

#: launch.sh's exit code of a node that ended because another one had.
_LOST_ITS_PEER = 200
_SIGKILL = 137
_SIGTERM = 143


class KubernetesEvidence(Struct, frozen=True, kw_only=True):
    """All that is known of one attempt.

    `gone`: pods of an ended job that are there no more, as they were last; `exit`, `others`: exit.json
    of node 0 and of the other nodes, by node rank; `cancelled`: the words of cancel.json; `starts`: how
    often node 0 began, by the run directory; `readmitted`: how many of these starts restarts.max does
    not count, because Kueue had suspended the job; `restarts_before`: earlier jobs of this run; `age`:
    seconds since it was submitted; `untold`: why its pods or events could not be listed; `now`: seconds
    since the epoch by the API server's clock; `grace`: seconds that its pods have after SIGTERM.
    """

    job: PyTorchJob | None
    pods: Sequence[Pod] = ()
    gone: Sequence[Pod] = ()
    events: Sequence[Event] = ()
    exit: ExitRecord | None = None
    others: Sequence[tuple[int, ExitRecord]] = ()
    cancelled: str | None = None
    nodes: int = 1
    max_restarts: int = 0
    restarts_before: int = 0
    starts: int = 0
    readmitted: int = 0
    queue: str | None = None
    age: float = 0.0
    untold: str | None = None
    now: float = 0.0
    grace: float = 0.0


def still_running(seen: KubernetesEvidence) -> str:
    """The pods of an ended job that may run on, in words; empty where none may. Then its end is final."""
    left = _remaining(seen).left
    lost = [pod for pod in left if remaining_pods.is_overdue(pod, seen.now)]
    waiting = [pod for pod in left if pod.may_start]
    up = [pod for pod in left if pod not in lost and pod not in waiting]
    words = []
    if lost:
        where = ", ".join(f"{name_of(pod)} on {pod.spec.node_name}" for pod in lost)
        words.append(
            f"{where} should have ended long ago; its node may be lost, and it may still run"
        )
    if up:
        words.append(f"{_names(up)} still running; `prl-submit cancel` ends that too")
    if waiting:
        words.append(f"{_names(waiting)} yet to start; `prl-submit cancel` prevents that")
    return "; ".join(words)


def _names(pods: Sequence[Pod]) -> str:
    return ", ".join(map(name_of, pods))


def _remaining(seen: KubernetesEvidence) -> Remaining:
    """What may still run of a job that its operator calls ended."""
    if seen.job is None:
        return Remaining()
    failed = seen.job.condition("Failed") or _given_up(seen.pods)
    failed_at = seconds_of(failed.last_transition_time) if failed else None
    # A pod's removal begins with the job's failure and may take long; a node's clock may be wrong.
    ends = [at for end in _ends(seen) if (at := seconds_of(end.at)) is not None and at <= seen.now]
    ended_at = max([*ends, *([failed_at] if failed_at is not None else [])], default=None)
    words = [*own_words([*seen.pods, *seen.gone]), *(word for _, word in _words_here(seen))]
    peers_know = any(word.exit_code for word in words)
    return remaining_pods.remaining(
        seen.pods, ended_at, seen.now, seen.grace, peers_know=peers_know
    )


class End(Struct, frozen=True, kw_only=True):
    """How one node ended: what is known from its pod, its own word, or both.

    `told`: who told its pod to end, in words; empty where nobody did.
    """

    node: int
    name: str
    code: int | None = None
    reason: str = ""
    state: str | None = None
    at: str = ""
    started_at: str | None = None
    is_cause: bool = True
    told: str = ""


def judge(seen: KubernetesEvidence) -> State | None:
    """The job's state, or None where nothing is known of its end and there is no such job."""
    seen = _this_attempt(seen)
    if seen.job is None:
        state = _orphaned(seen) or _absent(seen)
    else:
        state = _ended(seen.job, seen) or _live(seen.job, seen)
    return state and msgspec.structs.replace(state, restarts=restarts_of(seen))


def needs_pods(job: PyTorchJob, nodes: int, *, has_word: bool) -> bool:
    """Whether its conditions leave something to ask. `has_word`: every node's own word is here."""
    if job.condition("Succeeded"):
        return not has_word
    counts = job.status.replica_statuses or {}
    running = sum(count.active for count in counts.values())
    return not (
        job.condition("Running") and running == nodes and not job.metadata.deletion_timestamp
    )


def restarts_of(seen: KubernetesEvidence) -> int:
    """How often the run has been started again, by all who say so."""
    told = [seen.restarts_before, seen.restarts_before + max(seen.starts - 1, 0)]
    told += [record.restarts for record in own_words([*seen.pods, *seen.gone])]
    told += [record.restarts for _, record in seen.others]
    told += [seen.exit.restarts] if seen.exit else []
    return max(told)


def _word_of_node_0(seen: KubernetesEvidence) -> ExitRecord | None:
    """How the training ended by its own word: exit.json, or what its pod has of it."""
    masters = [pod for pod in [*seen.pods, *seen.gone] if pod.node == 0]
    return next((word for word in [seen.exit, *own_words(masters)] if word), None)


def own_words(pods: Sequence[Pod]) -> list[ExitRecord]:
    """The termination messages that are launch.sh's."""
    return [word for pod in pods if (word := own_word(pod.terminated)) is not None]


def own_word(ended: Terminated | None) -> ExitRecord | None:
    """What launch.sh wrote to the termination log, or None where that is not its."""
    try:
        word: ExitRecord = decode_json((ended.message if ended else "") or "", ExitRecord)
    except ValueError:
        return None
    return word


def _this_attempt(seen: KubernetesEvidence) -> KubernetesEvidence:
    """Without what earlier starts of the run left behind."""
    restarts = restarts_of(seen)
    is_open = seen.job is not None and not seen.job.condition("Failed")
    stale = seen.exit is not None and seen.exit.restarts < restarts
    return msgspec.structs.replace(
        seen,
        exit=None if stale and is_open else seen.exit,
        others=[item for item in seen.others if item[1].restarts >= restarts or not is_open],
    )


def _orphaned(seen: KubernetesEvidence) -> State | None:
    """No such job any more, and pods of it run on: `kubectl delete` does not wait for them."""
    running = [pod for pod in seen.pods if pod.is_running]
    if not running:
        return None
    who = seen.cancelled or "somebody deleted it"
    removed = remaining_pods.being_removed(running, seen.now)
    words = (
        remaining_pods.in_words(removed, (), seen.nodes)
        if removed
        else f"{_names(running)} runs on"
    )
    reason = f"the PyTorchJob is gone: {who}; {words}"
    return State(state=RUNNING, reason=reason, started_at=_began(seen), is_ending=bool(removed))


def _absent(seen: KubernetesEvidence) -> State | None:
    """No such job any more: what the run itself says."""
    own = _word_of_node_0(seen)
    seen = msgspec.structs.replace(seen, exit=own)
    ends = _ends(seen)
    code = own.exit_code if own is not None else None
    if seen.cancelled and code != 0:
        return _with_times(State(state=CANCELLED, reason=seen.cancelled), ends)
    if own is None:
        return None
    followed = not any(end.code and end.is_cause for end in ends)
    if code != 0 and followed and own.state != CANCELLED:
        # No node failed by itself: SIGTERM, and not by us. The pods went with the job.
        reason = f"somebody deleted the PyTorchJob ({own.reason})"
        return _with_times(State(state=LOST, reason=reason, exit_code=code), ends)
    return _finished(seen, ends)


def _ended(job: PyTorchJob, seen: KubernetesEvidence) -> State | None:
    """The state of a job that its operator calls ended; None: it has not, or is being deleted."""
    if job.condition("Succeeded"):
        return _succeeded(job, seen)
    if job.metadata.deletion_timestamp is not None:
        return None
    failed = job.condition("Failed") or _given_up(seen.pods)
    if failed is None:
        return None
    ends = _ends(seen)
    remaining = _remaining(seen)
    if remaining.is_about_to_end:
        return _ending(job, seen, remaining, ends)
    own = _word_of_node_0(seen)
    if (
        own is not None
        and own.exit_code == 0
        and not any(end.code and end.is_cause for end in ends)
    ):
        # launch.sh found every step trained and saved, whatever ended the pods afterwards.
        return _job_times(state_of_exit(own), job, seen)
    if seen.cancelled:
        return _job_times(State(state=CANCELLED, reason=seen.cancelled), job, seen)
    if _is_deadline(failed, [*seen.pods, *seen.gone]):
        return _job_times(_timeout(seen), job, seen)
    state = _finished(seen, ends)
    if state is None:
        state = State(state=FAILED, reason=_unexplained(failed, seen))
    return _job_times(_with_restarts(state, seen), job, seen)


def _succeeded(job: PyTorchJob, seen: KubernetesEvidence) -> State:
    """Of a job whose master has ended well."""
    running = [pod for pod in seen.pods if pod.is_running]
    if any(not remaining_pods.is_overdue(pod, seen.now) for pod in running):
        # Workers, whose last words are still to come.
        return State(state=RUNNING, reason="node 0 has ended", started_at=_began(seen, job))
    told = _word_of_node_0(seen)
    if told is not None and told.exit_code == 0:
        return state_of_exit(told)
    return _job_times(State(state=SUCCEEDED, exit_code=0), job, seen)


def _ending(
    job: PyTorchJob, seen: KubernetesEvidence, remaining: Remaining, ends: Sequence[End]
) -> State:
    """Of a job that its operator calls failed, while containers of it still run."""
    words = []
    cause = _finished(seen, ends)
    if cause is not None and cause.reason:
        words.append(cause.reason)
    if seen.cancelled:
        words.append(seen.cancelled)
    if remaining.removed:
        words.append(remaining_pods.in_words(remaining.removed, seen.events, seen.nodes))
    if remaining.ending:
        words.append(f"{_names(remaining.ending)} about to end")
    return State(
        state=RUNNING, reason="; ".join(words), started_at=_began(seen, job), is_ending=True
    )


def _with_restarts(state: State, seen: KubernetesEvidence) -> State:
    """The state with the number of restarts that it took, where its reason does not have it yet."""
    spent = _spent(seen)
    if not spent or state.state != FAILED or "restarts.max is" in (state.reason or ""):
        return state
    return msgspec.structs.replace(state, reason=f"{state.reason}; {spent}")


def _unexplained(failed: Condition, seen: KubernetesEvidence) -> str:
    """Of a job whose pods say nothing of its end."""
    here = {pod.node for pod in seen.pods}
    gone = [node for node in range(seen.nodes) if node not in here]
    said = clean(failed.message) or "the PyTorchJob failed"
    if not gone or seen.untold or seen.job is None:
        return said
    why = {_who_removed(seen, node) for node in gone}
    reason = " or ".join(sorted(why)) if why != {""} else SOMEBODY
    return f"{said}; {', '.join(map(replica, gone))} gone: {reason}{_hint(seen)}"


def _who_removed(seen: KubernetesEvidence, node: int) -> str:
    """Who removed the pod of a node that is gone or going, in words; empty where nobody says."""
    pods = [pod for pod in [*seen.pods, *seen.gone] if pod.node == node]
    name = f"{seen.job.metadata.name}-{replica(node)}" if seen.job is not None else ""
    told = [remaining_pods.why_removed(pod, seen.events) for pod in pods]
    return next(filter(None, told), "") or remaining_pods.removal_told(name, "", seen.events)


def _hint(seen: KubernetesEvidence) -> str:
    return "" if seen.max_restarts else "; restarts.max: 1 would start it again"


def _given_up(pods: Sequence[Pod]) -> Condition | None:
    """A pod that failed for good: operators before 1.8 leave its job Restarting for ever (#2044)."""
    for pod in pods:
        ended = pod.terminated
        if pod.status.phase == "Failed" and ended is not None and 0 < ended.exit_code < 128:
            message = f"{name_of(pod)} failed"
            return Condition(
                "Failed", "True", message=message, last_transition_time=ended.finished_at
            )
    return None


def _spent(seen: KubernetesEvidence) -> str:
    restarts = restarts_of(seen) - seen.restarts_before
    if not restarts:
        return ""
    return f"after {restarts} restart{'s' if restarts > 1 else ''}"


def _is_deadline(failed: Condition, pods: Sequence[Pod]) -> bool:
    words = f"{failed.reason} {failed.message}"
    over = "DeadlineExceeded" in words or "longer than specified deadline" in words
    return over or any(pod.status.reason == "DeadlineExceeded" for pod in pods)


def _timeout(seen: KubernetesEvidence) -> State:
    told = [record for record in [seen.exit, *own_words([*seen.pods, *seen.gone])] if record]
    own = [record.reason for record in told if record.state == TIMEOUT and record.reason]
    reason = own[0] if own else "the time limit was reached (activeDeadlineSeconds)"
    return State(state=TIMEOUT, reason=reason, exit_code=124 if own else None)


def _finished(seen: KubernetesEvidence, ends: Sequence[End]) -> State | None:
    """From how the nodes ended: the one that failed by itself, before the others followed it."""
    causes = [end for end in ends if end.code != 0 and end.is_cause]
    own = _word_of_node_0(seen)
    if own is not None and own.exit_code == 0 and all(end.told for end in causes):
        # Node 0 has proved that all steps are trained and saved. A pod that was removed in the last
        # seconds changes nothing of that, although the operator counts it as a failure.
        return state_of_exit(own)
    failed = causes or [end for end in ends if end.code != 0]
    if not failed:
        return None
    first = min(failed, key=lambda end: (end.at or "9", end.node))
    where = f"{first.name}: " if seen.nodes > 1 else ""
    state = State(
        state=first.state if first.state in (TIMEOUT, CANCELLED) else FAILED,
        reason=f"{where}{first.reason}{_told_to_end(first, seen)}",
        exit_code=first.code,
    )
    return _with_times(state, ends)


def _told_to_end(end: End, seen: KubernetesEvidence) -> str:
    """Words on a SIGTERM from outside that was neither a cancellation nor the time limit."""
    if not end.told or end.state in (TIMEOUT, CANCELLED):
        return ""
    if end.told == end.reason:
        return _hint(seen)
    return f" (its pod was told to end: {end.told}{_hint(seen)})"


def _ends(seen: KubernetesEvidence) -> list[End]:
    """How each node ended, of those that are known to have."""
    by_node = {end.node: end for end in map(_end_by_word, _words_here(seen))}
    for pod in [*seen.gone, *seen.pods]:
        end = _end_of(pod)
        if end is None:
            continue
        # The pod also knows what the job in it cannot: who killed it.
        known = by_node.get(end.node)
        if known is None or known.code != end.code or _killed_by(pod, pod.terminated):
            by_node[end.node] = end
    return [_with_remover(by_node[node], seen) for node in sorted(by_node)]


def _with_remover(end: End, seen: KubernetesEvidence) -> End:
    """The end with the words on who told the pod to end, where that is why it ended.

    launch.sh passes a SIGTERM on that the kubelet gave it; it gets none when its peer has failed.
    """
    has_signal = "stopped by signal 15" in end.reason
    is_killed = end.reason.startswith(f"exit code {_SIGKILL}")
    if end.told or end.state in (TIMEOUT, CANCELLED) or not (end.code == _SIGTERM or is_killed):
        return end
    there = [pod for pod in seen.pods if pod.node == end.node]
    is_known = seen.job is not None and not seen.untold
    is_removed = is_known and all(pod.metadata.deletion_timestamp for pod in there)
    who = _who_removed(seen, end.node)
    if not (is_removed or who or has_signal):
        return end
    is_cause = end.is_cause or is_removed or bool(who)
    return msgspec.structs.replace(end, told=who or SOMEBODY, is_cause=is_cause)


def _words_here(seen: KubernetesEvidence) -> list[tuple[int, ExitRecord]]:
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
    if node is None or pod.is_running:  # a kubelet says Failed while the container has its grace
        return None
    ended = pod.terminated
    if ended is None and pod.status.phase != "Failed":
        return None
    word = own_word(ended)
    killed = _killed_by(pod, ended)
    disrupted = remaining_pods.disruption(pod)
    if word is not None and not killed:
        return msgspec.structs.replace(_end_by_word((node, word)), name=name_of(pod))
    code = ended.exit_code if ended is not None else None
    return End(
        node=node,
        name=name_of(pod),
        code=code if code is not None else _SIGKILL,
        reason=killed or disrupted or _by_exit_code(ended),
        at=local_time(ended.finished_at if ended else None) or "",
        started_at=local_time(ended.started_at if ended else pod.status.start_time),
        is_cause=bool(killed or disrupted) or code not in (*INTERRUPTED, _LOST_ITS_PEER),
        told=disrupted,
    )


def why_pod_ended(pod: Pod) -> str:
    """In words, of a pod that has."""
    return (
        _killed_by(pod, pod.terminated)
        or remaining_pods.disruption(pod)
        or _by_exit_code(pod.terminated)
    )


def _killed_by(pod: Pod, ended: Terminated | None) -> str:
    """Who ended the pod from outside, in words; empty where nobody did."""
    if ended is not None and ended.reason == "OOMKilled":
        return "out of memory (OOMKilled); resources.memory is the limit of the whole pod"
    message = clean(pod.status.message)
    if pod.status.reason == "Evicted":
        return f"evicted: {message}" if message else "evicted"
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


def _live(job: PyTorchJob, seen: KubernetesEvidence) -> State:
    """A job that has not ended."""
    if job.metadata.deletion_timestamp is not None:
        reason = "being deleted" + (f": {seen.cancelled}" if seen.cancelled else "")
        began = job.condition("Running") or any(pod.is_up or pod.terminated for pod in seen.pods)
        if not began:
            return State(state=QUEUED, reason=reason)
        return State(state=RUNNING, reason=reason, started_at=_began(seen, job))
    removed = remaining_pods.being_removed(seen.pods, seen.now)
    if removed:
        words = remaining_pods.in_words(
            removed, seen.events, seen.nodes, _why_all_are_removed(job, seen)
        )
        return State(state=RUNNING, reason=words, started_at=_began(seen, job))
    counts = job.status.replica_statuses or {}
    active = sum(count.active for count in counts.values())
    running = active if not seen.pods else sum(pod.is_up for pod in seen.pods)
    if job.condition("Running") and running + _done(seen.pods) >= seen.nodes:
        ending = "node 0 has ended" if seen.exit is not None else None
        return State(state=RUNNING, reason=ending, started_at=_began(seen, job))
    why = why_waiting(job, seen.pods, seen.events, seen.nodes, seen.queue, seen.age)
    if job.condition("Restarting") or _counted(seen):
        why = f"{_restart(seen)}; {why}"
    if seen.untold:
        why = f"{why} ({seen.untold})"
    return State(state=QUEUED, reason=why)


def _why_all_are_removed(job: PyTorchJob, seen: KubernetesEvidence) -> str:
    """Why an operator removes the pods of a job that has not ended."""
    if not is_suspended(job):
        return SOMEBODY
    return (
        f"Kueue has suspended the job (queue {seen.queue})"
        if seen.queue
        else "the job is suspended"
    )


def _counted(seen: KubernetesEvidence) -> int:
    """The restarts of this job that restarts.max is about."""
    return max(restarts_of(seen) - seen.restarts_before - seen.readmitted, 0)


def _restart(seen: KubernetesEvidence) -> str:
    """`worker-0: out of memory …, restart 1 of 3`."""
    ends = [end for end in map(_end_of, seen.pods) if end is not None and end.code]
    cause = f"{ends[0].name}: {ends[0].reason}, " if ends else ""
    number = max(_counted(seen), 1)
    most = f" of {seen.max_restarts}" if seen.max_restarts >= number else ""
    return f"{cause}restart {number}{most}"


def _done(pods: Sequence[Pod]) -> int:
    return sum(pod.terminated is not None for pod in pods)


def _began(seen: KubernetesEvidence, job: PyTorchJob | None = None) -> str | None:
    """When the last of its containers started."""
    times = [
        pod.container.state.running.started_at
        for pod in seen.pods
        if pod.container and pod.container.state.running
    ]
    known = [time for time in times if time]
    if known:
        return local_time(max(known))
    if job is None:
        return None
    running = job.condition("Running")
    return local_time(running.last_transition_time if running else job.status.start_time)


def _with_times(state: State, ends: Sequence[End]) -> State:
    started = [end.started_at for end in ends if end.started_at]
    ended = [end.at for end in ends if end.at]
    return msgspec.structs.replace(
        state, started_at=min(started, default=None), ended_at=max(ended, default=None)
    )


def _job_times(state: State, job: PyTorchJob, seen: KubernetesEvidence) -> State:
    failed = job.condition("Failed")
    end = job.status.completion_time or (failed.last_transition_time if failed else None)
    return msgspec.structs.replace(
        state,
        started_at=state.started_at or _began(seen, job),
        ended_at=state.ended_at or local_time(end),
        restarts=restarts_of(seen),
    )
