"""The stand-in for the training operator. No node takes the pods; the tests write their status."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tools.clusters.kubernetes import KubernetesCluster
from tools.clusters.kubernetes_stand_ins.api import ApiError, Object
from tools.clusters.processes import wait_until

LABEL = "training.kubeflow.org/"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesCluster]:
    with KubernetesCluster.start(tmp_path_factory.mktemp("k")) as found:
        yield found


@pytest.fixture
def job(cluster: KubernetesCluster) -> Job:
    cluster.start_operator(old=False)
    return Job(cluster)


@pytest.fixture
def old_job(cluster: KubernetesCluster) -> Job:
    cluster.start_operator(old=True)
    return Job(cluster)


class Job:
    """A job in a namespace of its own."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self.api = cluster.api
        self.namespace = cluster.new_namespace()
        self.parts = f"/api/v1/namespaces/{self.namespace}"
        self.all = f"/apis/kubeflow.org/v1/namespaces/{self.namespace}/pytorchjobs"
        self.path = f"{self.all}/train"

    def create(
        self,
        *,
        workers: int = 0,
        restart: str = "Never",
        template: Object | None = None,
        spec: Object | None = None,
        **policy: Any,
    ) -> None:
        """Create the job. `policy`: its runPolicy. `template`: metadata of its pods."""
        container = {
            "name": "pytorch",
            "image": "image",
            "env": [{"name": "MINE", "value": "1"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        }
        body = {"containers": [container], "nodeSelector": {"node": "none"}}
        replica = {
            "replicas": 1,
            "restartPolicy": restart,
            "template": {"metadata": {"labels": {"mine": "1"}} | (template or {}), "spec": body},
        }
        replicas = {"Master": replica}
        if workers:
            replicas["Worker"] = replica | {"replicas": workers}
        self.api.create(
            self.all,
            {
                "apiVersion": "kubeflow.org/v1",
                "kind": "PyTorchJob",
                "metadata": {"name": "train"},
                "spec": {"runPolicy": policy, "pytorchReplicaSpecs": replicas} | (spec or {}),
            },
        )

    @property
    def status(self) -> Object:
        """The status that the operator wrote."""
        found = self.api.find(self.path) or {}
        status: Object = found.get("status", {})
        return status

    def conditions(self, value: str = "True") -> dict[str, str]:
        """The types and reasons of its conditions."""
        found = self.status.get("conditions", [])
        return {one["type"]: one["reason"] for one in found if one["status"] == value}

    def message(self, kind: str) -> str:
        """The message of a condition."""
        found = {one["type"]: one["message"] for one in self.status["conditions"]}
        return str(found[kind])

    def names(self, plural: str = "pods") -> list[str]:
        """The names of its pods or services."""
        found = self.api.get(f"{self.parts}/{plural}")["items"]
        return sorted(one["metadata"]["name"] for one in found)

    def pod(self, name: str = "train-master-0") -> Any:
        """A pod; None if it does not exist."""
        return self.api.find(f"{self.parts}/pods/{name}")

    def uid(self, name: str = "train-master-0") -> str:
        """The uid of a pod; empty if it does not exist."""
        found = self.pod(name)
        return str(found["metadata"]["uid"]) if found else ""

    def environment(self, name: str) -> list[tuple[str, str]]:
        """The environment of a pod's container."""
        container = self.pod(name)["spec"]["containers"][0]
        return [(one["name"], one["value"]) for one in container["env"]]

    def become(
        self, phase: str, name: str = "train-master-0", code: int | None = None, restarts: int = 0
    ) -> None:
        """Write a pod's status."""
        state: Object = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {"name": "pytorch", "image": "image", "imageID": "image", "ready": False}
        container |= {"state": state, "restartCount": restarts}
        status: Object = {"phase": phase, "containerStatuses": [container]}
        if phase == "Failed" and code is None:
            status = {"phase": phase, "reason": "Evicted", "containerStatuses": []}
        self.api.merge(f"{self.parts}/pods/{name}/status", {"status": status})

    def wait_for(self, kind: str, value: str = "True") -> None:
        """Wait for a condition."""
        wait_until(lambda: kind in self.conditions(value), f"{kind} is {value}", 10)

    def wait_pods(self, *names: str) -> None:
        """Wait until there are exactly these pods."""
        wait_until(lambda: self.names() == sorted(names), f"pods {names}", 10)

    def events(self) -> set[tuple[str, str]]:
        """The reasons and messages of the events about the job."""
        found = self.api.get(f"{self.parts}/events")["items"]
        return {
            (one["reason"], one["message"])
            for one in found
            if one["involvedObject"].get("uid") == self.api.get(self.path)["metadata"]["uid"]
        }

    def wait_event(self, reason: str, text: str = "") -> None:
        """Wait for an event about the job with this text in its message."""
        wait_until(
            lambda: any(one == reason and text in said for one, said in self.events()),
            f"event {reason} {text}",
            10,
        )

    def touch(self) -> None:
        """Change the job, so that the operator looks at it again."""
        note = {"annotations": {"touched": str(time.monotonic())}}
        self.api.merge(self.path, {"metadata": note})


def test_a_job_runs_and_succeeds(job: Job) -> None:
    job.create(workers=2)
    names = ["train-master-0", "train-worker-0", "train-worker-1"]
    job.wait_pods(*names)
    wait_until(lambda: job.names("services") == names, "services", 10)
    job.wait_for("Created")
    for name in names:
        job.become("Running", name)
    job.wait_for("Running")
    wait_until(
        lambda: job.status["replicaStatuses"]["Worker"].get("active") == 2, "workers run", 10
    )
    assert job.status["replicaStatuses"]["Worker"]["selector"] == (
        f"{LABEL}job-name=train,{LABEL}operator-name=pytorchjob-controller,"
        f"{LABEL}replica-type=worker"
    )
    job.become("Succeeded", code=0)
    job.wait_for("Succeeded")
    assert job.conditions() == {"Created": "PyTorchJobCreated", "Succeeded": "PyTorchJobSucceeded"}
    assert job.conditions("False") == {"Running": "PyTorchJobRunning"}
    assert job.message("Succeeded") == "PyTorchJob train is successfully completed."
    assert {"startTime", "completionTime"} <= job.status.keys()
    # The workers run on, and the operator counts them as succeeded.
    wait_until(
        lambda: job.status["replicaStatuses"]["Worker"].get("succeeded") == 2, "workers done", 10
    )
    assert job.names() == names
    assert {reason for reason, _ in job.events()} >= {
        "SuccessfulCreatePod",
        "SuccessfulCreateService",
        "PyTorchJobSucceeded",
        "ExitedWithCode",
    }


def test_what_pods_look_like(job: Job) -> None:
    job.create(workers=1, restart="ExitCode", spec={"nprocPerNode": "4"})
    job.wait_pods("train-master-0", "train-worker-0")
    master, worker = job.pod(), job.pod("train-worker-0")
    assert master["metadata"]["labels"] == {
        "mine": "1",
        LABEL + "job-name": "train",
        LABEL + "operator-name": "pytorchjob-controller",
        LABEL + "replica-type": "master",
        LABEL + "replica-index": "0",
        LABEL + "job-role": "master",
    }
    (owner,) = master["metadata"]["ownerReferences"]
    assert owner["controller"]
    assert owner["blockOwnerDeletion"]
    assert master["spec"]["restartPolicy"] == "Never"
    assert "initContainers" not in master["spec"]
    assert "train-master-0" in worker["spec"]["initContainers"][0]["command"][2]
    assert job.environment("train-worker-0") == [
        ("MINE", "1"),
        ("PYTHONUNBUFFERED", "1"),
        ("MASTER_PORT", "23456"),
        ("PET_MASTER_PORT", "23456"),
        ("MASTER_ADDR", "train-master-0"),
        ("PET_MASTER_ADDR", "train-master-0"),
        ("WORLD_SIZE", "8"),
        ("RANK", "1"),
        ("PET_NODE_RANK", "1"),
        ("PET_NPROC_PER_NODE", "4"),
        ("PET_NNODES", "2"),
    ]


def test_old_environment_and_reasons(old_job: Job) -> None:
    old_job.create(workers=1, suspend=True)
    old_job.wait_pods("train-master-0", "train-worker-0")
    assert old_job.environment("train-master-0") == [
        ("MINE", "1"),
        ("PYTHONUNBUFFERED", "0"),
        ("MASTER_PORT", "23456"),
        ("MASTER_ADDR", "train-master-0"),
        ("WORLD_SIZE", "2"),
        ("RANK", "0"),
    ]
    old_job.become("Failed", code=1)
    old_job.wait_for("Failed")
    assert old_job.conditions() == {"Created": "PyTorchJobCreated", "Failed": "JobFailed"}
    assert "completionTime" not in old_job.status


def test_old_permanent_failure_restarts_for_ever(old_job: Job) -> None:
    old_job.create(restart="ExitCode")
    old_job.wait_pods("train-master-0")
    uid = old_job.uid()
    old_job.become("Failed", code=1)
    old_job.wait_for("Restarting")
    assert old_job.uid() == uid
    assert "Failed" not in old_job.conditions()


def test_never_fails_at_once(job: Job) -> None:
    job.create(cleanPodPolicy="Running", workers=1)
    job.wait_pods("train-master-0", "train-worker-0")
    job.become("Failed", code=3)
    job.wait_for("Failed")
    assert job.message("Failed") == "PyTorchJob train is failed because 1 Master replica(s) failed."
    assert "completionTime" in job.status
    job.wait_pods("train-master-0")
    job.wait_event("ExitedWithCode", f"Pod: {job.namespace}.train-master-0 exited with code 3")


def test_exit_codes(job: Job) -> None:
    """Under ExitCode a pod with a code from 128 up is made again; a lower code fails the job."""
    job.create(restart="ExitCode", backoffLimit=3)
    job.wait_pods("train-master-0")
    for code in (137, 128, None):
        job.become("Running")
        job.wait_for("Running")
        uid = job.uid()
        job.become("Failed", code=code)
        job.wait_for("Restarting")
        wait_until(lambda uid=uid: job.uid() not in ("", uid), "a new pod", 10)  # type: ignore[misc]
    job.become("Failed", code=127)
    job.wait_for("Failed")
    assert job.message("Failed") == 'job "train" is failing because "Master" replica(s) failed.'
    assert "completionTime" not in job.status


def test_a_pod_that_somebody_deletes_is_made_again(job: Job) -> None:
    job.create(restart="OnFailure")
    job.wait_pods("train-master-0")
    uid = job.uid()
    job.api.delete(f"{job.parts}/pods/train-master-0")
    wait_until(lambda: job.uid() not in ("", uid), "a new pod", 10)
    assert job.pod()["spec"]["restartPolicy"] == "OnFailure"


def test_a_pod_that_is_being_deleted_has_failed_though_it_runs(job: Job) -> None:
    job.create(template={"finalizers": ["test.example/hold"]})
    job.wait_pods("train-master-0")
    job.become("Running")
    job.wait_for("Running")
    job.api.delete(f"{job.parts}/pods/train-master-0")
    job.wait_for("Failed")
    assert job.message("Failed") == "PyTorchJob train is failed because 1 Master replica(s) failed."
    assert job.pod()["status"]["phase"] == "Running"
    job.api.merge(f"{job.parts}/pods/train-master-0", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(("limit", "restarts"), [(0, 1), (2, 2)])
def test_restarts_of_containers_reach_the_limit(job: Job, limit: int, restarts: int) -> None:
    job.create(restart="OnFailure", backoffLimit=limit)
    job.wait_pods("train-master-0")
    job.become("Running", restarts=restarts - 1)
    job.wait_for("Running")
    job.become("Running", restarts=restarts)
    job.wait_for("Failed")
    text = "Job train has failed because it has reached the specified backoff limit"
    assert job.message("Failed") == text
    job.touch()
    job.wait_event("PyTorchJobFailed", text)
    assert job.names() == ["train-master-0"]  # cleanPodPolicy is None


def test_the_limit_removes_the_pods_where_the_policy_says_so(job: Job) -> None:
    job.create(restart="OnFailure", backoffLimit=1, cleanPodPolicy="All")
    job.wait_pods("train-master-0")
    job.become("Running", restarts=1)
    job.wait_for("Failed")
    job.wait_pods()


def test_the_deadline_is_seen_when_something_happens(job: Job) -> None:
    job.create(activeDeadlineSeconds=5)  # later than it runs, also on a busy machine
    job.wait_pods("train-master-0")
    job.become("Running")
    job.wait_for("Running")
    time.sleep(5.5)
    assert "Failed" not in job.conditions()
    job.touch()
    job.wait_for("Failed")
    text = "Job train has failed because it was active longer than specified deadline"
    assert job.message("Failed") == text
    assert "completionTime" in job.status
    assert job.names() == ["train-master-0"]


def test_suspend_and_resume(job: Job) -> None:
    job.create(suspend=True)
    job.wait_for("Suspended")
    assert job.names() == []
    assert "startTime" not in job.status
    for turn in range(2):
        job.api.merge(job.path, {"spec": {"runPolicy": {"suspend": False}}})
        job.wait_for("Suspended", "False")
        job.wait_pods("train-master-0")
        assert "startTime" in job.status
        job.become("Running")
        job.wait_for("Running")
        if turn == 0:
            job.api.merge(job.path, {"spec": {"runPolicy": {"suspend": True}}})
            job.wait_for("Suspended")
            assert job.conditions("False")["Running"] == "PyTorchJobSuspended"
            job.wait_pods()
            assert job.names("services") == []
    assert job.conditions("False") == {"Suspended": "PyTorchJobResumed"}


def test_deletion_in_the_foreground(job: Job) -> None:
    job.create(workers=1, template={"finalizers": ["test.example/hold"]})
    job.wait_pods("train-master-0", "train-worker-0")
    job.api.delete(job.path, {"propagationPolicy": "Foreground"})
    wait_until(
        lambda: all("deletionTimestamp" in job.pod(name)["metadata"] for name in job.names()),
        "pods end",
        10,
    )
    assert job.api.find(job.path)
    for name in job.names():
        with contextlib.suppress(ApiError):
            job.api.merge(f"{job.parts}/pods/{name}", {"metadata": {"finalizers": None}})
    wait_until(lambda: not job.api.find(job.path), "the job is gone", 10)
    assert job.names() == []


def test_a_quota_refuses_pods(job: Job) -> None:
    hard = {"pods": "1"}
    job.api.create(
        f"{job.parts}/resourcequotas", {"metadata": {"name": "small"}, "spec": {"hard": hard}}
    )
    wait_until(
        lambda: job.api.get(f"{job.parts}/resourcequotas/small").get("status", {}).get("hard"),
        "the quota counts",
        10,
    )
    job.create(workers=1)
    job.wait_event("FailedCreatePod", "exceeded quota: small")
    assert job.names() == ["train-master-0"]
    assert job.status == {}  # nothing is written before all pods are there
    job.api.delete(f"{job.parts}/resourcequotas/small")
    job.wait_pods("train-master-0", "train-worker-0")
    job.wait_for("Created")


def test_time_to_live(job: Job) -> None:
    job.create(ttlSecondsAfterFinished=1)
    job.wait_pods("train-master-0")
    job.become("Succeeded", code=0)
    job.wait_for("Succeeded")
    wait_until(lambda: not job.api.find(job.path), "the job is gone", 10)
    job.wait_pods()


def test_a_job_that_failed_for_good_with_restarts_outlives_its_time_to_live(job: Job) -> None:
    """The operator logs `job completion time is nil, cannot cleanup` for ever."""
    job.create(restart="ExitCode", ttlSecondsAfterFinished=1)
    job.wait_pods("train-master-0")
    job.become("Failed", code=1)
    job.wait_for("Failed")
    time.sleep(3)
    job.touch()
    time.sleep(1)
    assert "completionTime" not in job.status
    assert job.names() == ["train-master-0"]


def test_clean_all(job: Job) -> None:
    """cleanPodPolicy All removes all pods and services at the end."""
    job.create(cleanPodPolicy="All")
    job.wait_pods("train-master-0")
    job.become("Succeeded", code=0)
    job.wait_for("Succeeded")
    job.wait_pods()
    wait_until(lambda: job.names("services") == [], "its services are gone", 10)


def test_it_outlives_the_api_server(cluster: KubernetesCluster, job: Job) -> None:
    job.create()
    job.wait_pods("train-master-0")
    cluster.stop_api()
    cluster.start_api()
    job.become("Running")
    job.wait_for("Running")
