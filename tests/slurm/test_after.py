"""`--after` on a real Slurm: the controller waits itself, and a failed predecessor is told in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.slurm.conftest import SlurmWorld

    Eventually = Callable[..., None]

UNTIL_TOLD = "step 1 1; until [[ -e $run/../go ]]; do sleep 0.1; done; {end}"


def status(world: SlurmWorld, run: Path) -> dict[str, Any]:
    (found,) = world.prl("status", run, "--json").json["runs"]
    assert isinstance(found, dict)
    return found


def test_slurm_waits_and_starts_the_job(slurm: SlurmWorld, eventually: Eventually) -> None:
    first = slurm.submit(UNTIL_TOLD.format(end="ended"))
    job = status(slurm, first)["job_id"]
    spec = slurm.spec(slurm__extra={"nice": 5})
    rendered = slurm.prl("render", spec, "--after", "v0").out
    assert f"#SBATCH --dependency=afterok:{job}\n" in rendered
    assert "#SBATCH --kill-on-invalid-dep=yes\n" in rendered
    explained = slurm.prl("explain", spec, "--after", "v0").out
    assert f"--after: afterok:{job}, so the scheduler waits" in explained
    second = slurm.submit("step 1 1", "--after", "v0", slurm__dependency=f"afterany:{job}")
    assert f"--dependency=afterany:{job},afterok:{job}" in (second / "job.sbatch").read_text()
    eventually(lambda: status(slurm, second)["reason"] == "waiting for v0 (Dependency)")
    (slurm.output / "go").touch()
    assert slurm.prl("wait", second).code == 0
    assert not (second / "logs" / "queue.json").exists()
    either = slurm.prl(slurm.spec(slurm__dependency="afterany:1?afterany:2"), "--after", "v0")
    assert either.code == 2
    assert "in which `?` means or" in either.err
    again = slurm.submit("step 1 1; exit 4", "--after", "v0")
    assert "dependency" not in (again / "job.sbatch").read_text(), "v0 has succeeded already"


def test_a_predecessor_that_fails(slurm: SlurmWorld, eventually: Eventually) -> None:
    slurm.submit(UNTIL_TOLD.format(end="exit 3"))
    second = slurm.submit("step 1 1", "--after", "v0")
    kept = {"kill-on-invalid-dep": "no"}
    third = slurm.submit("step 1 1", "--after", "v0", slurm__extra=kept)
    (slurm.output / "go").touch()
    assert slurm.prl("wait", second).code == 1
    ended = status(slurm, second)
    assert (ended["state"], ended["reason"]) == ("CANCELLED", "v0 FAILED, so it never started")
    never = "v0 FAILED, so it will never start (DependencyNeverSatisfied)"
    eventually(lambda: status(slurm, third)["reason"] == never)
    assert slurm.prl("cancel", third).code == 0
    refused = slurm.prl(slurm.spec(), "--after", "v0")
    assert refused.code == 2
    assert "v0 FAILED, so a job after it would never start" in refused.err


def test_jobs_that_never_started_begin_anew(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Slurm ended them because their predecessor failed. They wait for the job of its next attempt."""
    first = slurm.submit("checkpoint 1 2; " + UNTIL_TOLD.format(end="exit 3"))
    second = slurm.submit("step 1 1", "--after", "v0")
    grid = {"grid": {"swift.seed": [1, 2]}}
    spec = slurm.spec("lr.yaml", name="lr", sweep=grid)
    assert slurm.prl(spec, "--after", "v0", FAKE="step 1 1").code == 0
    (slurm.output / "go").touch()
    assert slurm.prl("wait", first, second, "lr").code == 1
    refused = slurm.prl("resume", second)
    assert refused.code == 2
    words = "it starts after v0, and v0 FAILED, so it would never start; nothing was submitted"
    assert refused.err.splitlines()[0] == f"error: {words}"
    assert "resume v0 first" in refused.err
    assert words in slurm.prl("resume", "lr").err
    assert status(slurm, second)["reason"] == "v0 FAILED, so it never started"
    assert slurm.prl("resume", second, "--set", "swift.max_steps=9").code == 2
    (slurm.output / "go").unlink()
    assert slurm.prl("resume", first, FAKE=UNTIL_TOLD.format(end="ended")).code == 0
    job = status(slurm, first)["job_id"]
    done = slurm.prl("resume", second, FAKE="step 1 1")
    assert done.code == 0, done.err
    assert done.err.startswith("begins anew, because it never started (CANCELLED)\nresumed v1-")
    assert f"--dependency=afterok:{job}\n" in (second / "job.sbatch").read_text()
    eventually(lambda: status(slurm, second)["reason"] == "waiting for v0 (Dependency)")
    done = slurm.prl("resume", "lr", FAKE="step 1 1")
    assert done.err.count(": begins anew (CANCELLED)\n") == 2, done.err
    (slurm.output / "go").touch()
    assert slurm.prl("wait", second, "lr").code == 0
    assert status(slurm, second)["restarts"] == 0


def test_a_predecessor_that_is_no_job_of_slurm(slurm: SlurmWorld) -> None:
    """Then the waiting queue calls sbatch."""
    slurm.submit(UNTIL_TOLD.format(end="ended"), backend="local")
    run = slurm.submit("step 1 1", "--after", "v0")
    before = status(slurm, run)
    assert (before["state"], before["reason"]) == ("QUEUED", "waiting for v0")
    assert before["job_id"] is None
    (slurm.output / "go").touch()
    assert slurm.prl("wait", run).code == 0
    assert status(slurm, run)["job_id"]
