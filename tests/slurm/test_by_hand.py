"""A user types `sbatch job.sbatch`: `status`, `wait` and `cancel` then mean that job."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.slurm.conftest import SlurmWorld

Eventually = Callable[..., None]


def sbatch(world: SlurmWorld, run: Path, fake: str) -> str:
    """Call sbatch from another folder, without prl-submit; the new job's id."""
    done = subprocess.run(
        ["sbatch", "--parsable", run / "job.sbatch"],
        cwd="/",
        env={**world.environ, "FAKE": fake},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def job_and_state(world: SlurmWorld) -> tuple[str, str]:
    run = world.statuses()["fake"]
    return run["job_id"], run["state"]


def test_the_script_runs_by_plain_sbatch(slurm: SlurmWorld, eventually: Eventually) -> None:
    """A user without prl-submit submits it from another folder."""
    run = slurm.submit("step 1 1")
    eventually(lambda: slurm.states() == {run.name: "SUCCEEDED"})
    (run / "exit.json").unlink()
    sbatch(slurm, run, "step 1 1")
    eventually(lambda: (run / "exit.json").exists())
    assert json.loads((run / "exit.json").read_text())["state"] == "SUCCEEDED"


def test_a_finished_run_again(slurm: SlurmWorld, eventually: Eventually) -> None:
    """`status` does not show the old end for the new job, however long launch.sh takes to start."""
    stand_in = slurm.root / "bin" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/bin/bash\n[[ $FAKE != *slow* ]] || until [[ -e go ]]; do sleep 0.1; done\n"
        'while [[ $1 != *.sif ]]; do shift; done; shift; exec "$@"\n'
    )
    stand_in.chmod(0o755)
    slurm.environ["PATH"] = f"{stand_in.parent}:{slurm.environ['PATH']}"
    container = {"image": "a.sif", "runtime": "apptainer"}
    run, _ = slurm.run_to_end("step 1 1", environment__container=container)
    assert job_and_state(slurm)[1] == "SUCCEEDED"
    job = sbatch(slurm, run, "step 1 1; exit 3  # slow")
    eventually(lambda: job_and_state(slurm) == (job, "RUNNING"), timeout=30)
    (slurm.root / "go").touch()
    assert slurm.prl("wait", "latest").code == 1
    assert job_and_state(slurm) == (job, "FAILED")
    assert json.loads((run / "run.json").read_text())["job_id"] == job


def test_a_second_job_beside_a_running_one(slurm: SlurmWorld, eventually: Eventually) -> None:
    """The second job ends at once, and the running one still belongs to the run."""
    run = slurm.submit("step 1 1; until [[ -e go ]]; do sleep 0.1; done")
    eventually(lambda: slurm.statuses()["fake"]["step"] == 1, timeout=30)
    first = slurm.statuses()["fake"]["job_id"]
    second = sbatch(slurm, run, "step 1 1")
    eventually(lambda: second not in slurm.cluster.jobs(), timeout=30)
    assert f"{run} is in use: its job still runs" in (run / "logs" / "slurm.log").read_text()
    assert job_and_state(slurm) == (first, "RUNNING")
    (slurm.root / "go").touch()
    assert slurm.prl("wait", "latest").code == 0
    assert job_and_state(slurm) == (first, "SUCCEEDED")


def test_after_a_resume_that_slurm_refused(slurm: SlurmWorld, eventually: Eventually) -> None:
    """A refused resume restores every file, so that a job typed by hand is known by its token."""
    names = "spec.yaml plan.json launch.sh launch.lib.sh job.sbatch run.json cancel.json logs/.job"
    files = names.split()
    run = slurm.submit("step 1 2; checkpoint 1 2; sleep 300")
    eventually(lambda: (run / "checkpoint-1" / "rng_state.pth").exists(), timeout=30)
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    before = {name: (run / name).read_bytes() for name in files}
    slurm.cluster.run("scontrol", "update", "PartitionName=gpu", "State=INACTIVE")
    try:
        refused = slurm.prl("resume", "latest", "--set", "swift.max_steps=9")
    finally:
        slurm.cluster.run("scontrol", "update", "PartitionName=gpu", "State=UP")
    assert refused.code == 1, refused
    assert {name: (run / name).read_bytes() for name in files} == before
    (run / "cancel.json").unlink()
    job = sbatch(slurm, run, "step 1 1; sleep 300")
    eventually(lambda: job_and_state(slurm) == (job, "RUNNING"), timeout=30)
    assert slurm.prl("cancel", "latest", "--wait").code == 0
    assert job not in slurm.cluster.jobs()
    assert job_and_state(slurm) == (job, "CANCELLED")
