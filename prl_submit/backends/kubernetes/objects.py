"""What we read of Kubernetes' objects: the fields that say how a job is doing, and no others.

Go writes an empty list as null, and leaves out what is not set.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from prl_submit.backends.kubernetes.labels import CONTAINER, TOKEN_LABEL, node_of


class Meta(Struct, frozen=True, rename="camel"):
    """ObjectMeta."""

    name: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    resource_version: str = ""
    creation_timestamp: str | None = None
    #: When it will be killed, not when it was told to end: that was its grace earlier.
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
    """How many pods of one replica type run, came to their end, or failed."""

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
    """`suspend`: the operator makes no pods until it is false."""

    suspend: bool | None = None


class PyTorchJobSpec(Struct, frozen=True, rename="camel"):
    """Of the spec, what others than we change."""

    run_policy: RunPolicy | None = None


class PyTorchJob(Struct, frozen=True):
    """A PyTorchJob."""

    metadata: Meta
    spec: PyTorchJobSpec = PyTorchJobSpec()
    status: PyTorchJobStatus = PyTorchJobStatus()

    @property
    def token(self) -> str:
        """The run's token; empty where it is no job of ours."""
        return (self.metadata.labels or {}).get(TOKEN_LABEL, "")

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type where it holds."""
        for condition in self.status.conditions or ():
            if condition.type == kind and condition.status == "True":
                return condition
        return None


class Terminated(Struct, frozen=True, rename="camel"):
    """How a container ended; `message` is what it wrote to /dev/termination-log."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class Waiting(Struct, frozen=True):
    """Why a container has not started."""

    reason: str | None = None
    message: str | None = None


class Running(Struct, frozen=True, rename="camel"):
    """Since when a container runs."""

    started_at: str | None = None


class ContainerState(Struct, frozen=True):
    """One of the three."""

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
    """The status of a pod; `reason` where the pod as a whole failed (`Evicted`)."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class PodSpec(Struct, frozen=True, rename="camel"):
    """Where a pod runs; None: nowhere yet."""

    node_name: str | None = None


class Pod(Struct, frozen=True):
    """A pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def token(self) -> str:
        """The token of its run."""
        return (self.metadata.labels or {}).get(TOKEN_LABEL, "")

    @property
    def node(self) -> int | None:
        """Which node of its job it is."""
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
        """Whether the training's container runs."""
        return bool(self.container and self.container.state.running)

    @property
    def is_up(self) -> bool:
        """Whether it runs and is not being removed, as the pods of a lost node are for ever."""
        return self.is_running and not self.metadata.deletion_timestamp

    @property
    def may_start(self) -> bool:
        """Whether its training's container has not begun and nobody has stopped that."""
        waits = self.container is None or self.container.state.running is None
        return (
            waits
            and self.terminated is None
            and not self.metadata.deletion_timestamp
            and self.status.phase in ("Pending", "Running")
        )

    @property
    def terminated(self) -> Terminated | None:
        """How the training's container ended, where it has."""
        return self.container.state.terminated if self.container else None

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, whether it holds or not."""
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
    """Of an event that came again and again, the last time."""

    last_observed_time: str | None = None


class Event(Struct, frozen=True, rename="camel"):
    """An event, old form or new."""

    metadata: Meta
    involved_object: Reference = Reference()
    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Series | None = None

    @property
    def at(self) -> str:
        """When it was seen last; such times sort as text."""
        series = self.series.last_observed_time if self.series else None
        return (
            series
            or self.last_timestamp
            or self.event_time
            or self.metadata.creation_timestamp
            or ""
        )


class PyTorchJobList(Struct, frozen=True):
    """An answer with jobs."""

    items: list[PyTorchJob] | None = None


class PodList(Struct, frozen=True):
    """An answer with pods."""

    items: list[Pod] | None = None


class EventList(Struct, frozen=True):
    """An answer with events."""

    items: list[Event] | None = None


class PodChange(Struct, frozen=True):
    """A line of a watch on pods; DELETED has the pod as it was last."""

    type: str = ""
    object: Pod | None = None


def seconds_of(time: str | None) -> float | None:
    """Kubernetes' time as seconds since the epoch; None where there is none or it is not one."""
    local = local_time(time)
    try:
        return datetime.fromisoformat(local).timestamp() if local else None
    except ValueError:
        return None


def local_time(time: str | None) -> str | None:
    """Kubernetes' UTC time (RFC 3339) as ours: local, with zone, to the second."""
    if not time:
        return None
    try:
        utc = f"{time[:-1]}+00:00" if time.endswith("Z") else time  # Python 3.10 reads no Z
        return datetime.fromisoformat(utc).astimezone().isoformat(timespec="seconds")
    except ValueError:
        return time
