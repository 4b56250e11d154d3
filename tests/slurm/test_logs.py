"""logs -f on Slurm: it waits, follows all nodes, continues after a requeue, and returns the result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.slurm.conftest import SlurmWorld

Eventually = Callable[..., None]
NODE = "echo line of node $NODE_RANK"


def job_of(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["job_id"])


def test_follow_from_the_queue_to_the_end(slurm: SlurmWorld, eventually: Eventually) -> None:
    """It says why the job waits, then shows both nodes' lines with the node's name, then returns the result."""
    run = slurm.submit(
        f"{NODE}; sleep 1; [[ $NODE_RANK == 0 ]] || exit 4; step 1 1; sleep 300",
        resources__nodes=2,
        slurm__extra={"hold": True},
    )
    err = slurm.root / "err"
    with err.open("wb") as file:
        words = [sys.executable, "-m", "prl_submit", "logs", "latest", "-f"]
        follower = subprocess.Popen(
            words, cwd=slurm.root, env=slurm.environ, stdout=subprocess.PIPE, stderr=file
        )
        eventually(lambda: "held; `scontrol release` lets it go (JobHeldUser)" in err.read_text())
        slurm.cluster.run("scontrol", "release", job_of(run))
        out = follower.communicate(timeout=60)[0].decode()
    assert "[node0] line of node 0\n" in out
    assert "[node1] line of node 1\n" in out
    assert follower.returncode == 1
    assert "FAILED, step 1/1: node 1 (" in err.read_text()
    assert "torchrun exited with 4" in err.read_text()


def test_one_node_alone(slurm: SlurmWorld) -> None:
    done = slurm.prl(
        slurm.spec(resources__nodes=2), "--wait", FAKE=f"{NODE}; [[ $NODE_RANK == 1 ]] || step 1 1"
    )
    assert done.code == 0, done.err
    one = slurm.prl("logs", "latest", "--node", "1")
    assert "\nline of node 1\n" in one.out
    assert "line of node 0" not in one.out
    none = slurm.prl("logs", "latest", "--node", "2")
    assert (none.code, "has no node 2; it has 0 to 1" in none.err) == (2, True)


def test_follow_survives_a_requeue(slurm: SlurmWorld, eventually: Eventually) -> None:
    fake = (
        "echo attempt $PRL_SUBMIT_RESTARTS; step 1 1; [[ $PRL_SUBMIT_RESTARTS == 1 ]] || sleep 300"
    )
    run = slurm.submit(fake, restarts__max=1)
    follower = slurm.start("logs", "latest", "-f")
    log = run / "logs" / "node0.log"
    eventually(lambda: log.exists() and "\nattempt 0\n" in log.read_text(), timeout=30)
    slurm.cluster.run("scontrol", "requeue", job_of(run))
    done = slurm.finish(follower, timeout=90)
    assert done.code == 0, done.err
    for attempt in (0, 1):
        assert done.out.count(f"\nattempt {attempt}\n") == 1
    assert "QUEUED, step 1/1: restart 1 of 1" in done.err


def test_follow_goes_on_while_slurm_is_silent(slurm: SlurmWorld, eventually: Eventually) -> None:
    """slurmctld is restarted meanwhile: no line is lost, and the run is never shown as LOST."""
    run = slurm.submit("echo before; sleep 8; echo after; step 1 1")
    follower = slurm.start("logs", "latest", "-f")
    log = run / "logs" / "node0.log"
    eventually(lambda: log.exists() and "\nbefore\n" in log.read_text(), timeout=30)
    slurm.cluster.stop_controller()
    eventually(lambda: "\nafter\n" in log.read_text(), timeout=30)
    slurm.cluster.start_controller()
    done = slurm.finish(follower, timeout=90)
    assert done.code == 0, done.err
    assert done.out.count("\nafter\n") == 1


def test_the_log_of_slurm_where_the_job_never_began(slurm: SlurmWorld) -> None:
    """launch.sh was removed: the job fails, and `logs` and `status` show the message."""
    run = slurm.submit("step 1 1", slurm__extra={"hold": True})
    (run / "launch.sh").unlink()
    slurm.cluster.run("scontrol", "release", job_of(run))
    assert slurm.prl("wait", "latest").code == 1
    words = "'output' must be on a file system that all nodes share"
    assert words in slurm.prl("logs", "latest").out
    (status,) = slurm.prl("status", "latest", "--json").json["runs"]
    assert (status["state"], status["exit_code"]) == ("FAILED", 78)
    assert words in status["reason"]
