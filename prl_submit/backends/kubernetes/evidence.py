"""All that is known of one attempt of a run on Kubernetes, before anybody has judged it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.backends.kubernetes.objects import (
    Event,
    Pod,
    PyTorchJob,
    Terminated,
    local_time,
)
from prl_submit.runs.exits import ExitRecord
from prl_submit.system.reading import decode_json


class KubernetesEvidence(Struct, frozen=True, kw_only=True):
    """What the API server and the run directory say about one attempt.

    `job`: the PyTorchJob; None if there is none of that name.
    `pods`: its pods. `gone`: deleted pods of a job that has just failed, each as it was last.
    `events`: of the namespace. `untold`: why pods or events could not be listed; None if they were.
    `exit`: exit.json of node 0. `others`: exit.json of the other nodes, with their node ranks. Both only
    if the output volume is mounted here too.
    `cancelled`: the reason in cancel.json; None if the user did not cancel the run.
    `nodes`, `max_restarts`, `queue`: resources.nodes, restarts.max and kubernetes.queue of the plan.
    `restarts_before`: restarts of the run's earlier jobs (before a `resume`).
    `starts`: how often launch.sh has started on node 0 of this job, as the run directory counts it.
    `readmitted`: how many of these starts followed a suspension by Kueue, so that restarts.max does not
    count them.
    `age`: seconds since the run was submitted. `now`: seconds since the epoch by the API server's clock.
    `grace`: seconds that the job's pods have after SIGTERM.
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

    @property
    def all_pods(self) -> list[Pod]:
        """The pods that exist and those that were deleted."""
        return [*self.pods, *self.gone]

    @property
    def records_here(self) -> list[tuple[int, ExitRecord]]:
        """The exit.json files in the run directory, with their node ranks."""
        own = [(0, self.exit)] if self.exit is not None else []
        return [*own, *self.others]

    @property
    def record_of_node_0(self) -> ExitRecord | None:
        """How node 0 ended: exit.json, else the same from its pod's termination message."""
        masters = [pod for pod in self.all_pods if pod.node == 0]
        records = [self.exit, *termination_records(masters)]
        return next((record for record in records if record is not None), None)

    @property
    def restarts(self) -> int:
        """How often the run has been restarted, by whichever source counts most."""
        counts = [self.restarts_before, self.restarts_before + max(self.starts - 1, 0)]
        counts += [record.restarts for record in termination_records(self.all_pods)]
        counts += [record.restarts for _, record in self.records_here]
        return max(counts)

    @property
    def restarts_of_this_job(self) -> int:
        """Without those before the last `resume`."""
        return self.restarts - self.restarts_before


def termination_records(pods: Sequence[Pod]) -> list[ExitRecord]:
    """What launch.sh wrote to the termination messages of these pods' containers."""
    records = [termination_record(pod.terminated) for pod in pods]
    return [record for record in records if record is not None]


def termination_record(ended: Terminated | None) -> ExitRecord | None:
    """The content of exit.json that launch.sh wrote to a container's termination message.

    None if the message is not launch.sh's. If the output volume is not mounted on this machine, this is
    all that prl-submit learns of how the node ended.
    """
    message = ended.message if ended is not None else None
    try:
        record: ExitRecord = decode_json(message or "", ExitRecord)
    except ValueError:
        return None
    return record


def of_newest_attempt(seen: KubernetesEvidence) -> KubernetesEvidence:
    """The evidence without exit.json files of earlier attempts of the run.

    Once the operator has called the job failed, no attempt follows, so then all of them count.
    """
    if seen.job is None or seen.job.condition("Failed"):
        return seen
    restarts = seen.restarts
    is_stale = seen.exit is not None and seen.exit.restarts < restarts
    return msgspec.structs.replace(
        seen,
        exit=None if is_stale else seen.exit,
        others=[item for item in seen.others if item[1].restarts >= restarts],
    )


def started_at(seen: KubernetesEvidence, job: PyTorchJob | None = None) -> str | None:
    """When the newest running container started; if none runs, when `job` began to run."""
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
