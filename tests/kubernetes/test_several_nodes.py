"""Several nodes restart together, from one checkpoint, at most restarts.max times."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld

#: Node 0 listens as torchrun does; the workers are there when they have connected.
MEET = """
if ((NODE_RANK)); then
  echo here >"$run/came$NODE_RANK.$PRL_SUBMIT_RESTARTS"
else
  python -c 'import socket, sys, time
listener = socket.create_server(("", int(sys.argv[1])))
time.sleep(100)' "$MASTER_PORT" & listener=$!
  until [[ -e $run/came1.$PRL_SUBMIT_RESTARTS ]]; do sleep 0.1; done
fi
"""
#: The first attempt trains for ever, the second comes to its end.
TWICE = f"""{MEET}
if [[ $PRL_SUBMIT_RESTARTS == 0 ]]; then
  ((NODE_RANK)) || {{ step 1 2; checkpoint 1 2; cp "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_0.pth
    mv "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_1.pth; }}
  sleep 90
else
  ((NODE_RANK)) || {{ kill $listener; step 2 2; }}
fi
"""
TWO = {"resources__nodes": 2, "swift__num_generations": 2}


def pod_of(world: KubernetesWorld, replica: str) -> str:
    [name] = [
        pod["metadata"]["name"] for pod in world.pods() if pod["metadata"]["name"].endswith(replica)
    ]
    return str(name)


def argv_of(world: KubernetesWorld, run: Path) -> list[str]:
    return (world.volume / run.name / "argv").read_bytes().decode().split("\0")


def test_one_lost_worker_is_one_restart(any_kube: KubernetesWorld) -> None:
    """A drained node: the operator creates its pod again, and node 0 restarts once with it."""
    world = any_kube
    run = world.submit(TWICE, restarts__max=1, **TWO)
    world.wait_for(run, "RUNNING")
    eventually(lambda: (world.volume / run.name / "checkpoint-1" / "rng_state_1.pth").exists())
    world.cluster.kubectl(
        "-n", world.namespace, "delete", "pod", "--wait=false", pod_of(world, "worker-0")
    )
    status = world.wait_for(run, "SUCCEEDED", 90)
    assert status["restarts"] == 1
    words = argv_of(world, run)
    assert words[words.index("--resume_from_checkpoint") + 1] == str(run / "checkpoint-1")


def test_a_lost_master_is_one_restart(kube: KubernetesWorld) -> None:
    run = kube.submit(TWICE, restarts__max=1, **TWO)
    kube.wait_for(run, "RUNNING")
    eventually(lambda: (run / "checkpoint-1" / "rng_state_1.pth").exists())
    kube.cluster.kubectl(
        "-n", kube.namespace, "delete", "pod", "--wait=false", pod_of(kube, "master-0")
    )
    status = kube.wait_for(run, "SUCCEEDED", 90)
    assert status["restarts"] == 1


def test_time_limit_of_each_attempt(kube: KubernetesWorld) -> None:
    run = kube.submit(TWICE, restarts__max=1, resources__time_limit="12s", **TWO)
    status = kube.wait_for(run, "SUCCEEDED", 120)
    assert status["restarts"] == 1


def test_a_fault_of_its_own_is_not_tried_again(kube: KubernetesWorld) -> None:
    fake = f"{MEET}\n((NODE_RANK)) && {{ sleep 1; exit 3; }}; sleep 90"
    run = kube.submit(fake, restarts__max=2, **TWO)
    status = kube.wait_for(run, "FAILED", 60)
    assert status["reason"].startswith("worker-0: torchrun exited with 3")
    assert status["restarts"] == 0


def test_pods_that_still_run_after_the_end_can_be_cancelled(kube: KubernetesWorld) -> None:
    """A killed container tells the others nothing, so they keep their GPUs."""
    run = kube.submit("trap '' TERM; while :; do sleep 0.1; done", **TWO)
    kube.wait_for(run, "RUNNING")
    kube.cluster.evict(kube.namespace, pod_of(kube, "worker-0"))
    status = kube.wait_for(run, "FAILED", 60)
    assert status["reason"].startswith("worker-0: evicted")
    assert "master-0 still running; `prl-submit cancel` ends that too" in status["reason"]
    done = kube.prl("cancel", run)
    assert done.code == 0, done.err
    assert "had already ended: FAILED" in done.err
    assert kube.pods() == []
    assert kube.status(run)["state"] == "FAILED"


def test_resume_ends_pods_that_still_run(kube: KubernetesWorld) -> None:
    fake = """
    if [[ " $* " == *" --resume_from_checkpoint "* ]]; then ((NODE_RANK)) || step 2 2; exit; fi
    ((NODE_RANK)) && sleep 90
    step 1 2; checkpoint 1 2; cp "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_0.pth
    mv "$run"/checkpoint-1/rng_state.pth "$run"/checkpoint-1/rng_state_1.pth; sleep 90"""
    run = kube.submit(fake, **TWO)
    kube.wait_for(run, "RUNNING")
    eventually(lambda: (run / "checkpoint-1" / "rng_state_1.pth").exists())
    kube.cluster.evict(kube.namespace, pod_of(kube, "worker-0"))
    kube.wait_for(run, "FAILED", 60)
    done = kube.prl("resume", run, "--wait")
    assert done.code == 0, done.err
    assert kube.status(run)["state"] == "SUCCEEDED"
    assert json.loads((run / "exit.json").read_text())["restarts"] == 1
