"""Pods of a job that has ended for its operator: which of them still run, and who told them to end.

An operator calls a job failed in the second in which the deletion of a pod begins. The container has
its grace to save until then, and only its end says what became of the training.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from prl_submit.backends.kubernetes.objects import Event, Pod, local_time, seconds_of
from prl_submit.backends.kubernetes.reasons import clean, name_of

#: Seconds after its kill was due for which a pod's end is waited for: the time that Kubernetes itself
#: gives a node that does not answer (the tolerationSeconds that its admission adds to each pod).
LOST_S = 300.0
#: Seconds in which launch.sh ends a node whose peer has failed: it looks every 5 s, waits 30 s, and
#: gives torchrun at most 30 s; the rest is for its last words.
ENDING_S = 90.0

#: Reasons of a DisruptionTarget condition (Kubernetes 1.26 and later).
_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted by a job of higher priority",
    "PreemptionByKubeScheduler": "preempted by a job of higher priority",
    "DeletionByTaintManager": "its node failed or was drained",
    "EvictionByEvictionAPI": "evicted, its node is being drained",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "evicted by its node",
}
#: The same in events, which servers before 1.26 have alone. An eviction by the API leaves none there.
EVENTS = {
    "Preempted": "preempted by a job of higher priority",
    "TaintManagerEviction": "its node failed or was drained",
}
SOMEBODY = "node drained, preempted, or deleted by somebody"


class Remaining(Struct, frozen=True):
    """Pods of an ended job that may still run.

    `removed`: told to end, and within their time; `ending`: whose peers have just failed; `left`: all
    others, for whose end nobody knows a time.
    """

    removed: Sequence[Pod] = ()
    ending: Sequence[Pod] = ()
    left: Sequence[Pod] = ()

    @property
    def is_about_to_end(self) -> bool:
        """Whether waiting for them is worthwhile, since they end by themselves."""
        return bool(self.removed or self.ending)


def remaining(
    pods: Sequence[Pod], ended_at: float | None, now: float, grace: float, *, peers_know: bool
) -> Remaining:
    """What may still run of a job that ended at `ended_at` (seconds since the epoch; None: long ago).

    `grace`: seconds that a kubelet gives a pod of its own accord, as at its activeDeadlineSeconds;
    `peers_know`: whether the node that failed has told so, by which launch.sh ends the others. A
    container that was killed has not.
    """
    since = max(now - ended_at, 0.0) if ended_at is not None else float("inf")
    patience = ENDING_S if peers_know else -1.0
    removed: list[Pod] = []
    ending: list[Pod] = []
    left: list[Pod] = []
    for pod in pods:
        if not (pod.is_running or pod.may_start):
            continue
        if pod.metadata.deletion_timestamp and not _is_late(pod, ended_at):
            (left if is_overdue(pod, now) else removed).append(pod)
        elif since <= (grace + ENDING_S if pod.status.phase == "Failed" else patience):
            ending.append(pod)
        else:
            left.append(pod)
    return Remaining(removed, ending, left)


def is_overdue(pod: Pod, now: float) -> bool:
    """Whether a pod should have been killed long ago: its kubelet does not answer."""
    due = seconds_of(pod.metadata.deletion_timestamp)
    return due is not None and now > due + LOST_S


def being_removed(pods: Sequence[Pod], now: float) -> list[Pod]:
    """Pods whose container runs, that were told to end, and that are within their time."""
    return [
        pod
        for pod in pods
        if pod.is_running and pod.metadata.deletion_timestamp and not is_overdue(pod, now)
    ]


def _is_late(pod: Pod, ended_at: float | None) -> bool:
    """Whether somebody removes it long after the job's end: that end has been told, and stays."""
    due = seconds_of(pod.metadata.deletion_timestamp)
    if due is None or ended_at is None:
        return False
    return due - (pod.metadata.deletion_grace_period_seconds or 0) > ended_at + ENDING_S


def in_words(
    pods: Sequence[Pod], events: Sequence[Event], nodes: int, otherwise: str = SOMEBODY
) -> str:
    """`being removed: preempted by …; it has until 20:15:00 at most`, of pods that are being removed.

    `otherwise`: why, where neither the pod nor an event says it.
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
    """Who told a pod to end, by its own condition or by an event about it; empty where neither says."""
    return disruption(pod) or removal_told(pod.metadata.name, pod.metadata.uid, events)


def disruption(pod: Pod) -> str:
    """What the pod's DisruptionTarget condition says, in words; empty where it has none."""
    target = pod.condition("DisruptionTarget")
    if target is None or target.status != "True":
        return ""
    words = _DISRUPTIONS.get(target.reason or "", clean(target.reason) or "disrupted")
    said = clean(target.message)
    return f"{words} ({said})" if said else words


def removal_told(name: str, uid: str, events: Sequence[Event]) -> str:
    """What events say of a pod's removal; `uid` empty: of the newest pod of that name."""
    about = [
        event
        for event in events
        if event.involved_object.name == name
        and (not uid or event.involved_object.uid in ("", uid))
        and event.reason in EVENTS
        and not event.message.startswith("Cancelling")  # the taint went before the pod did
    ]
    if not about:
        return ""
    last = max(about, key=lambda event: event.at)
    said = clean(last.message) if last.reason == "Preempted" else ""
    return f"{EVENTS[last.reason]} ({said})" if said else EVENTS[last.reason]
