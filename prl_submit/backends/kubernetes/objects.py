"""The fields of Kubernetes' objects that prl-submit reads. Names are Kubernetes' own, in snake_case.

The API server, written in Go, sends an empty list as null and omits fields that are not set. Times are
RFC 3339 in UTC, unless a comment says otherwise.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from prl_submit.backends.kubernetes.labels import CONTAINER, TOKEN_LABEL, node_of


class ObjectMeta(Struct, frozen=True, rename="camel"):
    """ObjectMeta."""

    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    resource_version: str = ""
    creation_timestamp: str | None = None
    #: When the grace period ends and the kubelet kills the container. The deletion began
    #: deletion_grace_period_seconds earlier.
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class Condition(Struct, frozen=True, rename="camel"):
    """A condition of a job or a pod; `status` is the text True, False or Unknown."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class ReplicaStatus(Struct, frozen=True):
    """How many pods of one replica type (Master, Worker) run, have succeeded, have failed."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0


class PyTorchJobStatus(Struct, frozen=True, rename="camel"):
    """The status of a PyTorchJob, as its operator writes it."""

    conditions: list[Condition] | None = None
    replica_statuses: dict[str, ReplicaStatus] | None = None
    start_time: str | None = None
    completion_time: str | None = None


class RunPolicy(Struct, frozen=True):
    """Of spec.runPolicy. While `suspend` is true, the operator creates no pods."""

    suspend: bool | None = None


class PyTorchJobSpec(Struct, frozen=True, rename="camel"):
    """Of a PyTorchJob's spec, the part that others (Kueue, a user) change after submission."""

    run_policy: RunPolicy | None = None


class PyTorchJob(Struct, frozen=True):
    """A PyTorchJob."""

    metadata: ObjectMeta
    spec: PyTorchJobSpec = PyTorchJobSpec()
    status: PyTorchJobStatus = PyTorchJobStatus()

    @property
    def token(self) -> str:
        """The token of the run it belongs to; empty if prl-submit did not create it."""
        return (self.metadata.labels or {}).get(TOKEN_LABEL, "")

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type if its status is True."""
        for condition in self.status.conditions or ():
            if condition.type == kind and condition.status == "True":
                return condition
        return None


class Terminated(Struct, frozen=True, rename="camel"):
    """How a container ended. `message`: what launch.sh wrote to /dev/termination-log."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class Waiting(Struct, frozen=True):
    """Why the kubelet has not started a container yet."""

    reason: str | None = None
    message: str | None = None


class Running(Struct, frozen=True, rename="camel"):
    """Since when a container runs."""

    started_at: str | None = None


class ContainerState(Struct, frozen=True):
    """Exactly one of the three is set; none for a last_state that never was."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True, rename="camel"):
    """One container of a pod."""

    name: str
    image: str = ""
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(Struct, frozen=True, rename="camel"):
    """The status of a pod. `reason`, `message`: set if the pod as a whole failed (`Evicted`)."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class PodSpec(Struct, frozen=True, rename="camel"):
    """Of a pod's spec, the node it is on; None until the scheduler has chosen one."""

    node_name: str | None = None


class Pod(Struct, frozen=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def token(self) -> str:
        """The token of the run it belongs to; empty if it is not a pod of prl-submit."""
        return (self.metadata.labels or {}).get(TOKEN_LABEL, "")

    @property
    def node(self) -> int | None:
        """Its node rank in the job: 0 is the master. None if the operator did not create it."""
        return node_of(self.metadata.labels or {})

    @property
    def container(self) -> ContainerStatus | None:
        """The training's container; None before the kubelet has seen the pod."""
        for status in self.status.container_statuses or ():
            if status.name == CONTAINER:
                return status
        return None

    @property
    def is_running(self) -> bool:
        """True if the training's container runs."""
        return bool(self.container and self.container.state.running)

    @property
    def is_up(self) -> bool:
        """True if the training's container runs and the pod is not being deleted.

        A pod on a lost node is listed as running and being deleted until an administrator removes it.
        """
        return self.is_running and not self.metadata.deletion_timestamp

    @property
    def may_start(self) -> bool:
        """True if the training's container has not started yet, and may still do so."""
        waits = self.container is None or self.container.state.running is None
        return (
            waits
            and self.terminated is None
            and not self.metadata.deletion_timestamp
            and self.status.phase in ("Pending", "Running")
        )

    @property
    def terminated(self) -> Terminated | None:
        """How the training's container ended; None if it has not."""
        return self.container.state.terminated if self.container else None

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, whatever its status."""
        for condition in self.status.conditions or ():
            if condition.type == kind:
                return condition
        return None


class Reference(Struct, frozen=True):
    """Which object an event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Series(Struct, frozen=True, rename="camel"):
    """Of an event that repeats, when it was seen last."""

    last_observed_time: str | None = None


class Event(Struct, frozen=True, rename="camel"):
    """An event. Older components write last_timestamp, newer ones event_time and series."""

    metadata: ObjectMeta
    involved_object: Reference = Reference()
    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Series | None = None

    @property
    def at(self) -> str:
        """When it was seen last. All these times sort as text, since all are UTC."""
        series = self.series.last_observed_time if self.series else None
        return (
            series
            or self.last_timestamp
            or self.event_time
            or self.metadata.creation_timestamp
            or ""
        )


class PyTorchJobList(Struct, frozen=True):
    """The answer to a list of PyTorchJobs."""

    items: list[PyTorchJob] | None = None


class PodList(Struct, frozen=True):
    """The answer to a list of pods."""

    items: list[Pod] | None = None


class EventList(Struct, frozen=True):
    """The answer to a list of events."""

    items: list[Event] | None = None


class PodChange(Struct, frozen=True):
    """One line of a watch on pods. With the type DELETED, `object` is the pod as it was last."""

    type: str = ""
    object: Pod | None = None


def seconds_of(time: str | None) -> float | None:
    """A time (RFC 3339) as seconds since the epoch; None for None or for another text."""
    local = local_time(time)
    try:
        return datetime.fromisoformat(local).timestamp() if local else None
    except ValueError:
        return None


def local_time(time: str | None) -> str | None:
    """A UTC time (RFC 3339) as local time, ISO 8601 with zone, in whole seconds.

    None for an empty text. A text that is not a time is returned as it is.
    """
    if not time:
        return None
    try:
        utc = f"{time[:-1]}+00:00" if time.endswith("Z") else time  # Python 3.10 cannot parse Z
        return datetime.fromisoformat(utc).astimezone().isoformat(timespec="seconds")
    except ValueError:
        return time
