"""Kubernetes objects as API servers write them: which fields are read, and which may be null or missing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from prl_submit.backends.kubernetes.objects import (
    Event,
    EventList,
    Pod,
    PodList,
    PyTorchJob,
    PyTorchJobList,
    local_time,
)
from tests.support.time_zone import time_zone
from tests.unit.kubernetes.objects import TOKEN, condition, job

JOB = """
{"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob",
 "metadata": {"name": "mr-01234567", "namespace": "ml", "uid": "5b6f", "resourceVersion": "9",
   "generation": 1, "creationTimestamp": "2026-11-22T20:00:00Z", "finalizers": null,
   "deletionTimestamp": "2026-11-22T20:09:00Z", "deletionGracePeriodSeconds": 0,
   "labels": {"prl-submit/token": "0123456789abcdef"}},
 "spec": {"nprocPerNode": "8", "runPolicy": {"suspend": true, "backoffLimit": 3},
   "pytorchReplicaSpecs": {"Master": {"replicas": 1}}},
 "status": {"conditions": [
    {"type": "Created", "status": "True", "reason": "PyTorchJobCreated", "message": "made",
     "lastUpdateTime": "2026-11-22T20:00:00Z", "lastTransitionTime": "2026-11-22T20:00:00Z"},
    {"type": "Running", "status": "False", "lastTransitionTime": "2026-11-22T20:01:00Z"}],
  "replicaStatuses": {"Master": {"active": 1, "selector": "a=b"}, "Worker": {}},
  "startTime": "2026-11-22T20:00:01Z"}}
"""

POD = """
{"metadata": {"name": "mr-01234567-worker-1", "uid": "77", "labels": {
   "prl-submit/token": "0123456789abcdef", "training.kubeflow.org/job-name": "mr-01234567",
   "training.kubeflow.org/replica-type": "worker", "training.kubeflow.org/replica-index": "1"}},
 "spec": {"nodeName": "n2", "containers": []},
 "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource.",
   "startTime": "2026-11-22T20:00:02Z", "qosClass": "Guaranteed", "podIPs": null,
   "conditions": [{"type": "DisruptionTarget", "status": "True", "lastProbeTime": null,
     "reason": "TerminationByKubelet", "lastTransitionTime": "2026-11-22T20:10:00Z"},
     {"type": "Ready", "status": "False"}],
   "initContainerStatuses": [{"name": "init-pytorch", "state": {"running": {}}}],
   "containerStatuses": [
     {"name": "istio-proxy", "image": "x", "restartCount": 9, "state": {"running": {}}},
     {"name": "pytorch", "image": "img:1", "imageID": "sha256:1", "ready": false, "started": null,
      "restartCount": 2, "lastState": {"terminated": {"exitCode": 143}},
      "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "signal": 9,
        "startedAt": "2026-11-22T20:00:03Z", "finishedAt": "2026-11-22T20:10:00Z"}}}]}}
"""


def test_a_job() -> None:
    """The fields of a PyTorchJob are read from the API's JSON."""
    found = msgspec.json.decode(JOB, type=PyTorchJob)
    assert (found.metadata.name, found.metadata.uid, found.token) == ("mr-01234567", "5b6f", TOKEN)
    assert found.metadata.deletion_timestamp == "2026-11-22T20:09:00Z"
    assert found.spec.run_policy is not None
    assert found.spec.run_policy.suspend is True
    created = found.condition("Created")
    assert created is not None
    assert created.last_transition_time == "2026-11-22T20:00:00Z"
    assert found.condition("Running") is None  # the condition exists with the status False
    assert found.condition("Failed") is None
    counts = found.status.replica_statuses or {}
    assert {name: count.active for name, count in counts.items()} == {"Master": 1, "Worker": 0}
    assert found.status.start_time == "2026-11-22T20:00:01Z"


def test_a_pod() -> None:
    """The fields of a pod are read from the API's JSON."""
    found = msgspec.json.decode(POD, type=Pod)
    assert (found.node, found.token, found.spec.node_name) == (2, TOKEN, "n2")
    assert (found.status.phase, found.status.reason) == ("Failed", "Evicted")
    assert found.container is not None
    assert (found.container.name, found.container.restart_count) == ("pytorch", 2)
    assert found.container.last_state.terminated is not None
    assert found.terminated is not None
    assert (found.terminated.exit_code, found.terminated.reason) == (137, "OOMKilled")
    assert found.terminated.finished_at == "2026-11-22T20:10:00Z"
    ready = found.condition("Ready")
    assert ready is not None  # a pod's conditions are found whatever their status
    assert ready.status == "False"
    assert found.condition("PodScheduled") is None
    init = found.status.init_container_statuses or []
    assert init[0].state.running is not None


def test_a_job_and_a_pod_without_status() -> None:
    nothing = b'{"metadata": {"name": "x", "labels": null}, "status": {"conditions": null}}'
    new = msgspec.json.decode(nothing, type=PyTorchJob)
    assert (new.token, new.condition("Created"), new.spec.run_policy) == ("", None, None)
    pod = msgspec.json.decode(nothing, type=Pod)
    assert (pod.token, pod.node, pod.container, pod.terminated) == ("", None, None, None)
    assert pod.condition("Ready") is None


def test_only_a_condition_with_status_true_counts() -> None:
    """The operator keeps an old condition, with the status False, beside a new one."""
    seen = job(condition("Failed", "False"), condition("Failed", "Unknown"), condition("Failed"))
    found = seen.condition("Failed")
    assert found is not None
    assert found.status == "True"


@pytest.mark.parametrize("kind", [PyTorchJobList, PodList, EventList])
def test_lists(kind: type[PyTorchJobList | PodList | EventList]) -> None:
    """Go writes an empty list as null."""
    assert msgspec.json.decode(b'{"items": null, "metadata": {}}', type=kind).items is None
    page = b'{"kind": "List", "items": [{"metadata": {"name": "a"}}], "metadata": {}}'
    found = msgspec.json.decode(page, type=kind)
    assert found.items is not None
    assert found.items[0].metadata.name == "a"


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"series": {"lastObservedTime": "4"}, "lastTimestamp": "3", "eventTime": "2"}, "4"),
        ({"series": {"lastObservedTime": None}, "lastTimestamp": "3"}, "3"),
        ({"lastTimestamp": "3", "eventTime": "2"}, "3"),
        ({"lastTimestamp": None, "eventTime": "2"}, "2"),
        ({"series": None, "lastTimestamp": None, "eventTime": None}, "1"),
    ],
)
def test_when_an_event_was_seen_last(times: dict[str, object], at: str) -> None:
    raw = {"metadata": {"name": "e", "creationTimestamp": "1"}, **times}
    found = msgspec.json.decode(json.dumps(raw), type=Event)
    assert found.at == at


def test_an_event_without_any_time() -> None:
    raw = b'{"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "uid": "u"}}'
    found = msgspec.json.decode(raw, type=Event)
    assert (found.at, found.involved_object.name, found.involved_object.uid) == ("", "p", "u")


@pytest.fixture
def _an_hour_east() -> Iterator[None]:
    with time_zone("XYZ-1"):
        yield


@pytest.mark.usefixtures("_an_hour_east")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("2026-11-22T20:00:05Z", "2026-11-22T21:00:05+01:00"),
        ("2026-11-22T23:30:00.123456Z", "2026-11-23T00:30:00+01:00"),
        ("2026-11-22T20:00:05+00:00", "2026-11-22T21:00:05+01:00"),
        ("2026-11-23T03:00:05+08:00", "2026-11-22T20:00:05+01:00"),
        ("some day", "some day"),
        ("", None),
        (None, None),
    ],
)
def test_local_time(theirs: str | None, ours: str | None) -> None:
    """The API's times become local times with their zone."""
    assert local_time(theirs) == ours
