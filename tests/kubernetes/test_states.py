"""What `status` shows for ten ways to end and for several ways to wait."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld

TWO = {"resources__nodes": 2}


def test_success(any_kube: KubernetesWorld) -> None:
    """A training that ends well is SUCCEEDED."""
    done = any_kube.prl(
        any_kube.spec(**any_kube.faking("echo it trains; step 1 1", {})), "--wait", "--json"
    )
    assert done.code == 0, done.err
    status = done.json
    assert status["state"] == "SUCCEEDED"
    assert (status["exit_code"], status["reason"], status["restarts"]) == (0, None, 0)
    assert status["job_id"].startswith("fake-")
    assert status["submitted_at"] <= status["started_at"] <= status["ended_at"]
    run = Path(status["path"])
    assert status["artefact"] == str(run / "pytorchjob.yaml")
    assert "it trains\n" in (run / "logs/node0.log").read_text()
    record = json.loads((run / "run.json").read_text())
    assert record["namespace"] == any_kube.namespace
    assert record["context"] == "test"


def test_exit_3(any_kube: KubernetesWorld) -> None:
    """A job's own exit code is reported."""
    done = any_kube.prl(any_kube.spec(**any_kube.faking("step 1 1; exit 3", {})), "--wait")
    assert done.code == 1
    status = any_kube.status(Path(done.out.strip()))
    assert (status["state"], status["exit_code"]) == ("FAILED", 3)
    assert status["reason"] == "torchrun exited with 3"


def test_out_of_memory(any_kube: KubernetesWorld) -> None:
    hungry = "python3 -c 'x = bytearray(400_000_000)'"
    _run, status = any_kube.run_to_end(f"step 1 1; {hungry}; exit $?", resources__memory="100M")
    assert status["state"] == "FAILED"
    assert "emory" in status["reason"]


def test_out_of_memory_of_the_whole_pod(any_kube: KubernetesWorld) -> None:
    """The kernel kills launch.sh itself, so nothing of the job can report its end."""
    hungry = 'kill -STOP $PPID; exec python3 -c "import os; os.kill(os.getppid(), 9); x = bytearray(400_000_000)"'
    _run, status = any_kube.run_to_end(hungry, resources__memory="100M")
    assert (status["state"], status["exit_code"]) == ("FAILED", 137)


def test_image_that_cannot_be_pulled(kube: KubernetesWorld) -> None:
    run = kube.submit(kubernetes__image="registry.example/missing:1")
    eventually(lambda: "cannot be pulled" in (kube.status(run)["reason"] or ""))
    status = kube.status(run)
    assert status["state"] == "QUEUED"
    assert "master-0: the image cannot be pulled" in status["reason"]
    assert "registry.example/missing:1" in status["reason"]
    eventually(lambda: "not found" in kube.status(run)["reason"])


def test_unschedulable(kube: KubernetesWorld) -> None:
    """A job that no node has room for is QUEUED, with the scheduler's reason."""
    run = kube.submit(resources__accelerator="gpu", resources__nproc_per_node=8)
    eventually(lambda: "Insufficient" in (kube.status(run)["reason"] or ""))
    status = kube.status(run)
    assert status["state"] == "QUEUED"
    assert status["reason"] == "master-0: 0/2 nodes: 2 Insufficient nvidia.com/gpu"


def test_deadline(any_kube: KubernetesWorld) -> None:
    """A job at its time limit is TIMEOUT."""
    _run, status = any_kube.run_to_end("step 1 2; sleep 60", resources__time_limit="5s")
    assert status["state"] == "TIMEOUT"
    assert "time limit" in status["reason"]


def test_waiting_for_a_node_is_not_training(kube: KubernetesWorld) -> None:
    """The time limit counts the training, not the time in the queue."""
    cordon(kube, unschedulable=True)
    try:
        run = kube.submit(resources__time_limit="4s")
        time.sleep(6)
        assert kube.status(run)["state"] == "QUEUED"
    finally:
        cordon(kube, unschedulable=False)
    assert kube.wait_for(run, "SUCCEEDED")["exit_code"] == 0


def cordon(world: KubernetesWorld, *, unschedulable: bool) -> None:
    for node in world.cluster.nodes:
        spec = {"unschedulable": unschedulable or None}
        world.cluster.api.merge(f"/api/v1/nodes/{node}", {"spec": spec})


def test_a_final_state_is_kept(kube_apart: KubernetesWorld) -> None:
    """The cluster removes jobs a week after their end; the run keeps its final state."""
    fake = kube_apart.faking("step 1 1", {})
    done = kube_apart.prl(kube_apart.spec(**fake), "--wait")
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    for job in kube_apart.items("pytorchjobs"):
        name = job["metadata"]["name"]
        kube_apart.cluster.kubectl("-n", kube_apart.namespace, "delete", "pytorchjob", name)
    kube_apart.prl("logs", run)
    assert kube_apart.status(run)["state"] == "SUCCEEDED"


def test_deleted_by_somebody_else(any_kube: KubernetesWorld) -> None:
    run = any_kube.submit("step 3 9; sleep 60")
    any_kube.wait_for(run, "RUNNING")
    name = any_kube.status(run)["job_id"]
    any_kube.cluster.kubectl("-n", any_kube.namespace, "delete", "pytorchjob", name, "--wait=true")
    status = any_kube.wait_for(run, "LOST", 60)
    assert "deleted" in status["reason"]
    assert any_kube.prl("wait", run).code == 1


def test_evicted(any_kube: KubernetesWorld) -> None:
    """A job whose pod is evicted is FAILED, with the reason."""
    run = any_kube.submit("step 1 2; sleep 60")
    any_kube.wait_for(run, "RUNNING")
    [pod] = any_kube.pods()
    any_kube.cluster.evict(any_kube.namespace, pod["metadata"]["name"])
    status = any_kube.wait_for(run, "FAILED")
    assert status["reason"] == "evicted: The node was low on resource: memory"


def test_restart_then_success(any_kube: KubernetesWorld) -> None:
    """The operator starts a pod again that ended with an exit code from 128 up, as a killed pod does."""
    fake = "[[ -e $run/checkpoint-1 ]] || { step 1 2; checkpoint 1 2; kill -9 $$; }; step 2 2"
    _run, status = any_kube.run_to_end(fake, restarts__max=2)
    assert status["state"] == "SUCCEEDED", status
    assert status["restarts"] == 1


def test_cancelled(any_kube: KubernetesWorld) -> None:
    """cancel gives the training its grace, and the job is CANCELLED."""
    run = any_kube.submit("trap 'echo saving; exit 143' TERM; step 1 2; sleep 60 & wait")
    any_kube.wait_for(run, "RUNNING")
    done = any_kube.prl("cancel", run, "--json")
    assert done.code == 0, done.err
    [status] = done.json["runs"]
    assert status["state"] == "CANCELLED"
    assert status["reason"].startswith("cancelled by ")
    assert any_kube.pods() == []
    assert any_kube.job(run) is None
    assert "saving" in (run / "logs/node0.log").read_text()
    again = any_kube.prl("cancel", run)
    assert again.code == 0
    assert "had already ended: CANCELLED" in again.err


def test_a_forged_record_cancels_nobodys_job(kube: KubernetesWorld) -> None:
    """A copied run is shown as a copy; a run.json with a forged path is not believed either."""
    run = kube.submit("step 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    forged = run.with_name("v9-20260101-000000")
    shutil.copytree(run, forged)
    record = json.loads((run / "run.json").read_text())
    for directory in (
        record["directory"],
        None,
        {"path": str(forged), "inode": forged.stat().st_ino},
    ):
        (forged / "run.json").write_text(json.dumps(record | {"directory": directory}))
        assert kube.prl("cancel", forged).code != 0
        assert kube.status(run)["state"] == "RUNNING"
    moved = run.with_name("v8-20260101-000000")
    run.rename(moved)
    assert kube.prl("cancel", forged).code != 0
    assert kube.status(moved)["state"] == "RUNNING"
    assert kube.prl("cancel", moved).code == 0
    assert kube.job(moved) is None


def test_one_of_two_nodes_fails(kube: KubernetesWorld) -> None:
    fake = "step 1 2; [[ $MASTER_ADDR ]]; [[ $NODE_RANK == 0 ]] && sleep 60 || exit 7"
    run = kube.submit(fake, **TWO)
    status = kube.wait_for(run, "FAILED", 60)
    assert status["exit_code"] == 7
    assert status["reason"].startswith("worker-0: torchrun exited with 7")


def test_no_operator(kube: KubernetesWorld) -> None:
    """A job that no operator takes is QUEUED, and the reason says so."""
    kube.cluster.stop_operator()
    run = kube.submit()
    eventually(lambda: "is the training-operator running?" in kube.status(run)["reason"])
    assert kube.status(run)["state"] == "QUEUED"
    kube.cluster.start_operator()
    kube.wait_for(run, "SUCCEEDED")


def test_suspended_and_resumed(kube: KubernetesWorld) -> None:
    """Kueue's webhook suspends jobs that have its label."""
    run = kube.submit(
        kubernetes__queue="team-a", kubernetes__extra={"spec": {"runPolicy": {"suspend": True}}}
    )
    status = kube.wait_for(run, "QUEUED")
    assert status["reason"] == "waits in Kueue's queue team-a"
    name = status["job_id"]
    kube.cluster.api.merge(
        kube.path("pytorchjobs", name), {"spec": {"runPolicy": {"suspend": False}}}
    )
    kube.wait_for(run, "SUCCEEDED")


def test_another_cluster_of_that_name(kube: KubernetesWorld) -> None:
    """Contexts of different clusters often have the same name: `default`, `kubernetes-admin@kubernetes`."""
    run = kube.submit("step 1 2; checkpoint 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    eventually(lambda: (run / "checkpoint-1" / "rng_state.pth").exists())
    record = json.loads((run / "run.json").read_text())
    kube.cluster.kubectl("-n", kube.namespace, "delete", "pytorchjob", record["job_id"])
    (run / "exit.json").unlink(missing_ok=True)
    (run / "run.json").write_text(json.dumps(record | {"server": "https://other.example:6443"}))
    kube.status(run)
    time.sleep(11)  # longer than a job may be missing
    done = kube.prl("status", run, "--json")
    [status] = done.json["runs"]
    assert (done.code, status["state"]) == (4, "RUNNING")
    assert "and the job is at https://other.example:6443" in status["reason"]
    refused = kube.prl("resume", run)
    assert refused.code != 0
    assert kube.items("pytorchjobs") == []


def test_rights_that_were_taken_away_end_the_waiting(kube: KubernetesWorld) -> None:
    run = kube.submit("step 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    account = kube.cluster.service_account(kube.namespace, "nobody", [])
    for words in (["wait", run], ["logs", run, "-f"]):
        done = kube.finish(kube.start(*words, KUBECONFIG=str(account)), 30)
        assert done.code == 4, done.err
        assert "may not list pytorchjobs.kubeflow.org" in done.err


def test_cause_of_death_with_restarts(kube: KubernetesWorld) -> None:
    run = kube.submit("step 1 2; exit 130", restarts__max=1)
    status = kube.wait_for(run, "FAILED", 40)
    words = "torchrun exited with 130: ended by SIGINT from outside; restarts.max is 1, and used up"
    assert status["reason"].startswith(words)
    assert status["restarts"] == 1


def test_cluster_down(kube: KubernetesWorld) -> None:
    """Without an answer the last known state is shown, and the exit code is 4."""
    run = kube.submit("step 1 2; sleep 60")
    kube.wait_for(run, "RUNNING")
    kube.cluster.stop_api()
    done = kube.prl("status", run, "--json")
    assert done.code == 4
    [status] = done.json["runs"]
    assert status["state"] == "RUNNING"
    assert status["reason"].startswith("as last known: Kubernetes at https://127.0.0.1:")
    assert "does not answer" in done.err
    refused = kube.prl(kube.spec())
    assert refused.code == 4
    assert refused.out == ""
    assert len(list(kube.output.glob("v*"))) == 1
    kube.cluster.start_api()
    assert kube.status(run)["state"] == "RUNNING"
