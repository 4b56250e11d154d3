"""The state of live jobs and of all combinations of evidence. A live job is never called ended."""

from __future__ import annotations

import itertools
from datetime import datetime

import pytest

from prl_submit.backends.slurm.evidence import SlurmEvidence
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.backends.slurm.judge import judge
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    FINISHED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
)
from tests.unit.slurm.judged import ENDS, ON_NODES, WAITING, at, job, last_words, own, verdict

# ------------------------------------------------------------------ live jobs
INTERRUPTED = [own(124, TIMEOUT), own(143), own(130), own(143, CANCELLED), own(130, CANCELLED)]
EARLIER = [own(0), own(1), own(65), *INTERRUPTED]


@pytest.mark.parametrize("ended", [None, *INTERRUPTED])
@pytest.mark.parametrize("state", [*WAITING, *ON_NODES])
def test_a_live_job_is_not_finished(state: str, ended: ExitRecord | None) -> None:
    found = verdict(job=job(state), exit=ended, log=last_words("PREEMPTION"))
    assert found.state == (QUEUED if state in WAITING else RUNNING)
    assert found.exit_code is None
    assert found.ended_at is None


@pytest.mark.parametrize("ended", EARLIER)
@pytest.mark.parametrize("state", [*WAITING, *ON_NODES])
def test_a_requeued_job_is_not_judged_by_its_earlier_attempt(state: str, ended: ExitRecord) -> None:
    others = [(1, own(3, node="n9"))]
    found = verdict(job=job(state, restarts=1), exit=ended, others=others, max_restarts=3)
    assert found.state == (QUEUED if state in WAITING else RUNNING)
    assert found.restarts == 1
    assert "restart 1 of 3" in (found.reason or "")


@pytest.mark.parametrize("ended", [own(0), own(1)])
@pytest.mark.parametrize("state", WAITING)
def test_a_job_that_waits_has_not_ended_whatever_its_files_say(
    state: str, ended: ExitRecord
) -> None:
    """A requeue by hand may not have increased the count of restarts."""
    assert verdict(job=job(state), exit=ended).state == QUEUED


@pytest.mark.parametrize("ended", EARLIER)
@pytest.mark.parametrize(("state", "expected"), ENDS.items())
def test_an_ended_job_is_not_judged_by_its_earlier_attempt(
    state: str, expected: str, ended: ExitRecord
) -> None:
    others = [(1, own(3, node="n9"))]
    found = verdict(job=job(state, 0, restarts=1), exit=ended, others=others)
    assert found.state == expected
    assert found.restarts == 1
    assert "words for" not in (found.reason or "")


@pytest.mark.parametrize("ended", EARLIER)
def test_after_a_resume_nothing_of_the_earlier_job_counts(ended: ExitRecord) -> None:
    """The record has the restarts of the jobs before; Slurm counts from 0 again."""
    found = verdict(job=job("NODE_FAIL"), exit=ended, others=[(1, own(3))], restarts_before=1)
    assert (found.state, found.reason, found.restarts) == (FAILED, "node n1 failed", 1)


def test_the_newest_attempts_exit_json_counts() -> None:
    ended = own(0, restarts=3)
    seen = job("COMPLETED", 0, restarts=1)
    found = verdict(job=seen, exit=ended, restarts_before=2)
    assert (found.state, found.restarts) == (SUCCEEDED, 3)


def test_a_node_of_the_newest_attempt_counts_before_an_old_exit_of_node_0() -> None:
    """sacct does not list restarts; the exit.json files have them."""
    found = verdict(
        job=job("FAILED", 3, restarts=None),
        exit=own(143, restarts=0),
        others=[(1, own(3, restarts=1, node="n2"))],
    )
    assert (found.exit_code, found.reason) == (3, "node 1 (n2): words for 3")
    assert found.restarts == 1


@pytest.mark.parametrize("ended", [own(0), own(1), own(124, TIMEOUT)])
def test_accounting_alone_tells_an_earlier_attempt_by_its_time(ended: ExitRecord) -> None:
    """sacct of 22.05 does not list restarts, but it lists when the last attempt began."""
    found = verdict(job=job("NODE_FAIL", restarts=None, started_at=at(20)), exit=ended)
    assert (found.state, found.reason) == (FAILED, "node n1 failed")


# ------------------------------------------------------------------ live jobs in words
@pytest.mark.parametrize(
    ("seen", "more", "reason"),
    [
        (job("RUNNING"), {}, None),
        (job("COMPLETING"), {}, "ending"),
        (job("SUSPENDED"), {}, "suspended"),
        (job("STOPPED"), {}, "stopped"),
        (job("RUNNING"), {"cancelled": "cancelled by me"}, "being cancelled"),
        (job("COMPLETING"), {"cancelled": "cancelled by me"}, "being cancelled"),
        (job("RUNNING", restarts=1), {}, "restart 1"),
        (job("RUNNING", restarts=1), {"max_restarts": 3}, "restart 1 of 3"),
        (
            job("RUNNING", restarts=2),
            {"max_restarts": 3, "log": last_words("TIME LIMIT") + last_words("PREEMPTION")},
            "preempted, restart 2 of 3",
        ),
        (job("RUNNING", restarts=1), {"log": last_words("JOB REQUEUE")}, "restart 1"),
        (
            job("RUNNING", restarts=1),
            {"log": last_words("NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS")},
            "a node failed, restart 1",
        ),
        (
            job("PENDING", restarts=1, reason="BeginTime", gpus=4),
            {"max_restarts": 3, "exit": own(124, TIMEOUT)},
            "out of time, restart 1 of 3, its start time has not come (BeginTime)",
        ),
        (job("PENDING", reason="Priority", gpus=4), {}, "waiting for 4 GPUs (Priority)"),
        (
            job("PENDING", reason="Resources", gpus=4, node_count=2, started_at=at(30)),
            {"now": datetime.fromisoformat(at(5)).timestamp()},
            f"waiting for 8 GPUs on 2 nodes (Resources), expected to start in 25m ({at(30)})",
        ),
        (job("CONFIGURING"), {}, "its nodes are being made ready"),
    ],
)
def test_live_jobs_in_words(seen: ListedJob, more: dict[str, object], reason: str | None) -> None:
    assert verdict(job=seen, **more).reason == reason


def test_a_forecast_is_not_a_start() -> None:
    assert verdict(job=job("PENDING", started_at=at(30))).started_at is None
    assert verdict(job=job("RUNNING")).started_at == at(1)


def test_restarts_of_earlier_jobs_are_added() -> None:
    assert verdict(job=job("RUNNING", restarts=2), restarts_before=3).restarts == 5


@pytest.mark.parametrize("ended", [own(0), own(1), own(65)])
@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_no_end_is_told_before_slurm_has_ended_the_job(state: str, ended: ExitRecord) -> None:
    """Slurm may still kill processes or requeue the job, and an end that was shown must not change."""
    found = verdict(job=job(state), exit=ended)
    told = f"ended as {ended.state}; Slurm has not let go of its node yet"
    assert (found.state, found.exit_code, found.reason) == (RUNNING, None, told)


@pytest.mark.parametrize(
    "state", ["NODE_FAIL", "FAILED", "CANCELLED", "COMPLETED", "TIMEOUT", "PREEMPTED"]
)
def test_no_end_is_told_while_processes_of_the_run_live(state: str) -> None:
    """A node that Slurm cannot reach may live, or a user may have started launch.sh by hand."""
    found = verdict(job=job(state), alive=True, cancelled="cancelled by me", others=[(1, own(3))])
    told = f"Slurm says {state}, but processes of the run are still alive"
    assert (found.state, found.reason, found.ended_at) == (RUNNING, told, None)


def test_processes_of_a_job_that_slurm_has_forgotten() -> None:
    found = verdict(job_id="77", alive=True, log=last_words())
    assert (found.state, found.reason) == (
        RUNNING,
        "Slurm does not know job 77, but processes of the run are still alive",
    )


@pytest.mark.parametrize("ended", [own(0), own(1), *INTERRUPTED])
def test_an_exit_json_is_written_when_nothing_is_left(ended: ExitRecord) -> None:
    """After exit.json only a process that is not of the training can hold the lock."""
    assert verdict(job=job("FAILED", 1), exit=ended, alive=True).state != RUNNING


def test_a_run_that_was_started_by_hand_after_its_job() -> None:
    """Slurm's state is that of the job before."""
    ended = own(0, started_at=at(59), ended_at=at(59))
    found = verdict(job=job("CANCELLED"), exit=ended, cancelled="cancelled by me")
    assert (found.state, found.reason) == (SUCCEEDED, "started by hand when job 77 had ended")


# ------------------------------------------------------------------ all combinations of evidence
JOBS = [
    None,
    *(job(s, restarts=r) for s in (*WAITING, *ON_NODES) for r in (0, 1)),
    *(job(s, c, g, restarts=r) for s in ENDS for c, g in [(0, None), (1, None), (0, 15)] for r in (0, 1, None)),
]  # fmt: skip
EXITS = [None, *EARLIER, own(0, restarts=1), own(143, restarts=1), own(1, restarts=1)]
OTHERS: list[list[tuple[int, ExitRecord]]] = [[], [(1, own(3))], [(1, own(143, restarts=1))]]
LOGS = ["", "words\n", last_words(), last_words("PREEMPTION")]


def test_every_combination_keeps_the_promises() -> None:
    for seen, ended, others, log, cancelled in itertools.product(
        JOBS, EXITS, OTHERS, LOGS, [None, "cancelled by me"]
    ):
        evidence = SlurmEvidence(job=seen, exit=ended, others=others, log=log, cancelled=cancelled)
        found = judge(evidence)
        if seen is not None:
            assert found is not None, evidence
        if found is None:
            continue
        if seen is not None and seen.state in WAITING:
            assert found.state == QUEUED, evidence
        if seen is not None and seen.state in ON_NODES and found.state in FINISHED:
            assert ended is not None, evidence
            assert ended.exit_code not in (124, 130, 143), evidence
            assert ended.restarts >= (seen.restarts or 0), evidence
        if found.state in (FAILED, TIMEOUT, CANCELLED):
            assert found.exit_code != 0, evidence
            assert found.reason, evidence
        if found.state in (QUEUED, RUNNING):
            assert (found.exit_code, found.ended_at) == (None, None), evidence
        if found.state == SUCCEEDED:
            said = [s.state for s in (ended, seen) if s is not None]
            assert SUCCEEDED in said or "COMPLETED" in said, evidence
