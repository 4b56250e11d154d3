"""Pods of a job that its operator calls ended: which of them still run, and who removes them.

The training-operator sets a job's Failed condition in the second in which the deletion of a pod begins.
The container then still has its grace period to save a checkpoint, and only its end tells what became of
the training.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from prl_submit.backends.kubernetes.objects import Event, Pod, local_time, seconds_of
from prl_submit.backends.kubernetes.reasons import clean, name_of

#: When a pod should have been killed and still exists after this many seconds, its node is taken for
#: lost. Kubernetes itself waits as long for a node that does not answer (the tolerationSeconds that the
#: admission plugin DefaultTolerationSeconds adds to each pod).
LOST_S = 300.0
#: Seconds that launch.sh needs to stop its node when another node has failed: it looks every 5 s, waits
#: 30 s, and gives torchrun at most 30 s to end. The rest is time to write its logs and exit.json.
ENDING_S = 90.0

#: Reasons of a pod's DisruptionTarget condition, which Kubernetes sets since 1.26, in words.
_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted by a job of higher priority",
    "PreemptionByKubeScheduler": "preempted by a job of higher priority",
    "DeletionByTaintManager": "its node failed or was drained",
    "EvictionByEvictionAPI": "evicted, its node is being drained",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "evicted by its node",
}
#: Reasons of events about a pod's removal, in words. API servers before 1.26 have only these. They write
#: no event when a client evicts a pod (`kubectl drain`).
EVENTS = {
    "Preempted": "preempted by a job of higher priority",
    "TaintManagerEviction": "its node failed or was drained",
}
#: The words if neither a condition nor an event names who removed a pod.
SOMEBODY = "node drained, preempted, or deleted by somebody"


class Remaining(Struct, frozen=True):
    """Pods of an ended job that may still run, by what is expected of them.

    `removed`: they are being deleted, and their grace period is not over.
    `ending`: launch.sh will stop them, because another node has just failed.
    `left`: all others; nobody knows when they will end.
    """

    removed: Sequence[Pod] = ()
    ending: Sequence[Pod] = ()
    left: Sequence[Pod] = ()

    @property
    def is_about_to_end(self) -> bool:
        """True if pods will end by themselves within a known time, so it makes sense to wait."""
        return bool(self.removed or self.ending)


def remaining(
    pods: Sequence[Pod], ended_at: float | None, now: float, grace: float, *, peers_know: bool
) -> Remaining:
    """The pods that may still run of a job that ended at `ended_at`.

    `ended_at`: seconds since the epoch; None: long ago. `grace`: the pods' grace period in seconds; the
    kubelet gives it to a pod whose activeDeadlineSeconds are over. `peers_know`: the failed node has
    written its exit.json, in which launch.sh on the other nodes sees the failure. A killed container
    writes none, so its peers run on.
    """
    since = max(now - ended_at, 0.0) if ended_at is not None else float("inf")
    patience = ENDING_S if peers_know else -1.0
    removed: list[Pod] = []
    ending: list[Pod] = []
    left: list[Pod] = []
    for pod in pods:
        if not (pod.is_running or pod.may_start):
            continue
        past_deadline = pod.status.phase == "Failed"
        if pod.metadata.deletion_timestamp and not _was_removed_later(pod, ended_at):
            (left if is_overdue(pod, now) else removed).append(pod)
        elif since <= (grace + ENDING_S if past_deadline else patience):
            ending.append(pod)
        else:
            left.append(pod)
    return Remaining(removed, ending, left)


def is_overdue(pod: Pod, now: float) -> bool:
    """True if the kubelet should have killed the pod long ago, so the kubelet does not answer."""
    due = seconds_of(pod.metadata.deletion_timestamp)
    return due is not None and now > due + LOST_S


def being_removed(pods: Sequence[Pod], now: float) -> list[Pod]:
    """The pods that are being deleted, whose container runs, and whose grace period is not over."""
    return [
        pod
        for pod in pods
        if pod.is_running and pod.metadata.deletion_timestamp and not is_overdue(pod, now)
    ]


def _was_removed_later(pod: Pod, ended_at: float | None) -> bool:
    """True if the pod's deletion began long after the job's end, so it is not part of that end."""
    due = seconds_of(pod.metadata.deletion_timestamp)
    if due is None or ended_at is None:
        return False
    began = due - (pod.metadata.deletion_grace_period_seconds or 0)
    return began > ended_at + ENDING_S


def in_words(
    pods: Sequence[Pod], events: Sequence[Event], nodes: int, otherwise: str = SOMEBODY
) -> str:
    """`being removed: preempted by …; it has until 20:15:00 at most`, for pods that are being deleted.

    At most three pods are named. `otherwise`: the words if no condition or event tells why.
    """
    found = []
    for pod in pods:
        until = (local_time(pod.metadata.deletion_timestamp) or "")[11:19]
        who = f"{name_of(pod)} is " if nodes > 1 else ""
        why = why_removed(pod, events) or otherwise
        found.append(f"{who}being removed: {why}; it has until {until} at most")
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(found[:3]) + more


def why_removed(pod: Pod, events: Sequence[Event]) -> str:
    """Who removes a pod, by its DisruptionTarget condition, else by events; empty if neither tells."""
    return disruption(pod) or removal_told(pod.metadata.name, pod.metadata.uid, events)


def disruption(pod: Pod) -> str:
    """What the pod's DisruptionTarget condition says, in words; empty without such a condition."""
    target = pod.condition("DisruptionTarget")
    if target is None or target.status != "True":
        return ""
    words = _DISRUPTIONS.get(target.reason or "", clean(target.reason) or "disrupted")
    message = clean(target.message)
    return f"{words} ({message})" if message else words


def removal_told(name: str, uid: str, events: Sequence[Event]) -> str:
    """What the newest event about a pod's removal says, in words; empty if there is none.

    `uid` empty: events about any pod of that name count, since the pod is gone.
    """
    about = [
        event
        for event in events
        if event.involved_object.name == name
        and (not uid or event.involved_object.uid in ("", uid))
        and event.reason in EVENTS
        # "Cancelling deletion of Pod …": the node's taint was removed in time, so the pod stays.
        and not event.message.startswith("Cancelling")
    ]
    if not about:
        return ""
    last = max(about, key=lambda event: event.at)
    message = clean(last.message) if last.reason == "Preempted" else ""
    return f"{EVENTS[last.reason]} ({message})" if message else EVENTS[last.reason]
