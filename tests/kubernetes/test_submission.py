"""Submitting: refused before anything is created, created once, and found again whatever is killed meanwhile."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld


def refused(world: KubernetesWorld, code: int = 1, **over: Any) -> str:
    """The message of a refused submission; nothing is left here or in the cluster."""
    before = len(world.items("pytorchjobs"))
    done = world.prl(world.spec(**over))
    assert done.code == code, done.err
    assert done.out == ""
    assert list(world.output.glob("v*")) == []
    assert len(world.items("pytorchjobs")) == before
    return done.err


def test_dry_run_and_render_are_what_is_sent(kube: KubernetesWorld) -> None:
    spec = kube.spec(**kube.faking("step 1 1", {}))
    rendered = kube.prl("render", spec).out
    assert rendered == kube.prl(spec, "--dry-run").out
    assert kube.items("pytorchjobs") == []
    run = kube.submit()
    token = json.loads((run / "run.json").read_text())["token"]
    sent = (run / "pytorchjob.yaml").read_text(encoding="utf-8").replace(token, "0" * 16)
    sent = sent.replace(token[:8], "0" * 8).replace(run.name, "RUN")
    assert sent == re.sub(r"vNN-YYYYMMDD-HHMMSS", "RUN", rendered)


def test_kubectl_creates_what_render_prints(kube: KubernetesWorld) -> None:
    manifest = kube.prl("render", kube.spec(**kube.faking("step 1 1", {}))).out
    kube.cluster.kubectl(
        "-n", kube.namespace, "create", "--validate=false", "-f", "-", stdin=manifest
    )

    def has_succeeded() -> bool:
        [job] = kube.items("pytorchjobs")
        conditions = job.get("status", {}).get("conditions", [])
        return any(c["type"] == "Succeeded" and c["status"] == "True" for c in conditions)

    eventually(has_succeeded, 30)


def test_no_such_namespace(kube: KubernetesWorld) -> None:
    said = refused(kube, kubernetes__namespace="nowhere")
    assert "kubernetes.namespace: there is no namespace nowhere" in said
    assert "hint: kubectl create namespace nowhere" in said


def test_no_such_context(kube: KubernetesWorld) -> None:
    said = refused(kube, 4, kubernetes__context="prod")
    assert "kubeconfig has no context 'prod'; it has: test" in said


def test_no_kubeconfig(kube: KubernetesWorld) -> None:
    """Without a kubeconfig nothing is submitted: exit code 4."""
    kube.environ["KUBECONFIG"] = str(kube.root / "none")
    assert "no Kubernetes cluster is configured here" in refused(kube, 4)


def test_quota_of_one_pod(kube: KubernetesWorld) -> None:
    quota(kube, {"requests.nvidia.com/gpu": "4"})
    gpus: dict[str, Any] = {"resources__accelerator": "gpu", "resources__nproc_per_node": 8}
    said = refused(kube, **gpus)
    assert "quota small of the namespace is exceeded" in said
    assert "requested requests.nvidia.com/gpu=8, used requests.nvidia.com/gpu=0, hard" in said


def test_quota_of_all_pods(kube: KubernetesWorld) -> None:
    quota(kube, {"requests.nvidia.com/gpu": "4"})
    said = refused(
        kube,
        resources__accelerator="gpu",
        resources__nproc_per_node=4,
        resources__nodes=2,
        swift__num_generations=2,
    )
    assert "requested requests.nvidia.com/gpu=8, used requests.nvidia.com/gpu=0, hard" in said


def quota(world: KubernetesWorld, hard: dict[str, str]) -> None:
    path = world.path("resourcequotas")
    world.cluster.api.create(path, {"metadata": {"name": "small"}, "spec": {"hard": hard}})

    def is_counted() -> bool:
        return bool(world.cluster.api.get(f"{path}/small").get("status", {}).get("used"))

    eventually(is_counted)


def test_unknown_service_account(kube: KubernetesWorld) -> None:
    said = refused(kube, kubernetes__service_account="nobody")
    assert "kubernetes.service_account: " in said
    assert "nobody" in said


def test_unknown_priority_class(kube: KubernetesWorld) -> None:
    said = refused(kube, kubernetes__priority_class="urgent")
    assert "kubernetes.priority_class: " in said
    assert "no PriorityClass with name urgent was found" in said


def test_wrong_extra(kube: KubernetesWorld) -> None:
    """A wrong value in kubernetes.extra is refused with its key."""
    said = refused(kube, kubernetes__extra={"spec": {"runPolicy": {"backoffLimit": "many"}}})
    assert "spec.runPolicy.backoffLimit" in said


def test_unauthorized(kube: KubernetesWorld) -> None:
    """An expired token is refused in plain words."""
    kube.cluster.write_kubeconfig(kube.kubeconfig, kube.namespace, {"token": "old"})
    said = refused(kube)
    assert "the cluster does not know who you are (401 Unauthorized)" in said


def test_no_operator_installed(kube: KubernetesWorld) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    name = "pytorchjobs.kubeflow.org"
    definition = kube.cluster.api.get(f"{definitions}/{name}")
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
        definition["metadata"].pop(key, None)
    definition.pop("status", None)
    kube.cluster.api.delete(f"{definitions}/{name}")
    try:
        eventually(lambda: kube.cluster.api.find(f"{definitions}/{name}") is None)
        done = kube.prl(kube.spec())
    finally:
        kube.cluster.api.create(definitions, definition)
        eventually(lambda: is_served(kube))
    assert done.code == 1
    assert "the cluster knows no PyTorchJobs (kubeflow.org/v1)" in done.err
    assert "hint: install the training operator" in done.err


def is_served(world: KubernetesWorld) -> bool:
    try:
        world.items("pytorchjobs")
    except Exception:
        return False
    return True


def test_check_online_makes_nothing(kube: KubernetesWorld) -> None:
    done = kube.prl("check", kube.spec(), "--online")
    assert done.code == 0, done.err
    assert f"Kubernetes would take it: namespace {kube.namespace} of test" in done.out + done.err
    assert kube.items("pytorchjobs") == []
    assert kube.pods() == []
    assert kube.prl("check", kube.spec(kubernetes__namespace="nowhere"), "--online").code == 1


def test_spec_without_what_a_pod_needs(kube: KubernetesWorld) -> None:
    said = refused(
        kube, 2, kubernetes__image=None, kubernetes__volumes=[], environment__secrets=["HF_TOKEN"]
    )
    assert "image is not set" in said
    assert "needs kubernetes.secret" in said
    assert "no volume keeps the outputs" in said


SECRET = "hf_verySecretValue123"


def test_secret_is_in_the_container_and_nowhere_else(any_kube: KubernetesWorld) -> None:
    world = any_kube
    value = base64.b64encode(SECRET.encode()).decode()
    secret = {"metadata": {"name": "keys"}, "data": {"HF_TOKEN": value}}
    world.cluster.api.create(world.path("secrets"), secret)
    # The value is in the submitter's environment too, as it is with many users.
    spec = world.spec(
        **world.faking("step 1 1; sha256sum <<<$HF_TOKEN >$run/seen; exec sleep 30", {}),
        environment__secrets=["HF_TOKEN"],
        kubernetes__secret="keys",
    )
    done = world.prl(spec, HF_TOKEN=SECRET)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    there = world.volume / run.name
    eventually(lambda: (there / "seen").exists() and (there / "seen").stat().st_size > 0, 30)
    wanted = hashlib.sha256(f"{SECRET}\n".encode()).hexdigest()
    assert (there / "seen").read_text() == f"{wanted}  -\n"
    for kind in ("pytorchjobs", "pods", "events"):
        text = world.cluster.kubectl("-n", world.namespace, "get", kind, "-o", "yaml").stdout
        assert SECRET not in text
        assert value not in text
    for file in [*run.rglob("*"), *there.rglob("*")]:
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_ctrl_c_while_the_server_does_not_answer(kube: KubernetesWorld) -> None:
    kube.cluster.pause_api()
    process = kube.start(kube.spec())
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    done = kube.finish(process)
    kube.cluster.continue_api()
    assert done.code == 130
    assert "nothing was submitted" in done.err
    assert list(kube.output.glob("v*")) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.3, 0.4])
def test_killed_at_any_instant(kube: KubernetesWorld, seconds: float) -> None:
    """Either there is no job, and the run is LOST or not listed, or `status` finds the job."""
    kube.cluster.stop_operator()
    process = kube.start(kube.spec(**kube.faking("step 1 1", {})))
    eventually(lambda: list(kube.output.glob("v*")) or process.poll() is not None)
    time.sleep(seconds)
    process.kill()
    process.wait()
    jobs = kube.items("pytorchjobs")
    listed = kube.prl("list", "--json").json["runs"]
    assert len(jobs) <= 1
    if jobs:
        [run] = listed
        assert run["state"] == "QUEUED"
        assert run["job_id"] == jobs[0]["metadata"]["name"]
    else:
        assert all(run["job_id"] is None for run in listed)


def test_answer_that_is_lost(kube: KubernetesWorld) -> None:
    """The server creates the job and dies before it answers: there is one job, and the command continues."""
    from tests.kubernetes.proxy import dropping

    with dropping(kube.kubeconfig, "POST /apis/kubeflow.org/", after=1) as dropped:
        run = kube.submit()
    assert dropped.count == 1
    assert len(kube.items("pytorchjobs")) == 1
    kube.wait_for(run, "SUCCEEDED")


def test_answer_that_is_lost_and_a_quota_that_it_filled(kube: KubernetesWorld) -> None:
    """The server refuses the second try because the first one filled the quota."""
    from tests.kubernetes.proxy import dropping

    quota(kube, {"count/pytorchjobs.kubeflow.org": "1"})
    with dropping(kube.kubeconfig, "POST /apis/kubeflow.org/", after=1) as dropped:
        run = kube.submit()
    assert dropped.count == 1
    assert len(kube.items("pytorchjobs")) == 1
    kube.wait_for(run, "SUCCEEDED")


def test_folder_that_may_not_be_given_away(kube: KubernetesWorld) -> None:
    """Root without the right to give files away, or on a file server that does not trust root."""
    argv = ["setpriv", "--bounding-set=-chown", sys.executable, "-m", "prl_submit", kube.spec()]
    done = kube.finish(kube.popen(argv))
    assert done.code == 0, done.err
    assert "cannot be given to uid 1000, as which the pods run" in done.err
    assert len(kube.items("pytorchjobs")) == 1


def test_two_at_once(kube: KubernetesWorld) -> None:
    processes = [kube.start(kube.spec(f"{i}.yaml", name=f"job{i}")) for i in range(4)]
    runs = [kube.finish(process).out.strip() for process in processes]
    assert len(set(runs)) == 4
    assert len(kube.items("pytorchjobs")) == 4


def test_one_list_for_many_runs(kube: KubernetesWorld) -> None:
    from tests.kubernetes.proxy import counting

    for number in range(3):
        kube.submit("step 1 2; sleep 60", name=f"n{number}")
    for run in kube.output.glob("v*"):
        kube.wait_for(run, "RUNNING")
    with counting(kube.kubeconfig) as requests:
        assert len(kube.prl("status", "--json").json["runs"]) == 3
    assert [line.split("?")[0] for line in requests] == [
        f"GET /apis/kubeflow.org/v1/namespaces/{kube.namespace}/pytorchjobs"
    ]


def test_resume(kube: KubernetesWorld) -> None:
    """resume makes a new PyTorchJob that continues from the last checkpoint."""
    run, status = kube.run_to_end("step 1 2; checkpoint 1 2; exit 3")
    assert status["state"] == "FAILED"
    first = status["job_id"]
    done = kube.prl("resume", run, "--wait")
    assert done.code == 1
    assert "continues from checkpoint-1" in done.err
    status = kube.status(run)
    assert status["restarts"] == 1
    assert status["job_id"] != first
    words = (run / "argv").read_bytes().split(b"\0")
    at = words.index(b"--resume_from_checkpoint")
    assert words[at + 1] == str(run / "checkpoint-1").encode()
