"""Names and labels of a run's PyTorchJob and pods."""

from __future__ import annotations

import re

import pytest

from prl_submit.backends.kubernetes.labels import job_name, labels, node_of, replica

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mr", "mr-01234567"),
        ("mr-4gpu", "mr-4gpu-01234567"),
        ("7b", "j7b-01234567"),
        ("1", "j1-01234567"),
        ("a" * 40, f"{'a' * 40}-01234567"),
        ("0" * 40, f"j{'0' * 40}-01234567"),
    ],
)
def test_job_name(name: str, expected: str) -> None:
    """A job's name is a valid DNS label, also with the operator's longest suffix."""
    assert job_name(name, TOKEN) == expected
    service = f"{expected}-worker-9998"  # as the operator makes them
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", service)


def test_labels() -> None:
    assert labels("7b", TOKEN) == {
        "app.kubernetes.io/name": "7b",
        "app.kubernetes.io/instance": "j7b-01234567",
        "app.kubernetes.io/component": "training",
        "app.kubernetes.io/managed-by": "prl-submit",
        "prl-submit/token": TOKEN,
    }


@pytest.mark.parametrize(
    ("node", "name"), [(0, "master-0"), (1, "worker-0"), (2, "worker-1"), (16, "worker-15")]
)
def test_replica_and_back(node: int, name: str) -> None:
    assert replica(node) == name
    kind, index = name.split("-")
    for spelt in (kind, kind.capitalize()):  # operators before 1.5 wrote it otherwise
        pod = {
            "training.kubeflow.org/replica-type": spelt,
            "training.kubeflow.org/replica-index": index,
        }
        assert node_of(pod) == node


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"training.kubeflow.org/replica-type": "worker"},
        {"training.kubeflow.org/replica-index": "x"},
        {"training.kubeflow.org/replica-index": "-1"},
        {"training.kubeflow.org/replica-index": ""},
    ],
)
def test_a_pod_that_the_operator_did_not_create(labels: dict[str, str]) -> None:
    assert node_of(labels) is None
