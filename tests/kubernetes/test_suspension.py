"""Kueue suspends a job for another one and admits it again; restarts.max does not count that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld

QUEUE = {"kubernetes__queue": "team-a", "restarts__grace": "20s"}
#: Saves a checkpoint for the attempt, then trains for ever, slow to end; the attempt LAST comes to its end.
FAKE = """
n=$PRL_SUBMIT_RESTARTS
if ((n == LAST)); then ((${NODE_RANK:-0})) || step 9 9; exit; fi
trap 'echo saving; sleep 3; exit 143' TERM
step $((n + 1)) 9; checkpoint $((n + 1)) 9
sleep 90 & wait"""


def suspend(world: KubernetesWorld, run: Path, *, suspended: bool) -> None:
    name = world.status(run)["job_id"]
    spec = {"runPolicy": {"suspend": suspended}}
    world.cluster.api.merge(world.path("pytorchjobs", name), {"spec": spec})


def trains(world: KubernetesWorld, run: Path, attempt: int) -> None:
    folder = world.volume / run.name
    eventually(lambda: (folder / f"checkpoint-{attempt + 1}" / "rng_state.pth").exists(), 30)


def preempt(world: KubernetesWorld, run: Path) -> None:
    """Preempt as Kueue does: suspend the job until others have ended, then admit it again."""
    suspend(world, run, suspended=True)
    seen = [world.status(run)]
    while seen[-1]["state"] == "RUNNING":
        seen.append(world.status(run))
    why = "being removed: Kueue has suspended the job (queue team-a)"
    assert any(why in (each["reason"] or "") for each in seen), seen
    assert seen[-1]["state"] == "QUEUED"
    eventually(lambda: world.pods() == [], 30)
    assert world.status(run)["reason"] == "waits in Kueue's queue team-a"
    suspend(world, run, suspended=False)


@pytest.mark.parametrize("most", [0, 1])
def test_a_job_that_is_admitted_again_goes_on(any_kube: KubernetesWorld, most: int) -> None:
    world = any_kube
    run = world.submit(FAKE.replace("LAST", "2"), restarts__max=most, **QUEUE)
    for attempt in range(2):
        trains(world, run, attempt)
        preempt(world, run)
    status = world.wait_for(run, "SUCCEEDED", 60)
    assert status["restarts"] == 2
    words = (world.volume / run.name / "argv").read_bytes().decode().split("\0")
    assert words[words.index("--resume_from_checkpoint") + 1].endswith("/checkpoint-2")


def test_its_failures_are_counted_all_the_same(kube: KubernetesWorld) -> None:
    fake = FAKE.replace("LAST", "9").replace("sleep 90 &", "((n == 0)) || kill -9 $$; sleep 90 &")
    run = kube.submit(fake, restarts__max=1, **QUEUE)
    trains(kube, run, 0)
    preempt(kube, run)
    status = kube.wait_for(run, "FAILED", 60)
    assert "restarts.max is 1, and used up" in status["reason"]
    assert status["restarts"] == 2


def test_two_nodes_are_admitted_again(kube: KubernetesWorld) -> None:
    two: dict[str, Any] = {"resources__nodes": 2, "swift__num_generations": 2}
    fake = FAKE.replace("LAST", "1").replace(
        "checkpoint $((n + 1)) 9", "touch $run/trains$NODE_RANK"
    )
    run = kube.submit(fake, **QUEUE, **two)
    eventually(lambda: all((run / f"trains{node}").exists() for node in (0, 1)), 30)
    preempt(kube, run)
    status = kube.wait_for(run, "SUCCEEDED", 90)
    assert status["restarts"] == 1
