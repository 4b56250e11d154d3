"""Why a job waits, from the messages of the scheduler, the kubelet and the operator."""

from __future__ import annotations

from typing import Any

import pytest

from prl_submit.backends.kubernetes.objects import Event, ObjectMeta, Pod, PyTorchJob
from prl_submit.backends.kubernetes.reasons import (
    STUCK,
    clean,
    name_of,
    waits_for_master,
    why_pod_waits,
    why_waiting,
)
from tests.unit.kubernetes.objects import (
    NAME,
    condition,
    dead_pod,
    ended,
    event,
    job,
    pending,
    pod,
    unschedulable,
    utc,
)

MASTER = f"{NAME}-master-0"
TAKEN = job("Created")


def why(*pods: Pod, of: PyTorchJob = TAKEN, events: list[Event] | None = None, **more: Any) -> str:
    """Why a job of so many nodes waits."""
    nodes = more.pop("nodes", max(len(pods), 1))
    return why_waiting(of, pods, events or [], nodes, more.pop("queue", None), **more)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("", ""),
        ("  two\n\tlines.  ", "two lines"),
        ("a...", "a"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 149 + " … " + "x" * 148),
        ("(combined from similar events): a\x1b[31mb\x1b]0;title\x07c\x9b\u202e", "abc"),
    ],
)
def test_clean(text: str | None, expected: str) -> None:
    """A message becomes one line without escape sequences, shortened in its middle."""
    assert clean(text) == expected


RUNC = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create containerd task: "
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
    "process: error during container init: error mounting: "
)


@pytest.mark.parametrize(
    "cause",
    ["can't get final child's PID from pipe: EOF", "dial udp 10.255.255.53:53: connect: no route to host"],
)  # fmt: skip
def test_a_cause_at_the_end_of_many_words_is_kept(cause: str) -> None:
    said = f"(combined from similar events): {RUNC}{'/var/lib/kubelet/pods/' * 6}: {cause}"
    words = clean(said)
    assert len(words) <= 300
    assert words.startswith("Failed to create pod sandbox")
    assert words.endswith(f": {cause}")


# ------------------------------------------------------------------ before there are pods
@pytest.mark.parametrize(
    ("of", "queue", "expected"),
    [
        (job("Created", "Suspended"), None, "suspended"),
        (job("Created", "Suspended"), "team-a", "waits in Kueue's queue team-a"),
        (job(suspend=True), "team-a", "waits in Kueue's queue team-a"),
        (job(suspend=True), None, "suspended"),
        (job("Created", condition("Suspended", "False")), "team-a", "its pods are being made"),
    ],
)
def test_suspended(of: PyTorchJob, queue: str | None, expected: str) -> None:
    """A suspended job says so, or which of Kueue's queues it waits in."""
    assert why(of=of, queue=queue, age=60.0) == expected


def test_no_operator() -> None:
    """A job that no operator takes says so after a while."""
    assert why(of=job(), age=1.0) == "its pods are being made"
    silent = "no operator has taken it yet; is the training-operator running?"
    assert why(of=job(), age=60.0) == silent
    assert why(of=TAKEN, age=60.0) == "its pods are being made"


QUOTA = (
    'Error creating: pods "mr-01234567-master-0" is forbidden: exceeded quota: team, requested: '
    "requests.nvidia.com/gpu=8, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=8"
)


def test_pods_that_cannot_be_made() -> None:
    events = [
        event(NAME, "FailedCreatePod", "older", uid="job-uid", at=utc(1)),
        event(NAME, "FailedCreatePod", QUOTA, uid="job-uid", at=utc(9)),
        event(NAME, "FailedCreatePod", "of no interest", type="Normal", at=utc(10)),
        event(NAME, "Unknown", "of no interest", at=utc(11)),
        event("another", "FailedCreatePod", "of no interest", at=utc(12)),
    ]
    assert why(events=events) == f"its pods cannot be made: {QUOTA}"
    assert why(pending(waiting="ContainerCreating"), events=events) == "master-0: starts on n0"


def test_an_earlier_jobs_warnings_are_not_this_ones() -> None:
    assert why(events=[event(NAME, "FailedCreatePod", "x", uid="old")]) == "its pods are being made"


# ------------------------------------------------------------------ a pod that waits
NO_GPUS = "4 Insufficient nvidia.com/gpu"
TAINT = (
    "1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 Insufficient cpu"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # 1.20
        (f"0/4 nodes are available: {NO_GPUS}.", f"0/4 nodes: {NO_GPUS}"),
        # 1.24
        (
            f"0/4 nodes are available: {NO_GPUS}. preemption: 0/4 nodes are available: 4 No preemption victims found for incoming pod.",
            f"0/4 nodes: {NO_GPUS}",
        ),
        # 1.34
        (
            f"0/4 nodes are available: {TAINT}. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
            f"0/4 nodes: {TAINT}",
        ),
        (
            'persistentvolumeclaim "work" not found',
            'persistentvolumeclaim "work" not found',
        ),
        ("", "it is not on a node yet"),
    ],
)
def test_unschedulable(said: str, expected: str) -> None:
    """The scheduler's message becomes a short reason."""
    assert why_pod_waits(unschedulable(0, said), []) == (f"master-0: {expected}", True)


@pytest.mark.parametrize(
    ("waiting", "said", "expected"),
    [
        (
            "ErrImagePull",
            'rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/img:1": not found',
            'the image cannot be pulled (ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/img:1": not found)',
        ),
        (
            "ErrImagePull",
            "429 Too Many Requests",
            "the image cannot be pulled registry.example/img:1 (ErrImagePull: 429 Too Many Requests)",
        ),
        (
            "ImagePullBackOff",
            'Back-off pulling image "registry.example/img:1"',
            'the image cannot be pulled (ErrImagePull: Back-off pulling image "registry.example/img:1")',
        ),
        ("ErrImageNeverPull", "", "the image is not on the node, and may not be pulled registry.example/img:1 (ErrImageNeverPull)"),
        ("CreateContainerConfigError", 'secret "keys" not found', 'the container cannot be made (CreateContainerConfigError: secret "keys" not found)'),
        ("RunContainerError", 'exec: "bash": not found', 'the container cannot be started (RunContainerError: exec: "bash": not found)'),
    ],
)  # fmt: skip
def test_a_container_that_does_not_start(waiting: str, said: str, expected: str) -> None:
    assert why_pod_waits(pending(1, waiting, said), []) == (f"worker-0: {expected}", True)


@pytest.mark.parametrize("reason", STUCK)
def test_each_reason_means_that_the_pod_is_stuck(reason: str) -> None:
    words, is_stuck = why_pod_waits(pending(0, reason), [])
    assert is_stuck
    assert reason.replace("ImagePullBackOff", "ErrImagePull") in words


def test_a_back_off_is_explained_by_the_pull_event() -> None:
    """The message of ImagePullBackOff says only that the kubelet waits."""
    failed = 'Failed to pull image "registry.example/img:1": unauthorized'
    events = [
        event(MASTER, "Failed", "Failed to pull image: older"),
        event(MASTER, "Failed", failed),
        event(MASTER, "Failed", "Error: ImagePullBackOff"),
        event(f"{NAME}-worker-0", "Failed", "Failed to pull image: of another pod"),
    ]
    words, _ = why_pod_waits(pending(0, "ImagePullBackOff", "Back-off pulling image"), events)
    assert words == f"master-0: the image cannot be pulled (ErrImagePull: {failed})"


def test_an_init_container_that_does_not_start() -> None:
    init = {"name": "init-pytorch", "image": "alpine:3.10"}
    state = {"waiting": {"reason": "ErrImagePull", "message": "no route"}}
    stuck = pending(1, "PodInitializing", initContainerStatuses=[{**init, "state": state}])
    expected = "worker-0: the image cannot be pulled alpine:3.10 (ErrImagePull: no route)"
    assert why_pod_waits(stuck, []) == (expected, True)


def test_a_volume_that_cannot_be_mounted() -> None:
    said = 'MountVolume.SetUp failed for volume "work" : mount failed: exit status 32'
    events = [
        event(MASTER, "FailedMount", said, at=utc(5)),
        event(MASTER, "FailedMount", "earlier", at=utc(4)),
    ]
    assert why_pod_waits(pending(0, "ContainerCreating"), events) == (f"master-0: {said}", True)


def test_warnings_of_the_pod_before_it_are_not_this_ones() -> None:
    """The operator gives a new pod the name of the one before."""
    old = event(MASTER, "FailedMount", "old", uid="uid-of-the-pod-before")
    new = event(MASTER, "FailedMount", "new", uid="uid-0", at=utc(1))
    waits = pending(0, "ContainerCreating")
    assert why_pod_waits(waits, [old]) == ("master-0: starts on n0", False)
    assert why_pod_waits(waits, [old, new]) == ("master-0: new", True)


def test_waiting_that_ends_by_itself() -> None:
    assert why_pod_waits(pod(0, "Pending", host=None), []) == (
        "master-0: waits for the scheduler",
        False,
    )
    assert why_pod_waits(pending(0, "ContainerCreating"), []) == ("master-0: starts on n0", False)
    init = [{"name": "init-pytorch", "state": {"running": {"startedAt": utc(2)}}}]
    worker = pending(1, "PodInitializing", initContainerStatuses=init)
    assert why_pod_waits(worker, []) == ("worker-0: waits for master-0", False)
    assert waits_for_master(worker)
    done = [{"name": "init-pytorch", "state": {"terminated": {"exitCode": 0}}}]
    assert not waits_for_master(pending(1, "PodInitializing", initContainerStatuses=done))
    sidecar = [{"name": "proxy", "restartCount": 0, "state": {"running": {"startedAt": utc(2)}}}]
    assert not waits_for_master(pending(1, "ContainerCreating", initContainerStatuses=sidecar))


def test_name_of_a_pod_that_is_no_replica() -> None:
    helper = Pod(metadata=ObjectMeta(name="mr-01234567-collect-1"))
    assert name_of(helper) == "mr-01234567-collect-1"
    assert name_of(pod(2)) == "worker-1"


# ------------------------------------------------------------------ several
def test_pods_that_are_stuck_come_first() -> None:
    waits = pending(1, "PodInitializing")
    stuck = pending(2, "ErrImagePull", "no such host")
    assert why(pod(0), waits, stuck).startswith("worker-1: the image cannot be pulled")
    assert why(pending(0, "ErrImagePull"), waits, stuck).startswith("master-0: the image")


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod(0), pending(1, "ContainerCreating")], "1 of 2 pods run; worker-0: starts on n1"),
        ([pod(0)], "1 of 2 pods run"),
        (
            [pod(0), dead_pod(1, 137)],
            "1 of 2 pods run",
        ),  # the second pod has ended, so it does not wait
        # The kubelet reports the end of a container before it changes the pod's phase.
        ([pod(0, state=ended(0)), pending(1)], "0 of 2 pods run; worker-0: starts on n1"),
        ([dead_pod(0, 0), pending(1)], "0 of 2 pods run; worker-0: starts on n1"),
        ([], "0 of 2 pods run"),
    ],
)
def test_how_many_run(pods: list[Pod], expected: str) -> None:
    assert why(*pods, nodes=2) == expected


def test_without_pods_the_operator_says_how_many_run() -> None:
    """The account may lack the right to list pods."""
    assert why(of=job("Created", active=1), nodes=2) == "1 of 2 pods run"


def test_a_phase_alone_is_no_running_container() -> None:
    """The kubelet sets the phase Running for a pod of which only a sidecar runs."""
    waits = pod(0, "Running", state={"waiting": {"reason": "ContainerCreating"}})
    assert why(waits) == "master-0: starts on n0"
