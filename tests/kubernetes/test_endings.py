"""Trainings that end slowly: `status` shows no end too early, then the right one, and never changes it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prl_submit.runs.states import FINISHED
from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld

#: Saves for six seconds after SIGTERM, and leaves a file when it has.
SLOW = """
trap 'for i in 1 2 3 4 5 6; do echo saving $i; sleep 1; done; touch $run/ended${NODE_RANK:-0}; exit 143' TERM
step 1 9; touch $run/trains${NODE_RANK:-0}; sleep 90 & wait"""
GRACE = {"restarts__grace": "30s"}
TWO: dict[str, Any] = {"resources__nodes": 2, "swift__num_generations": 2}
Remove = Callable[[KubernetesWorld, Path, str], None]


def start_slow(world: KubernetesWorld, fake: str = SLOW, **over: Any) -> Path:
    """A job that trains."""
    run = world.submit(fake, **GRACE | over)
    world.wait_for(run, "RUNNING")
    nodes = over.get("resources__nodes", 1)
    eventually(lambda: all((inside(world, run) / f"trains{n}").exists() for n in range(nodes)), 30)
    return run


def inside(world: KubernetesWorld, run: Path) -> Path:
    """The run directory as the pods see it."""
    return world.volume / run.name


def pod_of(run: Path, replica: str = "master-0") -> str:
    return f"{json.loads((run / 'run.json').read_text())['job_id']}-{replica}"


def delete_pod(world: KubernetesWorld, run: Path, replica: str = "master-0") -> None:
    pod = pod_of(run, replica)
    world.cluster.kubectl("-n", world.namespace, "delete", "pod", "--wait=false", pod)


def evict_by_api(world: KubernetesWorld, run: Path, replica: str = "master-0") -> None:
    """Evict the pod through the API, as `kubectl drain` does."""
    pod = pod_of(run, replica)
    body = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": world.namespace},
    }
    world.cluster.api.create(f"{world.path('pods', pod)}/eviction", body)


def preempt(world: KubernetesWorld, run: Path, replica: str = "master-0") -> None:
    world.cluster.preempt(world.namespace, pod_of(run, replica))


def observe(world: KubernetesWorld, run: Path, *nodes: int) -> list[dict[str, Any]]:
    """Ask `status` until the run has ended, and a while longer. It must show one end, and not before the processes ended."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + 150
    while not seen or seen[-1]["state"] not in FINISHED:
        assert time.monotonic() < deadline, seen[-1]
        seen.append(world.status(run))
    for node in nodes or (0,):
        assert (inside(world, run) / f"ended{node}").exists(), seen[-1]
    assert (run / "verdict.json").exists()
    for _ in range(3):
        time.sleep(0.5)
        assert world.status(run) == seen[-1]
    return seen


@pytest.mark.parametrize(
    ("remove", "who"),
    [
        (delete_pod, "node drained, preempted, or deleted by somebody"),
        (evict_by_api, "node drained, preempted, or deleted by somebody"),
        (preempt, "preempted by a job of higher priority"),
    ],
)
def test_its_pod_is_removed(any_kube: KubernetesWorld, remove: Remove, who: str) -> None:
    world = any_kube
    run = start_slow(world)
    waiter, follower = world.start("wait", run, "--json"), world.start("logs", run, "-f")
    time.sleep(1)
    remove(world, run, "master-0")
    eventually(lambda: world.job(run)["status"]["conditions"][-1]["type"] == "Failed")
    *before, last = observe(world, run)
    assert {status["state"] for status in before} == {"RUNNING"}
    assert any((status["reason"] or "").startswith(f"being removed: {who}") for status in before)
    assert last["state"] == "FAILED"
    assert last["exit_code"] == 143
    assert last["reason"].startswith(
        f"stopped by signal 15 while training (its pod was told to end: {who}"
    )
    assert last["reason"].endswith("; restarts.max: 1 would start it again)")
    waited, followed = world.finish(waiter), world.finish(follower)
    assert (waited.code, followed.code) == (1, 1)
    assert waited.json["runs"] == [last]
    assert re.findall(r"^saving (\d)$", followed.out, re.MULTILINE) == list("123456")
    assert "saving 6" in (run / "logs/node0.log").read_text()


def test_first_status_after_the_pod_is_gone(any_kube: KubernetesWorld) -> None:
    """Without the volume, the API server still has the deleted pod's termination message for some minutes."""
    world = any_kube
    run = start_slow(world)
    delete_pod(world, run)
    eventually(lambda: world.pods() == [], 30)
    [last] = observe(world, run)
    assert (last["state"], last["exit_code"]) == ("FAILED", 143)
    assert last["reason"].startswith("stopped by signal 15 while training (its pod was told to end")


def test_one_of_two_pods_is_removed(kube_apart: KubernetesWorld) -> None:
    world = kube_apart
    run = start_slow(world, **TWO)
    delete_pod(world, run, "worker-0")
    *_, last = observe(world, run, 0, 1)
    assert last["state"] == "FAILED"
    assert last["reason"].startswith("worker-0: stopped by signal 15 while training (its pod was")


def test_a_deleted_job_whose_pods_end_slowly(any_kube: KubernetesWorld) -> None:
    """`kubectl delete pytorchjob` removes the job at once and its pods in the background."""
    world = any_kube
    run = start_slow(world)
    job = world.status(run)["job_id"]
    world.cluster.kubectl("-n", world.namespace, "delete", "pytorchjob", job, "--wait=false")
    eventually(lambda: world.job(run) is None)
    first = status = world.status(run)
    while status["state"] not in FINISHED:
        status = world.status(run)
        assert status["state"] == "RUNNING" or (inside(world, run) / "ended0").exists()
    assert first["reason"].startswith(
        "the PyTorchJob is gone: somebody deleted it; being removed: "
    )
    assert status["state"] == "LOST"
    assert "deleted" in status["reason"]


def test_a_pod_that_ends_slowly_at_its_deadline(kube: KubernetesWorld) -> None:
    """The kubelet sets the phase Failed when the deadline passes, and the container ends later."""
    fake = SLOW.replace("for i in 1 2 3 4 5 6", "for i in 1 2 3 4 5 6 7 8 9")
    extra = {"pod": {"spec": {"activeDeadlineSeconds": 8}}}
    run = start_slow(kube, fake, kubernetes__extra=extra)
    *_, last = observe(kube, run)
    assert last["state"] == "TIMEOUT"


def test_cancelling_while_it_is_being_removed(any_kube: KubernetesWorld) -> None:
    world = any_kube
    run = start_slow(world)
    delete_pod(world, run)
    eventually(lambda: "being removed" in (world.status(run)["reason"] or ""))
    done = world.prl("cancel", run)
    assert done.code == 0, done.err
    assert world.status(run)["state"] == "CANCELLED"
    assert world.pods() == []


def test_resuming_while_it_is_being_removed(kube: KubernetesWorld) -> None:
    fake = f"""
    if [[ " $* " == *" --resume_from_checkpoint "* ]]; then [[ -e $run/ended0 ]] && step 2 2; exit; fi
    step 1 2; checkpoint 1 2; {SLOW}"""
    run = start_slow(kube, fake)
    delete_pod(kube, run)
    eventually(lambda: "being removed" in (kube.status(run)["reason"] or ""))
    done = kube.prl("resume", run, "--wait")
    assert done.code == 0, done.err
    assert kube.status(run)["state"] == "SUCCEEDED"


def test_a_kubelet_that_does_not_answer(kube: KubernetesWorld) -> None:
    """The training may go on while its node cannot be reached."""
    run = start_slow(kube)
    kube.cluster.stop_kubelet()
    delete_pod(kube, run)
    eventually(lambda: kube.job(run)["status"]["conditions"][-1]["type"] == "Failed")
    for _ in range(5):
        status = kube.status(run)
        assert status["state"] == "RUNNING"
        assert status["reason"].startswith("being removed: ")
        time.sleep(0.5)
    kube.cluster.start_kubelet()
    *_, last = observe(kube, run)
    assert last["reason"].startswith("stopped by signal 15 while training")


def test_restarts_go_on_after_a_slow_end(any_kube: KubernetesWorld) -> None:
    fake = f"[[ -e $run/ended0 ]] && {{ step 2 2; exit; }}; step 1 2; checkpoint 1 2; {SLOW}"
    run = start_slow(any_kube, fake, restarts__max=1)
    delete_pod(any_kube, run)
    states = []
    while not (inside(any_kube, run) / "ended0").exists():
        states.append(any_kube.status(run)["state"])
    assert set(states[:-1]) == {"RUNNING"}
    assert any_kube.wait_for(run, "SUCCEEDED", 60)["restarts"] == 1


def test_cancelled_and_slow_to_end(any_kube: KubernetesWorld) -> None:
    run = start_slow(any_kube)
    canceller = any_kube.start("cancel", run)
    while not (inside(any_kube, run) / "ended0").exists():
        before = any_kube.status(run)["state"]
        ended = (inside(any_kube, run) / "ended0").exists()
        assert ended or before == "RUNNING"
    assert any_kube.finish(canceller).code == 0
    assert any_kube.status(run)["state"] == "CANCELLED"
