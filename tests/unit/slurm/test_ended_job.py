"""The final state of ended jobs, from exit.json, the state in Slurm, and the log."""

from __future__ import annotations

import pytest

from prl_submit.backends.slurm.evidence import SlurmEvidence
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.backends.slurm.judge import judge
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
)
from tests.unit.slurm.judged import ENDS, OOM, at, job, last_words, own, verdict


# ------------------------------------------------------------------ exit.json and Slurm's state
@pytest.mark.parametrize(
    ("ended", "seen"),
    [
        (own(0), job("COMPLETED", 0)),
        (own(1), job("FAILED", 1)),
        (own(65), job("FAILED", 65)),
        (own(137), job("FAILED", 137)),
        (own(137), job("FAILED", 0, 9)),  # a shell's 128 + signal
        (own(1), job("FAILED")),
        (own(0), None),
        (own(1), None),
    ],
)
def test_exit_json_and_slurm_agree(ended: ExitRecord, seen: ListedJob | None) -> None:
    assert verdict(exit=ended, job=seen) == State(
        state=str(ended.state),
        reason=ended.reason,
        exit_code=ended.exit_code,
        started_at=at(0),
        ended_at=at(10),
    )


@pytest.mark.parametrize(
    ("ended", "seen", "state", "reason"),
    [
        (own(0), job("FAILED", 1), SUCCEEDED, "Slurm says FAILED, exit code 1"),
        (own(0), job("FAILED", 0, 9), SUCCEEDED, "Slurm says FAILED, exit code 0, signal 9"),
        (own(0), job("TIMEOUT", 0), SUCCEEDED, "Slurm says TIMEOUT, exit code 0"),
        (own(0), job("NODE_FAIL", 0), SUCCEEDED, "Slurm says NODE_FAIL, exit code 0"),
        (own(0), job("CANCELLED", 0), SUCCEEDED, "Slurm says CANCELLED, exit code 0"),
        (own(1), job("COMPLETED", 0), FAILED, "words for 1; Slurm says COMPLETED, exit code 0"),
        (own(1), job("FAILED", 2), FAILED, "words for 1; Slurm says FAILED, exit code 2"),
        (own(1), job("CANCELLED", 0, 15), FAILED, "words for 1; Slurm says CANCELLED, exit code 0, signal 15"),
        (own(1), job("OUT_OF_MEMORY", 0), FAILED, f"{OOM}; words for 1"),
        (own(137), job("OUT_OF_MEMORY", 0, 9), FAILED, f"{OOM}; words for 137"),
    ],
)  # fmt: skip
def test_a_contradiction_is_told(
    ended: ExitRecord, seen: ListedJob, state: str, reason: str
) -> None:
    found = verdict(exit=ended, job=seen)
    assert (found.state, found.reason, found.exit_code) == (state, reason, ended.exit_code)


# ------------------------------------------------------------------ an interrupted exit.json
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("PREEMPTED", "preempted by a job of higher priority"),
        ("NODE_FAIL", "node n1 failed"),
        ("OUT_OF_MEMORY", OOM),
        ("BOOT_FAIL", "its node did not boot"),
        ("TIMEOUT", "the time limit was reached"),
        ("DEADLINE", "its deadline passed"),
        ("CANCELLED", "cancelled by scancel"),
    ],
)
@pytest.mark.parametrize("ended", [own(143), own(130)])
def test_a_signals_cause_is_slurms_to_tell(ended: ExitRecord, state: str, reason: str) -> None:
    found = verdict(exit=ended, job=job(state, 0, 15))
    assert (found.state, found.reason) == (ENDS[state], reason)
    assert found.exit_code == ended.exit_code


@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT", "FAILED", "COMPLETED"])
def test_the_jobs_own_timeout_stays_one(state: str) -> None:
    """The job stopped by itself at the warning; Slurm's name for that varies."""
    found = verdict(exit=own(124, TIMEOUT), job=job(state, 0, 15))
    assert (found.state, found.reason, found.exit_code) == (TIMEOUT, "words for 124", 124)


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED"])
def test_a_preempted_job_that_was_out_of_time_too(state: str) -> None:
    assert verdict(exit=own(124, TIMEOUT), job=job(state)).state == TIMEOUT


@pytest.mark.parametrize(
    ("ended", "state"),
    [(own(143), FAILED), (own(143, CANCELLED), CANCELLED), (own(130, CANCELLED), CANCELLED)],
)
def test_slurm_says_failed_of_a_job_that_was_signalled(ended: ExitRecord, state: str) -> None:
    found = verdict(exit=ended, job=job("FAILED", ended.exit_code))
    assert (found.state, found.reason) == (state, ended.reason)
    assert found.exit_code == ended.exit_code


def test_an_interrupted_job_that_completed_is_not_told_to_have_left_nothing() -> None:
    found = verdict(exit=own(143), job=job("COMPLETED", 0))
    assert "no exit.json" not in (found.reason or "")
    assert (found.state, found.exit_code) in {(SUCCEEDED, 0), (FAILED, 143)}


# ------------------------------------------------------------------ no exit.json
@pytest.mark.parametrize(
    ("seen", "state", "code", "reason"),
    [
        (job("COMPLETED", 0), SUCCEEDED, 0, "it left no exit.json; Slurm says COMPLETED"),
        (job("FAILED", 1), FAILED, 1, "it left no exit.json; Slurm says FAILED, exit code 1"),
        (job("FAILED", 0, 9), FAILED, 137, "it left no exit.json; Slurm says FAILED, exit code 0, signal 9"),
        (job("FAILED"), FAILED, None, "it left no exit.json; Slurm says FAILED, exit code None"),
        (job("CANCELLED", 0), CANCELLED, None, "cancelled by scancel"),
        (job("CANCELLED", 0, 15), CANCELLED, 143, "cancelled by scancel"),
        (job("CANCELLED", 0, cancelled_by="bob"), CANCELLED, None, "cancelled by bob"),
        (job("TIMEOUT", 0, 15), TIMEOUT, 143, "the time limit was reached"),
        (job("TIMEOUT", 0), TIMEOUT, None, "the time limit was reached"),
        (job("DEADLINE", 0), TIMEOUT, None, "its deadline passed"),
        (job("PREEMPTED", 0), FAILED, None, "preempted by a job of higher priority"),
        (job("OUT_OF_MEMORY", 0, 125), FAILED, 253, OOM),
        (job("BOOT_FAIL", 0), FAILED, None, "its node did not boot"),
        (job("REVOKED", 0), FAILED, None, "taken over by another cluster"),
        (job("NODE_FAIL", 0), FAILED, None, "node n1 failed"),
        (job("NODE_FAIL", 0, nodes="n[1-2]"), FAILED, None, "a node failed (n[1-2])"),
        (job("NODE_FAIL", 0, nodes="n1,n7"), FAILED, None, "a node failed (n1,n7)"),
    ],
)  # fmt: skip
def test_slurms_state_alone(seen: ListedJob, state: str, code: int | None, reason: str) -> None:
    assert verdict(job=seen) == State(
        state=state, reason=reason, exit_code=code, started_at=at(1), ended_at=at(11)
    )


def test_a_job_that_slurm_did_not_let_end_has_no_exit_code_0() -> None:
    """Slurm lists exit code 0 for many jobs that it stopped; a script would take it for success."""
    for state in ENDS.keys() - {"COMPLETED"}:
        assert verdict(job=job(state, 0)).exit_code is None, state


def test_a_cancellation_by_prl_submit_has_its_own_words() -> None:
    found = verdict(job=job("CANCELLED", 0, cancelled_by="root"), cancelled="cancelled by me")
    assert (found.state, found.reason) == (CANCELLED, "cancelled by me")


def test_a_cancel_that_came_too_late_changes_nothing() -> None:
    assert verdict(job=job("COMPLETED", 0), exit=own(0), cancelled="cancelled by me").state == (
        SUCCEEDED
    )
    assert verdict(job=job("FAILED", 1), exit=own(1), cancelled="cancelled by me").state == FAILED


def test_a_script_that_could_not_be_started() -> None:
    found = verdict(job=job("FAILED", 0, 53, reason="RaisedSignal:53"), log="old words\n")
    assert found.state == FAILED
    assert found.reason == (
        "Slurm could not start it on n1 (RaisedSignal:53): is the run directory on a "
        "file system that the nodes share?"
    )


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("first\nprl-submit: /x is not on n1\n\n", "/x is not on n1"),
        ("srun: error: x\n  \n", "srun: error: x"),
        ("\n", "it left no exit.json; Slurm says FAILED, exit code 78"),
        (f"{'x' * 2000}: the cause", f"{'x' * 249} … {'x' * 237}: the cause"),
    ],
)
def test_the_logs_last_line_says_why_a_script_failed(log: str, reason: str) -> None:
    assert verdict(job=job("FAILED", 78), log=log).reason == reason


# ------------------------------------------------------------------ several nodes
@pytest.mark.parametrize(
    ("ended", "others", "code", "reason"),
    [
        # Node 1 failed, and srun stopped node 0 then.
        (own(143), [(1, own(3, node="n2"))], 3, "node 1 (n2): words for 3"),
        (None, [(1, own(3, node="n2"))], 3, "node 1 (n2): words for 3"),
        # Both nodes failed by themselves: the first one counts.
        (own(1, ended_at=at(9)), [(1, own(3, node="n2"))], 1, "words for 1"),
        (own(1), [(1, own(3, node="n2", ended_at=at(9)))], 3, "node 1 (n2): words for 3"),
        (
            own(1),
            [(1, own(4, node="n2", ended_at=at(8))), (2, own(5, node="n3", ended_at=at(7)))],
            5,
            "node 2 (n3): words for 5",
        ),
        # In the same second the lowest node counts.
        (own(1), [(1, own(3, node="n2"))], 1, "words for 1"),
        # Nodes that launch.sh only stopped do not count.
        (own(1), [(1, own(143, ended_at=at(2))), (2, own(130, ended_at=at(3)))], 1, "words for 1"),
        (own(1), [(1, own(0, ended_at=at(2)))], 1, "words for 1"),
    ],
)
def test_the_node_that_failed_first_is_named(
    ended: ExitRecord | None, others: list[tuple[int, ExitRecord]], code: int, reason: str
) -> None:
    found = verdict(exit=ended, others=others, job=job("FAILED"))
    assert (found.state, found.exit_code, found.reason) == (FAILED, code, reason)
    found = verdict(exit=ended, others=others)
    assert (found.state, found.reason) == (FAILED, reason), "Slurm has forgotten the job"


def test_the_exit_code_is_that_of_the_node_that_failed() -> None:
    """Also where Slurm has forgotten the job."""
    assert verdict(exit=own(143), others=[(1, own(3, node="n2"))]).exit_code == 3


@pytest.mark.parametrize(
    "told",
    [1, 3],
)
def test_srun_has_the_code_of_one_of_the_failed_nodes(told: int) -> None:
    """srun exits with the highest code of all tasks; that is no contradiction."""
    found = verdict(
        exit=own(1), others=[(1, own(3, node="n2", ended_at=at(9)))], job=job("FAILED", told)
    )
    assert found.reason == "node 1 (n2): words for 3"


@pytest.mark.parametrize("seen", [None, job("FAILED", 3)])
def test_one_node_that_failed_is_a_failure(seen: ListedJob | None) -> None:
    """Also if node 0 itself succeeded."""
    found = verdict(exit=own(0), others=[(1, own(3, node="n2"))], job=seen)
    assert (found.state, found.exit_code, found.reason) == (FAILED, 3, "node 1 (n2): words for 3")


@pytest.mark.parametrize("code", [130, 143])
def test_a_node_that_launch_sh_stopped_is_not_the_cause(code: int) -> None:
    """launch.sh stops the others when node 0 ends."""
    found = verdict(exit=own(0), others=[(1, own(code))], job=job("COMPLETED", 0))
    assert (found.state, found.reason) == (SUCCEEDED, None)


@pytest.mark.parametrize("state", ["NODE_FAIL", "CANCELLED", "TIMEOUT", "PREEMPTED"])
def test_slurm_knows_better_than_the_nodes_that_it_ended(state: str) -> None:
    found = verdict(exit=own(143), others=[(1, own(1, node="n2"))], job=job(state, 0, 15))
    assert found.state == ENDS[state]
    assert "node 1" not in (found.reason or "")


# ------------------------------------------------------------------ jobs that Slurm has forgotten
def test_nothing_is_known() -> None:
    assert judge(SlurmEvidence()) is None
    assert judge(SlurmEvidence(log="ordinary words\n")) is None
    assert judge(SlurmEvidence(others=[(1, own(0)), (2, own(143))])) is None


@pytest.mark.parametrize(
    ("cause", "state", "reason"),
    [
        ("", CANCELLED, "cancelled by scancel"),
        ("TIME LIMIT", TIMEOUT, "the time limit was reached"),
        ("PREEMPTION", FAILED, "preempted by a job of higher priority"),
        ("NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS", FAILED, "a node failed"),
        ("JOB REQUEUE", FAILED, "put back into the queue"),
        ("UNCORRECTABLE MEMORY ERROR", FAILED, None),
    ],
)
@pytest.mark.parametrize("ended", [None, own(143)])
def test_slurms_last_words(
    cause: str, state: str, reason: str | None, ended: ExitRecord | None
) -> None:
    found = verdict(exit=ended, log=f"before\n{last_words(cause)}after\n")
    assert found.state == state
    assert reason is None or found.reason == reason
    assert found.exit_code == (143 if ended else None)


def test_the_last_of_several_last_words() -> None:
    assert verdict(log=last_words("PREEMPTION") + last_words("TIME LIMIT")).state == TIMEOUT


@pytest.mark.parametrize(
    "log",
    [
        "slurmstepd: error: *** STEP 77.0 ON n1 CANCELLED AT 2026-11-22T21:11:00 ***\n",
        "slurmstepd: error: *** JOB 77 STEPD TERMINATED ON n1 AT x DUE TO JOB NOT RUNNING ***\n",
        "JOB 77 ON n1 CANCELLED AT x\n",
    ],
)
def test_words_that_do_not_say_how_the_job_ended(log: str) -> None:
    assert judge(SlurmEvidence(log=log)) is None


@pytest.mark.parametrize(
    "ended", [own(124, TIMEOUT), own(143, CANCELLED), own(130, CANCELLED), own(143)]
)
def test_an_interrupted_job_that_slurm_forgot(ended: ExitRecord) -> None:
    found = verdict(exit=ended)
    assert (found.state, found.reason) == (ended.state, ended.reason)


def test_the_timeout_in_exit_json_counts_before_the_log() -> None:
    assert verdict(exit=own(124, TIMEOUT), log=last_words()).state == TIMEOUT


def test_a_cancelled_job_that_never_began() -> None:
    found = verdict(cancelled="cancelled by me")
    assert (found.state, found.reason) == (CANCELLED, "cancelled by me")


# ------------------------------------------------------------------ one log, several attempts
BEGINNING = "prl-submit: 2026-11-22T21:00:00+01:00 job 77 on n1, restart 1\n"
KILLED = "slurmstepd: error: Detected 1 oom_kill event in StepId=77.0. Some of the step tasks have been OOM Killed.\n"


@pytest.mark.parametrize(
    ("seen", "ended", "state", "reason"),
    [
        (job("FAILED", 0, 9), None, FAILED, OOM),
        (job("FAILED", 137), own(137), FAILED, f"{OOM}; words for 137"),
        (job("FAILED", 1), own(1), FAILED, f"{OOM}; words for 1"),
        (
            job("COMPLETED", 0),
            own(0),
            SUCCEEDED,
            None,
        ),  # the kernel killed a helper process, and the training went on
        (job("TIMEOUT", 0), None, TIMEOUT, "the time limit was reached"),
        (job("CANCELLED", 0), None, CANCELLED, "cancelled by scancel"),
        (job("OUT_OF_MEMORY", 0), own(0), SUCCEEDED, "Slurm says OUT_OF_MEMORY, exit code 0"),
    ],
)
def test_a_step_that_ran_out_of_memory(
    seen: ListedJob, ended: ExitRecord | None, state: str, reason: str | None
) -> None:
    """Slurm's state of the job need not say it."""
    found = verdict(job=seen, exit=ended, log=f"{BEGINNING}{KILLED}after\n")
    assert (found.state, found.reason) == (state, reason)


def test_the_memory_of_an_earlier_attempt_is_not_this_ones() -> None:
    found = verdict(job=job("FAILED", 1, restarts=1), log=f"{KILLED}{BEGINNING}its words\n")
    assert found.reason == "its words"


def test_an_earlier_attempts_last_line_is_not_this_ones() -> None:
    found = verdict(job=job("FAILED", 1, restarts=1), log=f"old words\n{BEGINNING}")
    assert found.reason == "it left no exit.json; Slurm says FAILED, exit code 1"


def test_an_earlier_attempts_last_words_are_not_this_ones() -> None:
    assert judge(SlurmEvidence(log=f"{last_words('PREEMPTION')}{BEGINNING}new words\n")) is None
    assert verdict(log=f"{last_words()}{BEGINNING}{last_words('TIME LIMIT')}").state == TIMEOUT


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
@pytest.mark.parametrize("ended", [own(0), own(1)])
def test_of_several_nodes_not_only_node_0_counts(state: str, ended: ExitRecord) -> None:
    found = verdict(job=job(state, node_count=2), exit=ended)
    assert (found.state, found.reason) == (RUNNING, "node 0 has ended")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (
            "n2: task 1: Killed",
            137,
            "node 1 (n2): killed (SIGKILL); out of memory is the usual cause",
        ),
        ("n2: task 1: Exited with exit code 7", 7, "node 1 (n2): Exited with exit code 7"),
        ("n2: tasks 1-3: Segmentation fault", None, "node 1-3 (n2): Segmentation fault"),
    ],
)
def test_srun_tells_of_a_task_without_exit_json(line: str, code: int | None, words: str) -> None:
    """The tasks that srun stopped afterwards are not named."""
    log = f"srun: error: n1: task 0: Exited with exit code 143\nsrun: error: {line}\n"
    found = verdict(exit=own(143), job=job("FAILED", 143), log=log)
    assert (found.state, found.exit_code, found.reason) == (FAILED, code, words)


def test_srun_printed_nothing_of_use() -> None:
    log = "srun: error: n1: task 0: Exited with exit code 143\n"
    found = verdict(exit=own(143), job=job("FAILED", 143), log=log)
    assert (found.state, found.reason) == (FAILED, "words for 143")


@pytest.mark.parametrize(
    ("state", "signal"),
    [
        ("CANCELLED", 15),
        ("TIMEOUT", None),
        ("PREEMPTED", 15),
        ("NODE_FAIL", None),
        ("FAILED", None),
    ],
)
def test_the_jobs_own_proof_counts_more_than_what_slurm_did_to_it(
    state: str, signal: int | None
) -> None:
    """Every step was trained and saved when the job was stopped; the other nodes were stopped with it."""
    done = own(0, reason="all 14 steps are trained and saved; then: stopped by signal 15")
    found = verdict(
        job=job(state, 0, signal), exit=done, cancelled="cancelled by me", others=[(1, own(143))]
    )
    assert (found.state, found.exit_code) == (SUCCEEDED, 0)
    assert (found.reason or "").startswith("all 14 steps are trained and saved")
