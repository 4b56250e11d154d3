"""Jobs that end slowly: `status` shows no end while a process lives, and never changes an end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.conftest import SlurmWorld
from tools.clusters.slurm import SlurmCluster

Eventually = Callable[..., None]
ENDS = {"SUCCEEDED", "FAILED", "CANCELLED", "TIMEOUT", "LOST"}
#: Hears nothing, and goes on for some seconds after it was told to end.
DEAF = "trap '' TERM; step 1 9; sleep 300 & wait"


def status(world: SlurmWorld) -> dict[str, Any]:
    (found,) = world.prl("status", "latest", "--json").json["runs"]
    return dict(found)


def job_of(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["job_id"])


def reasons(found: dict[str, Any]) -> list[str | None]:
    """The reasons in a status: that of the run, and those of its attempts."""
    return [each.get("reason") for each in (found, *found["attempts"])]


def without_reasons(found: dict[str, Any]) -> dict[str, Any]:
    """The rest of a status."""
    attempts = [{**attempt, "reason": None} for attempt in found["attempts"]]
    return {**found, "reason": None, "attempts": attempts}


def watched(world: SlurmWorld, run: Path) -> dict[str, Any]:
    """Ask `status` until it shows an end. verdict.json must not exist before, and no process after."""
    while True:
        found = status(world)
        left = world.alive(str(run))
        if found["state"] in ENDS:
            assert not left, (found, left)
            again = status(world)
            assert without_reasons(again) == without_reasons(found)
            # Accounting may come to know who cancelled the job.
            for before, after in zip(reasons(found), reasons(again), strict=True):
                if after != before:
                    assert before == "cancelled by scancel", (found, again)
                    assert str(after).startswith("cancelled by "), (found, again)
            return again
        assert not (run / "verdict.json").exists(), found


@pytest.mark.parametrize("how", ["cancel", "scancel", "kill"])
def test_a_job_that_ignores_sigterm(
    any_slurm: SlurmWorld, eventually: Eventually, how: str
) -> None:
    """Slurm gives it KillWait, five seconds here, and kills it."""
    run = any_slurm.submit(DEAF, restarts__grace="1s")
    eventually(lambda: status(any_slurm)["step"] == 1, timeout=30)
    if how == "cancel":
        assert any_slurm.prl("cancel", "latest").code == 0
    elif how == "scancel":
        any_slurm.cluster.run("scancel", job_of(run))
    else:
        any_slurm.cluster.run("scancel", "--signal=KILL", job_of(run))
    found = watched(any_slurm, run)
    assert found["state"] == "CANCELLED", found


def test_a_slow_requeue(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Between the two attempts `status` shows no end."""
    fake = f"[[ $PRL_SUBMIT_RESTARTS == 0 ]] || {{ step 9 9; exit 0; }}; {DEAF}"
    run = slurm.submit(fake, restarts__max=1, restarts__grace="1s")
    eventually(lambda: status(slurm)["step"] == 1, timeout=30)
    slurm.cluster.run("scontrol", "requeue", job_of(run))
    found = watched(slurm, run)
    assert (found["state"], found["restarts"]) == ("SUCCEEDED", 1), found


def test_exit_json_while_slurm_still_ends_the_job(
    tmp_path: Path, new_cluster: Callable[..., SlurmCluster]
) -> None:
    """exit.json is written, and the node's epilog takes some seconds more."""
    epilog = tmp_path / "epilog"
    epilog.write_text("#!/bin/sh\nsleep 4\n")
    epilog.chmod(0o755)
    world = SlurmWorld(tmp_path / "w", new_cluster(nodes=1, conf_extra=f"Epilog={epilog}"))
    try:
        run = world.submit("step 1 1")
        seen = []
        while status(world)["state"] not in ENDS:
            seen.append((status(world)["reason"], (run / "exit.json").exists()))
        told = "ended as SUCCEEDED; Slurm has not let go of its node yet"
        assert (told, True) in seen
        assert status(world)["state"] == "SUCCEEDED"
    finally:
        world.close()


def test_a_node_that_slurm_cannot_reach_and_that_lives(
    tmp_path: Path, new_cluster: Callable[..., SlurmCluster], eventually: Eventually
) -> None:
    """slurmd is gone and the training lives; its exit.json tells the end."""
    cluster = new_cluster(nodes=2, slurmd_timeout=2, message_timeout=2)
    world = SlurmWorld(tmp_path, cluster)
    try:
        fake = "step 1 2; until [[ -e go ]]; do sleep 0.2; done; step 2 2"
        run = world.submit(fake, slurm__nodelist="node2")
        eventually(lambda: status(world)["step"] == 1, timeout=30)
        daemon = cluster._daemons.pop("slurmd.node2")
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
        told = "Slurm says NODE_FAIL, but processes of the run are still alive"
        eventually(lambda: status(world)["reason"] == told, timeout=30)
        assert status(world)["state"] == "RUNNING"
        assert not (run / "verdict.json").exists()
        (tmp_path / "go").touch()
        found = watched(world, run)
        assert (found["state"], found["step"]) == ("SUCCEEDED", 2), found
    finally:
        world.close()


def test_started_by_hand_after_a_cancel(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Slurm's state is that of the job before, not of this start."""
    run = slurm.submit("step 1 2; sleep 300")
    eventually(lambda: status(slurm)["step"] == 1, timeout=30)
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    assert status(slurm)["state"] == "CANCELLED"
    fake = "step 2 2; until [[ -e go ]]; do sleep 0.2; done"
    by_hand = slurm.popen(["bash", run / "launch.sh"], FAKE=fake)
    eventually(lambda: status(slurm)["step"] == 2, timeout=30)
    assert status(slurm)["state"] == "RUNNING"
    (slurm.root / "go").touch()
    assert slurm.finish(by_hand).code == 0
    found = status(slurm)
    assert (found["state"], found["reason"]) == (
        "SUCCEEDED",
        f"started by hand when job {job_of(run)} had ended",
    )


def test_submitted_by_hand_after_a_cancel(slurm: SlurmWorld, eventually: Eventually) -> None:
    """cancel.json was about the earlier job."""
    run = slurm.submit("step 1 2; sleep 300")
    eventually(lambda: status(slurm)["step"] == 1, timeout=30)
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    environ = slurm.environ | {"FAKE": "step 2 2; sleep 2"}
    subprocess.run(["sbatch", run / "job.sbatch"], env=environ, check=True, capture_output=True)
    eventually(lambda: status(slurm)["step"] == 2, timeout=30)
    assert status(slurm)["reason"] != "being cancelled"
    assert slurm.prl("wait", "latest").code == 0
    assert (status(slurm)["state"], status(slurm)["reason"]) == ("SUCCEEDED", None)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_why_a_job_that_ran_out_of_time_is_not_started_again(
    slurm: SlurmWorld, eventually: Eventually, checkpoint: bool
) -> None:
    """No checkpoint to go on from, or no restart left."""
    saved = "checkpoint 1 9; " if checkpoint else ""
    over = {"resources__time_limit": "60s", "restarts__grace": "58s", "restarts__max": 1}
    run = slurm.submit(f"{saved}step 1 9; sleep 300", **over)
    if checkpoint:
        eventually(lambda: (run / "checkpoint-1" / "rng_state.pth").exists(), timeout=30)
        slurm.cluster.run("scontrol", "requeue", job_of(run))
    assert slurm.finish(slurm.start("wait", "latest"), timeout=180).code == 1
    why = (
        "restarts.max is 1, and used up" if checkpoint else "it has no checkpoint yet to go on from"
    )
    found = status(slurm)
    assert found["state"] == "TIMEOUT", found
    assert found["reason"].endswith(f"; not started again: {why}"), found
