"""A run of an earlier prl-submit is resumed on Kubernetes, in the cluster that its record names."""

from __future__ import annotations

import json

from tests.kubernetes.conftest import KubernetesWorld
from tests.support.old_records import old_runs, resumed


def test_an_old_run_is_resumed(kube: KubernetesWorld) -> None:
    new = json.loads((kube.submit() / "run.json").read_text())
    _, failed = old_runs(kube, "kubernetes", NAMESPACE=kube.namespace, SERVER=new["server"])
    after = resumed(kube, failed)
    place = ("context", "namespace", "server")
    assert [after[key] for key in place] == [new[key] for key in place]
    assert after["process"] is None
