"""Sweeps, and runs that wait, on a real API server: each job once, whatever stops the submission half-way."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from prl_submit.backends.kubernetes.states import MISSING_S
from prl_submit.backends.waiting.queue_file import read_queue
from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld
from tests.kubernetes.proxy import counting, dying
from tests.kubernetes.test_submission import quota

CREATE = "POST /apis/kubeflow.org/v1/namespaces/{}/pytorchjobs?fieldManager=prl-submit&fieldValidation=Strict"


def sweep(world: KubernetesWorld, count: int, fake: str = "step 1 1", **over: Any) -> Path:
    """A spec with so many runs."""
    grid = {"grid": {"swift.seed": list(range(1, count + 1))}, **over.pop("sweep", {})}
    return world.spec("lr.yaml", name="lr", sweep=grid, **world.faking(fake, over))


def records(world: KubernetesWorld) -> list[dict[str, Any]]:
    """run.json of each run."""
    paths = world.output.glob("v*/run.json")
    return [json.loads(path.read_text()) for path in sorted(paths)]


def assert_each_once(world: KubernetesWorld, count: int) -> None:
    """There are so many jobs, each of another run, and each of those runs knows its job."""
    jobs = {job["metadata"]["name"] for job in world.items("pytorchjobs")}
    known = Counter(record["job_id"] for record in records(world) if record["job_id"])
    assert len(jobs) == count
    assert known == Counter(jobs)


def test_many_jobs_are_created_and_deleted(kube: KubernetesWorld) -> None:
    kube.cluster.stop_operator()
    with counting(kube.kubeconfig) as requests:
        done = kube.prl(sweep(kube, 12))
    assert done.code == 0, done.err
    assert_each_once(kube, 12)
    kinds = Counter(line.partition("?")[0].split("/")[-1] for line in requests)
    assert kinds == {"pytorchjobs": 13, "pods": 1}, "one of all is asked about first"
    with counting(kube.kubeconfig) as requests:
        assert len(kube.prl("status", "lr", "--json").json["runs"]) == 12
    assert sum("/pytorchjobs" in line for line in requests) == 1
    done = kube.prl("cancel", "lr")
    assert done.code == 0, done.err
    assert kube.items("pytorchjobs") == []
    assert set(kube.states().values()) == {"CANCELLED"}


def test_a_quota_that_is_reached_half_way(kube: KubernetesWorld) -> None:
    kube.cluster.stop_operator()
    quota(kube, {"count/pytorchjobs.kubeflow.org": "5"})
    done = kube.prl(sweep(kube, 8))
    assert done.code == 1
    assert "quota small of the namespace is exceeded" in done.err
    assert "5 of 8 runs of lr were submitted" in done.err, done.err
    assert "`prl-submit resume lr` submits the rest" in done.err
    assert_each_once(kube, 5)
    reasons = [run["reason"] for run in kube.prl("status", "lr", "--json").json["runs"]]
    assert sum((reason or "").startswith("not submitted") for reason in reasons) == 3
    again = kube.prl("resume", "lr")
    assert again.code == 1, "the quota is still full"
    assert_each_once(kube, 5)
    path = kube.path("resourcequotas", "small")
    kube.cluster.api.merge(path, {"spec": {"hard": {"count/pytorchjobs.kubeflow.org": "8"}}})
    eventually(lambda: kube.prl("resume", "lr").code == 0, 120)
    assert_each_once(kube, 8)


def test_a_spec_that_is_refused_leaves_nothing(kube: KubernetesWorld) -> None:
    done = kube.prl(sweep(kube, 3, kubernetes__service_account="nobody"))
    assert done.code == 1
    assert "kubernetes.service_account: " in done.err
    assert list(kube.output.glob("v*")) == []
    assert list(kube.output.glob("sweeps/*")) == []
    assert kube.items("pytorchjobs") == []


def test_an_api_server_that_goes_half_way(kube: KubernetesWorld) -> None:
    """The user presses Ctrl-C at last. Then `resume` finds out which jobs there are, and submits the rest."""
    kube.cluster.stop_operator()
    with dying(kube.kubeconfig, CREATE.format(kube.namespace), after=4) as dropped:
        process = kube.start(sweep(kube, 20))
        eventually(lambda: dropped.count, 30)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        done = kube.finish(process)
        dropped.is_over = True
        assert done.code == 130
        assert "resume lr" in done.err
        in_doubt = [not record["is_waiting"] and not record["job_id"] for record in records(kube)]
        assert 0 < sum(in_doubt) <= 8, "at most those that were under way"
        known = sum(bool(record["job_id"]) for record in records(kube))
        assert (
            f"interrupted: {known} of 20 runs of lr were submitted, and of {sum(in_doubt)} more it "
            "is not known yet; what was submitted goes on\n"
        ) in done.err
        assert any(record["is_waiting"] for record in records(kube)), (
            "no further creation was begun"
        )
        assert kube.prl("status", "lr").code == 0
        time.sleep(MISSING_S + 0.5)  # until then a job whose creation is in doubt is not LOST
        done = kube.prl("resume", "lr")
        assert done.code == 0, done.err
        assert_each_once(kube, 20)


def test_a_sweep_that_is_cancelled_while_it_is_submitted(kube: KubernetesWorld) -> None:
    """Each run has a job, or it is cancelled and never gets one."""
    kube.cluster.stop_operator()
    process = kube.start(sweep(kube, 24))
    eventually(lambda: any(record["job_id"] for record in records(kube)), 30)
    kube.prl("cancel", "lr")  # it fails for those that are just being created
    done = kube.finish(process)
    assert done.code == 0, done.err
    jobs = {job["metadata"]["name"] for job in kube.items("pytorchjobs")}
    runs = kube.prl("status", "lr", "--json").json["runs"]
    assert jobs == {run["job_id"] for run in runs if run["state"] != "CANCELLED"}
    never = [run for run in runs if run["reason"] == "cancelled by root; it was not submitted"]
    assert (f"; {len(never)} of them cancelled meanwhile" in done.err) == bool(never)


def reasons(kube: KubernetesWorld) -> list[str]:
    return [run["reason"] for run in kube.prl("status", "lr", "--json").json["runs"]]


def test_max_parallel_by_the_waiting_queue(kube: KubernetesWorld) -> None:
    """The queue is killed meanwhile; `resume` goes on."""
    fake = "until [[ -e $run/../go ]]; do sleep 0.1; done; step 1 1"
    done = kube.prl(sweep(kube, 4, fake, sweep={"max_parallel": 2}))
    assert done.code == 0, done.err
    words = 'waiting for its turn (max_parallel 2): 2 of 4 runs of the sweep "lr" are running'
    eventually(lambda: words in reasons(kube), 30)
    assert len(kube.items("pytorchjobs")) == 2
    (folder,) = kube.output.glob("sweeps/lr-*")
    queue = read_queue(folder)
    assert queue is not None
    os.kill(queue.process.pid, signal.SIGKILL)
    (kube.volume / "go").touch()
    eventually(lambda: set(kube.states().values()) == {"LOST", "SUCCEEDED"}, 40)
    done = kube.prl("resume", "lr")
    assert done.code == 0, done.err
    assert kube.prl("wait", "lr").code == 0
    assert_each_once(kube, 4)


@pytest.mark.parametrize("ends", ["step 1 1", "exit 3"])
def test_after_another_run(any_kube: KubernetesWorld, ends: str) -> None:
    world = any_kube
    first = world.submit(f"until [[ -e $run/go ]]; do sleep 0.1; done; {ends}")
    number = first.name.partition("-")[0]
    second = world.submit("echo I am second; step 1 1", "--after", number)
    assert world.status(second)["reason"] == f"waiting for {number}"
    assert len(world.items("pytorchjobs")) == 1
    follower = world.start("logs", second, "-f")
    world.wait_for(first, "RUNNING")
    (world.volume / first.name / "go").touch()
    done = world.finish(follower)
    if ends == "exit 3":
        assert done.code == 1
        assert world.status(second)["reason"] == f"{number} FAILED, so it never started"
        assert len(world.items("pytorchjobs")) == 1
        return
    assert done.code == 0
    assert "I am second" in done.out
