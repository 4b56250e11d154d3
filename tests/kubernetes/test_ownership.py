"""Anybody may have written a run directory: prl-submit ends and shows only the job that belongs to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld

LIVES = "step 1 2; sleep 90"


def victim(world: KubernetesWorld) -> Path:
    run = world.submit(LIVES)
    world.wait_for(run, "RUNNING")
    return run


def lives(world: KubernetesWorld, run: Path) -> bool:
    name = json.loads((run / "run.json").read_text())["job_id"]
    found = world.cluster.api.find(world.path("pytorchjobs", name))
    pods = [pod for pod in world.pods() if "deletionTimestamp" not in pod["metadata"]]
    return bool(found) and "deletionTimestamp" not in found["metadata"] and len(pods) == 1


def forged(world: KubernetesWorld, run: Path, **changed: Any) -> Path:
    """A forged run directory, whose run.json names another run's job."""
    fake = world.output / "v66-20260101-000000"
    (fake / "logs").mkdir(parents=True)
    record = json.loads((run / "run.json").read_text())
    record.pop("directory", None)
    (fake / "run.json").write_text(json.dumps(record | changed))
    return fake


@pytest.mark.parametrize("kind", ["token", "two tokens", "selector", "job only"])
def test_a_forged_record_cancels_nothing(kube: KubernetesWorld, kind: str) -> None:
    run = victim(kube)
    token = json.loads((run / "run.json").read_text())["token"]
    changed = {
        "token": {},
        "two tokens": {"token": f"0123,{token}"},
        "selector": {"token": "a),prl-submit/token notin (b"},
        "job only": {"token": "fedcba9876543210"},
    }[kind]
    fake = forged(kube, run, **changed)
    for words in (["cancel", fake], ["resume", fake], ["cancel", fake, "--wait"]):
        done = kube.prl(*words)
        assert done.code != 0 or "its token is none" in done.out + done.err
        assert lives(kube, run), done.err
    [status] = kube.prl("status", fake, "--json").json["runs"]
    assert status["state"] != "RUNNING" or kind != "token"
    if kind == "token":
        assert str(run) in status["reason"]
        assert f"belongs to {run}" in kube.prl("cancel", fake).err
    assert kube.status(run)["state"] == "RUNNING"


@pytest.mark.parametrize("namespace", ["a/pods/../..", "%2e%2e/x", "x?watch=1", "A", ""])
def test_a_forged_namespace_is_no_part_of_a_url(kube: KubernetesWorld, namespace: str) -> None:
    run = victim(kube)
    fake = forged(kube, run, namespace=namespace)
    for words in (["status", fake], ["cancel", fake], ["logs", fake]):
        done = kube.prl(*words)
        assert "Traceback" not in done.err
    assert lives(kube, run)
    listed = kube.prl("list", "--json").json["runs"]
    assert {Path(each["path"]).name: each["state"] for each in listed}[run.name] == "RUNNING"


def test_a_copy_is_not_the_run(kube: KubernetesWorld) -> None:
    run = victim(kube)
    copy = run.with_name("v77-20260101-000000")
    shutil.copytree(run, copy)
    for verb in ("cancel", "resume"):
        done = kube.prl(verb, copy)
        assert done.code != 0
        assert str(run) in done.err
        assert lives(kube, run)
    [status] = kube.prl("status", copy, "--json").json["runs"]
    assert status["state"] == "LOST"
    assert str(run) in status["reason"]
    assert kube.status(run)["state"] == "RUNNING"
    assert kube.prl("cancel", run).code == 0
    assert kube.status(run)["state"] == "CANCELLED"


def test_a_run_that_was_renamed_is_still_itself(kube: KubernetesWorld) -> None:
    run = victim(kube)
    moved = run.with_name("v78-20260101-000000")
    run.rename(moved)
    assert kube.status(moved)["state"] == "RUNNING"
    done = kube.prl("cancel", moved)
    assert done.code == 0, done.err
    assert kube.pods() == []


def test_a_link_to_a_run_is_the_run(kube: KubernetesWorld, folder: Path) -> None:
    run = victim(kube)
    link = folder / "linked"
    link.symlink_to(kube.output)
    assert kube.status(link / run.name)["state"] == "RUNNING"
    assert kube.prl("cancel", link / run.name).code == 0
    assert kube.pods() == []


def test_a_job_without_the_annotation_belongs_to_no_run(kube: KubernetesWorld) -> None:
    run = victim(kube)
    name = json.loads((run / "run.json").read_text())["job_id"]
    note = {"annotations": {"prl-submit/run-directory": None}}
    kube.cluster.api.merge(kube.path("pytorchjobs", name), {"metadata": note})
    done = kube.prl("cancel", run)
    assert done.code != 0
    assert "names no run directory" in done.err
    assert lives(kube, run)


def test_control_characters_of_the_cluster_do_not_reach_a_terminal(kube: KubernetesWorld) -> None:
    """Control characters in events and conditions do not reach the user's terminal."""
    unscheduled = {"pod": {"spec": {"schedulerName": "nobody"}}}
    run = kube.submit(kubernetes__extra=unscheduled)
    eventually(kube.pods)
    [pod] = [pod["metadata"]["name"] for pod in kube.pods()]
    evil = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    evil["message"] = "\x1b]0;owned\x07\x1b[2Jno\x9b2J nodes\u202e"
    kube.cluster.api.merge(f"{kube.path('pods', pod)}/status", {"status": {"conditions": [evil]}})
    for words in (["status", run], ["status", run, "--json"]):
        out = kube.prl(*words).out
        assert "no nodes" in out  # without the sequence that \x9b begins
        assert not any(char in out for char in "\x1b\x07\x9b\u202e")
