"""Restarts, warnings and cancellations: which signals the training gets, and from where it continues."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.slurm.conftest import SlurmWorld

Eventually = Callable[..., None]
FIRST_TIME = "[[ $PRL_SUBMIT_RESTARTS == 0 ]]"


def test_preempted_and_back(slurm: SlurmWorld, eventually: Eventually) -> None:
    """A job of higher priority takes the node; the restart goes on from the last complete checkpoint."""
    over = {
        "slurm__partition": "low",
        "slurm__nodelist": slurm.cluster.nodes[2],
        "slurm__extra": {"exclusive": True},
        "restarts__max": 3,
    }
    fake = f"{FIRST_TIME} || {{ step 2 2; exit 0; }}; step 1 2; checkpoint 1 2; mkdir $run/checkpoint-2; sleep 300"
    run = slurm.submit(fake, **over)
    eventually(lambda: (run / "checkpoint-2").exists(), timeout=30)
    urgent = slurm.cluster.run(
        "sbatch", "--parsable", "--partition=gpu", f"--nodelist={slurm.cluster.nodes[2]}", "--exclusive",
        "--output=/dev/null", "--wrap=sleep 4",
    )  # fmt: skip
    assert urgent.stdout.strip().isdigit()
    eventually(
        lambda: "preempted, restart 1 of 3" in (slurm.prl("status", "latest").out), timeout=30
    )
    done = slurm.prl("wait", "latest")
    assert done.code == 0, done.err
    argv = (run / "argv").read_bytes().decode().split("\0")
    assert argv[argv.index("--resume_from_checkpoint") + 1] == str(run / "checkpoint-1")
    log = (run / "logs" / "node0.log").read_text()
    assert log.count("continues from checkpoint-1") == 1
    assert slurm.statuses()["fake"]["restarts"] == 1


def test_out_of_time_and_back(slurm: SlurmWorld, eventually: Eventually) -> None:
    """At the warning before the time limit the job stops, and the next attempt continues from its checkpoint."""
    over = {"resources__time_limit": "60s", "restarts__grace": "55s", "restarts__max": 1}
    fake = f"{FIRST_TIME} || {{ step 2 2; exit 0; }}; step 1 2; checkpoint 1 2; sleep 300"
    run = slurm.submit(fake, **over)
    done = slurm.finish(slurm.start("wait", "latest"), timeout=180)
    assert done.code == 0, done.err
    assert "restart 1 of 1" in done.err
    assert "would not put the job back" not in (run / "logs" / "slurm.log").read_text()
    assert "continues from checkpoint-1" in (run / "logs" / "node0.log").read_text()


def test_restarts_are_counted_to_their_maximum(slurm: SlurmWorld, eventually: Eventually) -> None:
    run = slurm.submit("step 1 5; sleep 300", restarts__max=1)
    log = run / "logs" / "node0.log"
    for count in (1, 2):
        eventually(lambda: slurm.statuses()["fake"]["state"] == "RUNNING", timeout=30)
        eventually(lambda n=count: log.exists() and log.read_text().count("torchrun, ") == n)
        job = slurm.statuses()["fake"]["job_id"]
        slurm.cluster.run("scontrol", "requeue", job)
        eventually(lambda: slurm.statuses()["fake"]["state"] != "RUNNING", timeout=30)
    assert slurm.prl("wait", "latest").code == 1
    assert slurm.statuses()["fake"]["reason"].startswith("started again 2 times; restarts.max is 1")


def test_resume_after_restarts(slurm: SlurmWorld, eventually: Eventually) -> None:
    """The exit.json of the third attempt is not taken for the end of the resumed job."""
    fake = "[[ $PRL_SUBMIT_RESTARTS == 0 ]] || exit 4; step 1 2; checkpoint 1 2; sleep 300"
    run = slurm.submit(fake, restarts__max=1)
    eventually(lambda: (run / "checkpoint-1" / "rng_state.pth").exists(), timeout=30)
    slurm.cluster.run("scontrol", "requeue", json.loads((run / "run.json").read_text())["job_id"])
    assert slurm.prl("wait", "latest").code == 1
    longer = ("--set", "resources.time_limit=47m")
    done = slurm.prl("resume", "latest", *longer, "--wait", FAKE="step 2 2")
    assert done.code == 0, done.err
    assert "#SBATCH --time=00:47:00" in (run / "job.sbatch").read_text()
    verdict = json.loads((run / "exit.json").read_text())
    assert (verdict["state"], verdict["restarts"]) == ("SUCCEEDED", 2)


#: Counts the signals it hears, ends at the first as torchrun does, and leaves a checkpoint.
SAVES = (
    "n=0; trap 'n=$((n + 1)); echo $n >$run/heard' TERM; step 1 5; touch $run/ready; "
    "while ((n == 0)); do sleep 0.1; done; for i in {1..8}; do sleep 0.1; done; "
    "checkpoint 1 5; exit 1"
)


@pytest.mark.parametrize("how", ["cancel", "scancel", "warning"])
def test_torchrun_gets_one_sigterm(any_slurm: SlurmWorld, eventually: Eventually, how: str) -> None:
    """torchrun gets one SIGTERM, whether Slurm signals every process or only launch.sh, and saves a checkpoint."""
    over = {"resources__time_limit": "90s", "restarts__grace": "70s"} if how == "warning" else {}
    run = any_slurm.submit(SAVES, **over)
    eventually(lambda: (run / "ready").exists(), timeout=30)
    if how == "cancel":
        assert any_slurm.prl("cancel", "latest", "--wait").code == 0
    elif how == "scancel":
        any_slurm.cluster.run("scancel", json.loads((run / "run.json").read_text())["job_id"])
    assert any_slurm.finish(any_slurm.start("wait", "latest"), timeout=150).code == 1
    assert (run / "heard").read_text() == "1\n"
    assert (run / "checkpoint-1" / "rng_state.pth").exists()
    state = "TIMEOUT" if how == "warning" else "CANCELLED"
    assert any_slurm.statuses()["fake"]["state"] == state


def test_a_job_cancelled_in_its_grace_stays_ended(
    slurm: SlurmWorld, eventually: Eventually
) -> None:
    """A job that was warned and then cancelled is not requeued, although it has restarts and a checkpoint left."""
    over = {"resources__time_limit": "90s", "restarts__grace": "80s", "restarts__max": 2}
    fake = "trap '' TERM; step 1 5; checkpoint 1 5; while :; do sleep 0.2; done"
    run = slurm.submit(fake, **over)
    eventually(lambda: (run / "logs" / ".time-limit").exists(), timeout=120)
    slurm.cluster.run("scancel", json.loads((run / "run.json").read_text())["job_id"])
    assert slurm.prl("wait", "latest").code == 1
    assert slurm.cluster.jobs() == []
    assert slurm.statuses()["fake"]["restarts"] == 0


def test_resume_does_not_take_the_old_job_for_its_own(slurm: SlurmWorld) -> None:
    """sbatch fails without an answer while Slurm still remembers the first job."""
    run, _ = slurm.run_to_end("step 1 2; checkpoint 1 2; exit 4", resources__memory="50M")
    wrapper = slurm.root / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(
        "#!/bin/bash\necho 'sbatch: error: Batch job submission failed: Socket timed out on "
        "send/recv operation' >&2\nexit 1\n"
    )
    wrapper.chmod(0o755)
    before = (run / "run.json").read_bytes()
    path = f"{wrapper.parent}:{slurm.environ['PATH']}"
    done = slurm.prl("resume", "latest", PATH=path)
    assert (done.code, "Slurm does not answer" in done.err) == (4, True), done
    assert (run / "run.json").read_bytes() == before
