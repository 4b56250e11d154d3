"""sbatch fails after slurmctld has accepted the job: prl-submit never takes such a job for refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Done
from tests.slurm.conftest import SlurmWorld
from tests.slurm.test_submission import jobs_of

Eventually = Callable[..., None]
SAY = 'echo "sbatch: error: Batch job submission failed: {}" >&2; exit 1'
#: What happens when Slurm has taken the job, which then waits.
AFTERWARDS = {
    "an answer that is lost": SAY.format("Message receive failure"),
    "a broken connection": SAY.format("Transport endpoint is not connected"),
    "a reset connection": SAY.format("Connection reset by peer"),
    "no reason": SAY.format("Unspecified error"),
    "words of another version": SAY.format("Slurm temporarily unable to accept job, sleeping and retrying"),
    "a silent failure": "exit 1",
    "a wrapper's own command is missing": "notify-the-budget-office",
    "a wrapper's own connection": "echo 'curl: (7) Connection refused' >&2; exit 7",
    "a signal": "kill -9 $$",
    "an exit by a signal": "exit 137",
    "nothing at all": "exit 0",
    "another format": "echo Submitted batch job; exit 0",
    "a part of the answer": "printf 1; exit 1",
}  # fmt: skip


def submit_by(world: SlurmWorld, before: str, after: str) -> Done:
    """prl-submit with a wrapper around sbatch that runs `before`, sbatch, and `after`."""
    wrapper = world.root / "bin" / "sbatch"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/bash\n{before}\n/usr/bin/sbatch "$@" >/dev/null\n{after}\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{world.environ['PATH']}"
    return world.prl(world.spec(slurm__extra={"hold": True}), PATH=path)


@pytest.mark.parametrize("after", AFTERWARDS.values(), ids=AFTERWARDS.keys())
def test_a_job_that_slurm_has_is_submitted(slurm: SlurmWorld, after: str) -> None:
    done = submit_by(slurm, "", after)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    record = json.loads((run / "run.json").read_text())
    assert jobs_of(slurm) == [record["job_id"]]
    assert slurm.states() == {run.name: "QUEUED"}


@pytest.mark.parametrize(
    ("before", "code", "words"),
    [
        ("exit 1", 1, "sbatch failed without a word (exit code 1), and Slurm has no such job"),
        ("kill -9 $$", 1, "sbatch was ended by signal 9, and Slurm has no such job"),
        ("echo 'no budget left' >&2; exit 3", 1, "Slurm refused the job: no budget left"),
        (
            f'echo "sbatch: error: name your project" >&2; {SAY.format("Unspecified error")}',
            1,
            "Slurm refused the job: name your project",
        ),
        (
            SAY.format("Message receive failure"),
            4,
            "Slurm does not answer: Message receive failure",
        ),
    ],
)
def test_a_job_that_slurm_has_not_leaves_nothing(
    slurm: SlurmWorld, before: str, code: int, words: str
) -> None:
    done = submit_by(slurm, before, "")
    assert (done.code, done.out) == (code, ""), done
    assert words in done.err
    assert jobs_of(slurm) == []
    assert not list(slurm.output.glob("v*"))


def test_the_outcome_stays_unknown(slurm: SlurmWorld, eventually: Eventually) -> None:
    """slurmctld hangs as soon as it has the job: the directory stays, and `status` finds the job later."""
    pid = slurm.cluster._daemons["slurmctld"].pid
    process = slurm.start(
        slurm.spec(slurm__extra={"hold": True}),
        PATH=_wrapped(slurm, f"kill -STOP {pid}; exit 1"),
    )
    eventually(lambda: list(slurm.output.glob("v*/run.json")), timeout=30)
    process.send_signal(2)
    done = slurm.finish(process, timeout=30)
    assert (done.code, "is not known yet" in done.err) == (130, True), done
    (run,) = slurm.output.glob("v*")
    slurm.cluster.continue_controller()
    eventually(lambda: slurm.states() == {run.name: "QUEUED"}, timeout=30)
    assert jobs_of(slurm) == [json.loads((run / "run.json").read_text())["job_id"]]


def _wrapped(world: SlurmWorld, after: str) -> str:
    wrapper = world.root / "bin" / "sbatch"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/bash\n/usr/bin/sbatch "$@" >/dev/null\n{after}\n')
    wrapper.chmod(0o755)
    return f"{wrapper.parent}:{world.environ['PATH']}"


# ------------------------------------------------------------------ whose job it is
def test_a_stranger_s_job_is_not_cancelled(slurm: SlurmWorld, eventually: Eventually) -> None:
    """A run.json with the id and name of a job that has nothing to do with the run."""
    stranger = slurm.cluster.run(
        "sbatch", "--parsable", "--output=/dev/null", "--job-name=fake", "--wrap=sleep 300"
    ).stdout.strip()
    run = slurm.submit("step 1 1", slurm__extra={"hold": True})
    own = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(own | {"job_id": stranger}))
    done = slurm.prl("cancel", "latest")
    assert (done.code, "lists no job of it; nothing was cancelled" in done.err) == (1, True), done
    assert stranger in slurm.cluster.jobs()


def test_a_copy_does_not_cancel_the_original(slurm: SlurmWorld, eventually: Eventually) -> None:
    run = slurm.submit("step 1 9; sleep 300")
    eventually(lambda: slurm.statuses()["fake"]["step"] == 1, timeout=30)
    copy = slurm.output / "v9-20260101-000000"
    shutil.copytree(run, copy)
    done = slurm.prl("cancel", copy)
    assert done.code == 2, done
    assert f"is a copy of {run}, to which the job belongs; nothing was done" in done.err
    states = slurm.states()
    assert states[run.name] == "RUNNING"
    assert states[copy.name] == "LOST"
    assert slurm.prl("cancel", run, "--wait").code == 0
    assert slurm.cluster.jobs() == []


def test_a_forged_record_with_the_token_of_another_run(
    slurm: SlurmWorld, eventually: Eventually
) -> None:
    """The record has the path of its own directory, but the job writes into another one."""
    run = slurm.submit("step 1 9; sleep 300")
    eventually(lambda: slurm.statuses()["fake"]["step"] == 1, timeout=30)
    forged = slurm.output / "v9-20260101-000000"
    shutil.copytree(run, forged)
    record = json.loads((run / "run.json").read_text())
    for directory in (None, {"path": str(forged), "inode": forged.stat().st_ino}):
        (forged / "run.json").write_text(json.dumps(record | {"directory": directory}))
        assert slurm.prl("cancel", forged).code != 0
        assert slurm.states()[run.name] == "RUNNING"
    moved = run.with_name("v8-20260101-000000")
    run.rename(moved)  # now the directory that the job names is not there
    (forged / "run.json").write_text(json.dumps(record | {"directory": directory}))
    assert slurm.prl("cancel", forged).code != 0
    assert slurm.states()[moved.name] == "RUNNING"
    assert slurm.prl("cancel", moved, "--wait").code == 0
    assert slurm.cluster.jobs() == []


@pytest.mark.parametrize("folder", ["out", "a|b %j", "a\\b"])
def test_relabelled_by_an_administrator(
    any_slurm: SlurmWorld, eventually: Eventually, folder: str
) -> None:
    """The job has another comment and another name; its id and its script's directory still prove it."""
    run = any_slurm.submit("step 1 9; sleep 300", output=folder)
    root = f"--output-root={any_slurm.root / folder}"
    eventually(lambda: (run / "logging.jsonl").exists(), timeout=30)
    job = json.loads((run / "run.json").read_text())["job_id"]
    any_slurm.cluster.run("scontrol", "update", f"JobId={job}", "Comment=by\nops", "Name=ops")
    (status,) = any_slurm.prl("status", "latest", "--json", root).json["runs"]
    assert status["state"] == "RUNNING", status
    assert any_slurm.prl("cancel", "latest", "--wait", root).code == 0
    assert any_slurm.cluster.jobs() == []
    (status,) = any_slurm.prl("status", "latest", "--json", root).json["runs"]
    assert (status["state"], status["exit_code"]) == ("CANCELLED", 143), status


@pytest.mark.skipif(os.getuid() != 0, reason="submits as another user")
def test_another_users_job_with_our_token(slurm: SlurmWorld, eventually: Eventually) -> None:
    """squeue shows everybody's comments, so a token can be copied."""
    run = slurm.submit("step 1 1", slurm__extra={"hold": True})
    record = json.loads((run / "run.json").read_text())
    slurm.cluster.run("scancel", record["job_id"])
    theirs = slurm.cluster.run(
        *("sbatch", "--parsable", "--uid=65534", "--output=/dev/null", "--job-name=fake"),
        *(f"--comment=prl-submit:{record['token']}", "--hold", "--wrap=sleep 300"),
    ).stdout.strip()
    (run / "run.json").write_text(json.dumps(record | {"job_id": theirs}))
    done = slurm.prl("cancel", "latest")
    assert (done.code, "belongs to another user than this directory" in done.err) == (1, True), done
    assert theirs in slurm.cluster.jobs()
    slurm.cluster.run("scancel", theirs)
