"""Eight ends of jobs, shown in the same way with accounting and without, and the states before."""

from __future__ import annotations

import getpass
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.conftest import SlurmWorld
from tools.clusters.slurm_configuration import cgroups_allow

Eventually = Callable[..., None]
FIRST_TIME = "[[ $PRL_SUBMIT_RESTARTS == 0 ]]"
#: Name -> what the job does, and over-rides of its spec.
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "success": ("step 1 1", {}),
    "failure": ("exit 3", {}),
    "timeout": (
        "sleep 300",
        {"resources__time_limit": "60s", "restarts__grace": "50s"},
    ),
    "queued": ("step 1 1", {"slurm__extra": {"hold": True}}),
    "running": ("step 1 5; sleep 300", {}),
    "nodefail": ("sleep 300", {"slurm__nodelist": "NODE4"}),
    "memory": (
        "python -c 'print(len(bytes([1]) * (400 << 20)))'",
        {"resources__memory": "100M"},
    ),
    "requeue": (
        f"step 1 5; {FIRST_TIME} || exit 0; checkpoint 1 5; sleep 300",
        {"restarts__max": 2, "slurm__nodelist": "NODE1"},
    ),
}
ENDS = {
    "success": ("SUCCEEDED", None, 0),
    "failure": ("FAILED", "torchrun exited with 3", 3),
    "timeout": ("TIMEOUT", "warned by Slurm of the time limit of 00:01:00, and stopped", 124),
    "queued": ("CANCELLED", "cancelled by USER", None),
    "running": ("CANCELLED", "cancelled by USER", 143),
    "nodefail": ("FAILED", "node NODE4 failed", None),
    "memory": ("FAILED", "out of memory", None),
    "requeue": ("SUCCEEDED", None, 0),
}


def _on(world: SlurmWorld, over: dict[str, Any]) -> dict[str, Any]:
    """The names of this cluster's nodes for NODE1, NODE4."""
    node = over.get("slurm__nodelist")
    return (
        over if node is None else over | {"slurm__nodelist": world.cluster.nodes[int(node[4]) - 1]}
    )


def test_eight_ends(any_slurm: SlurmWorld, eventually: Eventually) -> None:
    """Each way in which a job can end has its state and reason."""
    world, cluster = any_slurm, any_slurm.cluster
    if cgroups_allow() is not None:
        jobs = {name: job for name, job in JOBS.items() if name != "memory"}
    else:
        jobs = JOBS
    for name, (fake, over) in jobs.items():
        world.submit(fake, name=name, **_on(world, over))
    eventually(lambda: world.statuses()["running"]["step"] == 1, timeout=30)
    eventually(lambda: world.statuses()["requeue"]["step"] == 1, timeout=30)
    eventually(lambda: world.statuses()["nodefail"]["state"] == "RUNNING", timeout=30)
    held = world.statuses()["queued"]
    assert (held["state"], held["started_at"]) == ("QUEUED", None)
    assert "(JobHeldUser)" in held["reason"]

    assert world.prl("cancel", "queued", "running", "--wait").code == 0
    cluster.kill_node(cluster.nodes[3])
    job = world.statuses()["requeue"]["job_id"]
    cluster.run("scontrol", "requeue", job)
    eventually(lambda: world.statuses()["requeue"]["state"] == "QUEUED", timeout=20)
    again = world.statuses()["requeue"]
    assert "restart 1 of 2" in again["reason"]
    assert again["exit_code"] is None

    unfinished = {"QUEUED", "RUNNING"}
    eventually(
        lambda: not {s["state"] for s in world.statuses().values()} & unfinished, timeout=120
    )
    ended = world.statuses()
    for name in jobs:
        state, reason, code = ENDS[name]
        run = ended[name]
        assert run["state"] == state, run
        words = {"USER": getpass.getuser(), "NODE4": cluster.nodes[3]}
        for word, text in words.items():
            reason = reason and reason.replace(word, text)
        assert (reason or "") in (run["reason"] or ""), run
        assert code is None or run["exit_code"] == code, run
        assert run["restarts"] == (1 if name == "requeue" else 0), run
    for name in ("success", "failure", "timeout", "running"):
        assert ended[name]["started_at"] <= ended[name]["ended_at"]
    forget(world)
    assert world.statuses() == ended


def forget(world: SlurmWorld) -> None:
    """Make Slurm forget the jobs."""
    world.environ["PATH"] = f"{Path(world.environ['PATH'].split(':')[0])}:/nowhere"


def test_cancel_that_finds_no_job_says_so(slurm: SlurmWorld) -> None:
    """With exit code 0 a user would believe that the GPUs are free."""
    run = slurm.submit("step 1 1", slurm__extra={"hold": True})
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"job_id": "999999"}))
    done = slurm.prl("cancel", "latest")
    assert (done.code, "lists no job of it; nothing was cancelled" in done.err) == (1, True), done
    assert record["job_id"] in slurm.cluster.jobs()


def test_cancel_that_is_interrupted_says_what_it_did(
    slurm: SlurmWorld, eventually: Eventually
) -> None:
    """slurmctld hangs: nothing was cancelled, and the message says so."""
    run = slurm.submit("step 1 5; sleep 300")
    eventually(lambda: slurm.statuses()["fake"]["step"] == 1, timeout=30)
    slurm.cluster.pause_controller()
    cancelling = slurm.start("cancel", "latest", "--wait")
    time.sleep(3)
    cancelling.send_signal(signal.SIGINT)
    done = slurm.finish(cancelling, timeout=30)
    slurm.cluster.continue_controller()
    assert done.code == 130
    assert f"{run.name} was not cancelled: prl-submit cancel v0" in done.err
    assert slurm.statuses()["fake"]["state"] == "RUNNING"


def test_ended_by_scancel(any_slurm: SlurmWorld, eventually: Eventually) -> None:
    run = any_slurm.submit("step 1 5; sleep 300")
    eventually(lambda: any_slurm.statuses()["fake"]["step"] == 1)
    job = json.loads((run / "run.json").read_text())["job_id"]
    any_slurm.cluster.run("scancel", job)
    eventually(lambda: any_slurm.statuses()["fake"]["state"] == "CANCELLED")
    who = getpass.getuser() if any_slurm.cluster.accounting else "scancel"
    eventually(lambda: any_slurm.statuses()["fake"]["reason"] == f"cancelled by {who}")


def test_a_job_that_slurm_forgot(slurm: SlurmWorld, eventually: Eventually) -> None:
    """The run is LOST neither at the first empty answer nor before a minute has passed."""
    run = slurm.submit("sleep 300")
    eventually(lambda: slurm.statuses()["fake"]["state"] == "RUNNING")
    record = json.loads((run / "run.json").read_text())
    other = {"job_id": "999999", "submitted_at": "2026-01-01T00:00:00+00:00"}
    (run / "run.json").write_text(json.dumps(record | other))
    eventually(lambda: (run / "argv").exists(), timeout=30)  # launch.sh has written .job anew
    (run / "logs" / ".job").unlink()
    told = "Slurm does not know job 999999, but processes of the run are still alive"
    alive = slurm.statuses()["fake"]
    assert (alive["state"], alive["reason"]) == ("RUNNING", told)
    (run / ".node0.lock").unlink()  # as on a file system without locks
    for _ in range(2):
        status = slurm.statuses()["fake"]
        assert (status["state"], status["reason"].split(":")[0]) == ("RUNNING", "as last known")
    (run / "logs" / ".missing").write_text(str(time.time() - 70))
    status = slurm.statuses()["fake"]
    assert status["state"] == "LOST"
    assert "Slurm no longer knows job 999999" in status["reason"]
    (run / "run.json").write_text(json.dumps(record))
    assert slurm.statuses()["fake"]["state"] == "RUNNING"


def test_an_id_given_out_again_is_not_our_job(slurm: SlurmWorld, eventually: Eventually) -> None:
    """After a crash of slurmctld another job may have the id; the token distinguishes them."""
    run = slurm.submit("step 1 1")
    eventually(lambda: slurm.statuses()["fake"]["state"] == "SUCCEEDED")
    other = slurm.submit("sleep 300", name="other")
    theirs = json.loads((other / "run.json").read_text())["job_id"]
    (run / "exit.json").unlink()
    (run / "verdict.json").unlink(missing_ok=True)
    (run / "logs" / ".job").unlink()
    record = json.loads((run / "run.json").read_text()) | {"job_id": theirs}
    (run / "run.json").write_text(json.dumps(record))
    assert "as last known" in slurm.statuses()["fake"]["reason"]
    slurm.prl("cancel", "fake")
    assert slurm.statuses()["other"]["state"] in ("QUEUED", "RUNNING")


@pytest.mark.parametrize(("fake", "code"), [("exit 3", 3), ("exit 78", 78)])
def test_wait_and_follow_return_the_result(slurm: SlurmWorld, fake: str, code: int) -> None:
    done = slurm.prl(slurm.spec(), "--follow", FAKE=f"echo out; {fake}")
    assert done.code == 1
    assert "\nout\n" in done.out
    assert f"FAILED: torchrun exited with {code}" in done.err


def test_cancel_says_what_had_ended(slurm: SlurmWorld, eventually: Eventually) -> None:
    slurm.run_to_end()
    done = slurm.prl("cancel", "latest", "--wait")
    assert done.code == 0
    assert "had already ended: SUCCEEDED" in done.err


def test_cancel_frees_the_allocation(slurm: SlurmWorld, eventually: Eventually) -> None:
    run = slurm.submit("trap '' TERM; while :; do sleep 1; done")
    log = run / "logs" / "node0.log"
    eventually(lambda: log.exists() and "torchrun, 1 process" in log.read_text(), timeout=30)
    done = slurm.prl("cancel", "latest", "--wait")
    assert (done.code, "CANCELLED" in done.out) == (0, True), done
    assert slurm.cluster.jobs() == []


def test_two_scheduler_calls_for_any_number_of_runs(slurm_accounting: SlurmWorld) -> None:
    world = slurm_accounting
    for _ in range(5):
        world.submit("step 1 1")
        world.submit("sleep 100")
    wrappers = world.root / "wrappers"
    wrappers.mkdir()
    for name in ("squeue", "sacct", "scontrol", "sinfo"):
        real = f"/usr/bin/{name}"
        (wrappers / name).write_text(
            f'#!/bin/bash\necho {name} >>{world.root}/calls\nexec {real} "$@"\n'
        )
        (wrappers / name).chmod(0o755)
    path = f"{wrappers}:{world.environ['PATH']}"
    assert world.prl("list", PATH=path).code == 0
    calls = (world.root / "calls").read_text().split()
    assert set(calls) <= {"squeue", "sacct"}
    assert len(calls) <= 2


def test_sbatch_by_hand_is_followed(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Somebody submits job.sbatch of an ended run again; `status` and `cancel` mean the new job."""
    run, _ = slurm.run_to_end("exit 4")
    assert slurm.statuses()["fake"]["state"] == "FAILED"
    environ = slurm.environ | {"FAKE": "step 1 9; sleep 300"}
    command = ["sbatch", "--parsable", str(run / "job.sbatch")]
    job = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    eventually(lambda: slurm.statuses()["fake"]["state"] == "RUNNING", timeout=30)
    assert slurm.statuses()["fake"]["job_id"] == job.strip()
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    assert slurm.cluster.jobs() == []


def test_srun_names_the_node_that_was_killed(slurm: SlurmWorld) -> None:
    """A node killed by SIGKILL writes no exit.json; the reason names it and not node 0, which launch.sh stopped."""
    kill = "[[ $NODE_RANK == 0 ]] || kill -9 $PPID; sleep 60"
    done = slurm.prl(slurm.spec(resources__nodes=2), "--wait", FAKE=kill)
    assert done.code == 1
    assert "FAILED: node 1 (" in done.err
    assert "killed (SIGKILL); out of memory is the usual cause" in done.err


def test_wait_asks_slurm_only_a_few_times(slurm: SlurmWorld) -> None:
    """In ten seconds `wait` asks Slurm only a few times, also if another run has ended."""
    slurm.run_to_end()
    run = slurm.submit("sleep 10; step 1 1", name="long")
    wrapper = slurm.root / "bin" / "squeue"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/bash\necho >>{slurm.root}/calls\nexec /usr/bin/squeue "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{slurm.environ['PATH']}"
    done = slurm.finish(slurm.start("wait", "v0", run.name, PATH=path), timeout=60)
    assert done.code == 0, done.err
    assert 2 <= len((slurm.root / "calls").read_text().splitlines()) <= 8


def test_cancel_ends_a_job_submitted_by_hand(slurm: SlurmWorld, eventually: Eventually) -> None:
    """run.json still names the first job, because nobody has asked for the status before."""
    run, _ = slurm.run_to_end("exit 4")
    environ = slurm.environ | {"FAKE": "step 1 9; sleep 300"}
    subprocess.run(["sbatch", run / "job.sbatch"], env=environ, check=True, capture_output=True)
    eventually(lambda: (run / "logging.jsonl").exists(), timeout=30)
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    assert slurm.cluster.jobs() == []
