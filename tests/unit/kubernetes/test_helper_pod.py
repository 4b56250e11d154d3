"""The manifest of the helper pod, through which `collect` reads a job's volumes."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from prl_submit.backends.kubernetes.helper_pod import helper_pod

Data = dict[str, Any]


def job(*volumes: Data, container: Data | None = None, **spec: Any) -> Data:
    """A PyTorchJob with these volumes beside its own, each mounted at its name."""
    own: list[Data] = [
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "prl-submit", "downwardAPI": {"items": []}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in [*own, *volumes]]
    original: Data = {
        "name": "pytorch",
        "image": "img:1",
        "command": ["bash"],
        "env": [{"name": "HF_TOKEN"}],
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
        "ports": [{"containerPort": 23456}],
        "volumeMounts": mounts,
        **(container or {}),
    }
    template = {"spec": {"containers": [original], "volumes": [*own, *volumes], **spec}}
    return {
        "metadata": {"name": "mr-01234567", "labels": {"app.kubernetes.io/name": "mr"}},
        "spec": {"pytorchReplicaSpecs": {"Master": {"template": template}}},
    }


WORK = {"name": "work", "persistentVolumeClaim": {"claimName": "work"}}
DISK = {"name": "disk", "hostPath": {"path": "/disk"}}


def test_it_only_sleeps() -> None:
    """The helper pod runs `sleep` and nothing else."""
    made = helper_pod(job(WORK), None)
    assert (made["apiVersion"], made["kind"]) == ("v1", "Pod")
    spec = made["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["terminationGracePeriodSeconds"] == 0
    [container] = spec["containers"]
    assert container == {
        "name": "pytorch",
        "image": "img:1",
        "command": ["sleep", "3600"],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    assert spec["volumes"] == [WORK]


def test_its_name_and_labels() -> None:
    """No label selector of the operator, of a queue, or of prl-submit's lists may match it."""
    first, second = (helper_pod(job(WORK), None)["metadata"] for _ in range(2))
    assert re.fullmatch(r"mr-01234567-collect-[0-9a-f]{6}", first["name"])
    assert first["name"] != second["name"]
    assert first["labels"] == {
        "app.kubernetes.io/name": "mr",
        "app.kubernetes.io/component": "collect",
        "app.kubernetes.io/managed-by": "prl-submit",
    }
    assert first["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_what_it_keeps_of_the_jobs_pods_and_what_not() -> None:
    kept: Data = {
        "securityContext": {"runAsUser": 1000},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccountName": "trainer",
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"pool": "gpu"},
    }
    dropped: Data = {
        "priorityClassName": "high",
        "affinity": {"nodeAffinity": {}},
        "schedulerName": "volcano",
        "terminationGracePeriodSeconds": 300,
        "activeDeadlineSeconds": 60,
    }
    spec = helper_pod(job(WORK, **kept, **dropped), None)["spec"]
    assert {key: spec.get(key) for key in kept} == kept
    assert not {"priorityClassName", "affinity", "schedulerName"} & spec.keys()
    assert spec["activeDeadlineSeconds"] == 3600


def test_the_containers_security_context() -> None:
    context = {"allowPrivilegeEscalation": False}
    made = helper_pod(job(WORK, container={"securityContext": context}), None)
    assert made["spec"]["containers"][0]["securityContext"] == context


@pytest.mark.parametrize(
    ("volumes", "node", "selector"),
    [
        ([DISK], "n3", {"kubernetes.io/hostname": "n3"}),
        ([WORK, DISK], "n3", {"kubernetes.io/hostname": "n3"}),
        ([DISK], None, None),
        ([WORK], "n3", None),
    ],
)
def test_a_host_path_needs_its_node(
    volumes: list[Data], node: str | None, selector: Data | None
) -> None:
    assert helper_pod(job(*volumes), node)["spec"].get("nodeSelector") == selector


def test_a_job_without_volumes() -> None:
    bare = job()
    template = bare["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]
    del template["volumes"], template["containers"][0]["volumeMounts"]
    spec = helper_pod(bare, None)["spec"]
    assert (spec["volumes"], spec["containers"][0]["volumeMounts"]) == ([], [])


def test_the_job_stays_as_it_is() -> None:
    original = job(WORK, DISK, affinity={}, nodeSelector={"a": "b"})
    before = copy.deepcopy(original)
    helper_pod(original, "n3")
    assert original == before
