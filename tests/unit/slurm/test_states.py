"""From runs to states, with a fake Slurm: what prl-submit asks, what it believes, and what it stores."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.backends.answers import keep
from prl_submit.backends.slurm import states as slurm_states
from prl_submit.backends.slurm.job_listing import slurm_time
from prl_submit.backends.slurm.slurm_commands import SlurmCommands
from prl_submit.backends.slurm.states import MISSING_S, states
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.layout import EXIT, LOGS, PLAN
from prl_submit.runs.record import Limits, write_record
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
    status_of,
)
from prl_submit.runs.times import local_now as now
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell
from tests.support.records import make_run

THEN = "2026-11-22T21:00:00"
DOWN = Answer(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
NO_ACCOUNTING = Answer(1, "", "Slurm accounting storage is disabled")
UNKNOWN = Answer(1, "", "slurm_load_jobs error: Invalid job id specified")


def live(job_id: str, token: str | None, state: str = "RUNNING", **more: str) -> dict[str, str]:
    """A job as squeue lists it, by the names of its fields."""
    return {
        "JobID": job_id,
        "JobArrayID": job_id,
        "State": state,
        "RestartCnt": "0",
        "exit_code": "0",
        "StartTime": THEN,
        "EndTime": "N/A",
        "NumNodes": "1",
        "tres-per-node": "gres:gpu:4",
        "NodeList": "n1",
        "Reason": "None",
        "Name": "mr",
        "Comment": "(null)" if token is None else f"prl-submit:{token}",
        "UserID": str(os.getuid()),
        "SubmitTime": THEN,
        "Command": "(null)",
        "STDOUT": "(null)",
        "user": "me",
    } | more


def accounted(job_id: str, state: str, **more: str) -> dict[str, str]:
    """A job as sacct lists it."""
    return {
        "JobID": job_id,
        "State": state,
        "ExitCode": "0:0",
        "Submit": THEN,
        "Start": THEN,
        "End": "2026-11-22T22:00:00",
        "NNodes": "1",
        "NodeList": "n1",
        "Reason": "None",
        "JobName": "mr",
        "SubmitLine": "sbatch",
    } | more


def options(argv: Sequence[str]) -> dict[str, str]:
    """The options of a command line, without their dashes."""
    return dict(word.removeprefix("--").partition("=")[::2] for word in argv[1:])


class FakeSlurm(FakeShell):
    """squeue and sacct of a cluster with these jobs; `rows` None: it has no accounting."""

    def __init__(self, *jobs: dict[str, str], rows: Sequence[dict[str, str]] | None = None) -> None:
        super().__init__(squeue=self._squeue, sacct=self._sacct)
        self.jobs = list(jobs)
        self.rows = rows

    def _squeue(self, argv: Sequence[str]) -> Answer:
        words = options(argv)
        wanted = words["jobs"].split(",") if "jobs" in words else None
        jobs = [job for job in self.jobs if wanted is None or job["JobID"] in wanted]
        jobs = [job for job in jobs if "me" not in words or job["user"] == "me"]
        if wanted is not None and not jobs and len(wanted) == 1:
            return UNKNOWN
        names = [field.partition(":")[0] for field in words["Format"].split(",")]
        return Answer(0, "".join("".join(f"{j[n]}\x1f" for n in names) + "\n" for j in jobs), "")

    def _sacct(self, argv: Sequence[str]) -> Answer:
        words = options(argv)
        if self.rows is None:
            return NO_ACCOUNTING
        names = words["format"].split(",")
        rows = [row for row in self.rows if row["JobID"] in words["jobs"].split(",")]
        text = "".join(words["delimiter"].join(row[n] for n in names) + "\n" for row in rows)
        return Answer(0, text, "")


def ask(slurm: FakeSlurm, *runs: Run) -> list[State]:
    """The states of the runs in these directories."""
    fresh = [read_run(run.path) or run for run in runs]
    answers = states(fresh, SlurmCommands(slurm, {}))
    return [keep(run, answer) for run, answer in zip(fresh, answers, strict=True)]


def ask_one(slurm: FakeSlurm, run: Run) -> State:
    """The state of one run."""
    return ask(slurm, run)[0]


Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(job_id, …)`: a submitted run; its token is `t` and its job id."""

    def made(job_id: str | None = "77", **fields: Any) -> Run:
        number = len(list(tmp_path.iterdir()))
        path = tmp_path / f"v{number}-20261122-210000"
        (path / LOGS).mkdir(parents=True)
        usual = {"backend": "slurm", "submitted_at": f"{THEN}+00:00", "token": f"t{job_id}"}
        return make_run(path, job_id=job_id, **usual | fields)

    return made


def kept(run: Run) -> State | None:
    """verdict.json of the run as it is now."""
    fresh = read_run(run.path)
    assert fresh is not None
    return read_verdict(fresh)


def leave(run: Run, code: int, state: str, **more: object) -> None:
    """An exit.json."""
    ended = ExitRecord(exit_code=code, state=state, **{"reason": "own words", **more})  # type: ignore[arg-type]
    (run.path / EXIT).write_bytes(msgspec.json.encode(ended))


def log(run: Run, text: str = "", name: str = "node0.log") -> None:
    """A log file."""
    (run.path / LOGS / name).write_text(text)


def last_words(cause: str = "", job_id: str = "77") -> str:
    """The end of Slurm's log."""
    due = f" DUE TO {cause}" if cause else ""
    return f"slurmstepd: error: *** JOB {job_id} ON n1 CANCELLED AT {THEN}{due} ***\n"


def marker(run: Run) -> Path:
    """The file that says since when Slurm does not list the job."""
    return run.path / LOGS / ".missing"


def age(path: Path, seconds: float) -> None:
    """Make a file look as if it had been written so many seconds ago."""
    then = time.time() - seconds
    if path.name == ".missing":
        path.write_text(str(then))
    os.utime(path, (then, then))


# ------------------------------------------------------------------ what is asked
@pytest.mark.parametrize("count", [1, 2, 200])
def test_one_question_for_any_number_of_live_jobs(make: Make, count: int) -> None:
    runs = [make(str(i)) for i in range(count)]
    slurm = FakeSlurm(*(live(str(i), f"t{i}") for i in range(count)))
    assert {state.state for state in ask(slurm, *runs)} == {RUNNING}
    assert slurm.programs == ["squeue"]


@pytest.mark.parametrize("count", [2, 200])
def test_two_questions_where_some_have_ended(make: Make, count: int) -> None:
    runs = [make(str(i)) for i in range(count)]
    slurm = FakeSlurm(
        *(live(str(i), f"t{i}", "FAILED" if i % 3 == 1 else "RUNNING") for i in range(0, count, 2)),
        rows=[accounted(str(i), "CANCELLED by 0") for i in range(1, count, 2)],
    )
    found = [state.state for state in ask(slurm, *runs)]
    assert found[0] == RUNNING
    assert found[1] == CANCELLED
    assert sorted(slurm.programs) == ["sacct", "squeue"]


def test_accounting_is_not_asked_where_squeue_gave_no_answer(make: Make) -> None:
    slurm = FakeSlurm(rows=[accounted("77", "FAILED")])
    slurm.says(squeue=DOWN)
    ask(slurm, make())
    assert slurm.programs == ["squeue"]


def test_a_damaged_record_hides_no_other_run(make: Make) -> None:
    broken, good = make("7"), make("8")
    (broken.path / "run.json").write_text("{")
    found = ask(FakeSlurm(live("8", "t8")), broken, good)
    assert [state.state for state in found] == [LOST, RUNNING]
    assert "run.json is damaged" in str(found[0].reason)


# ------------------------------------------------------------------ whose job it is
@pytest.mark.parametrize(
    ("job", "mine"),
    [
        (live("77", "t77"), True),
        (live("77", "t77", Comment="ours | prl-submit:t77"), True),
        (live("77", "t77", Comment="prl-submit:t77 the site's"), True),
        (live("77", None), False),  # anybody can write this id and name into run.json
        (live("77", None, Comment="project=x"), False),
        # A site or an administrator has changed the comment: the id and the job's directory count.
        (live("77", None, STDOUT="RUN/logs/slurm.log"), True),
        (live("77", None, Command="RUN/job.sbatch", Comment="project=x"), True),
        (live("77", None, Command="RUN/job.sbatch", Name="other", Comment="two\nlines"), True),
        (live("77", None, Command="/elsewhere/job.sbatch"), False),
        (live("78", None, Command="RUN/job.sbatch"), False),
        (live("77", "t77", UserID="4242"), False),  # somebody copied the token, which squeue shows
        (live("77", "t77", UserID="(null)"), False),
        (live("77", "other"), False),  # the id was given out again
        (live("78", "t77"), False),  # `sbatch job.sbatch` by hand
    ],
)
def test_whose_job_it_is(make: Make, job: dict[str, str], mine: bool) -> None:
    run = make()
    job = {name: text.replace("RUN", str(run.path)) for name, text in job.items()}
    assert (ask_one(FakeSlurm(job), run).started_at is not None) is mine


@pytest.mark.parametrize("shown", ["Command", "STDOUT"])
def test_a_copied_directory_does_not_have_the_job(make: Make, shown: str) -> None:
    """After `cp -r RUN COPY` the job belongs to RUN only, and `status COPY` says so."""
    run, copy = make("77"), make("77")
    path = f"{run.path}/job.sbatch" if shown == "Command" else f"{run.path}/logs/slurm.log"
    found = ask(FakeSlurm(live("77", "t77", **{shown: path})), run, copy)
    assert [state.state for state in found] == [RUNNING, LOST]
    assert (
        found[1].reason == f"job 77 is the job of {run.path}; this directory is a copy of that one"
    )


def test_a_moved_directory_has_its_job(make: Make) -> None:
    """Nothing is left at the old path, so this is the original."""
    run = make("77")
    moved = live("77", "t77", Command="/gone/v0-20261122-210000/job.sbatch")
    assert ask_one(FakeSlurm(moved), run).state == RUNNING


def test_a_submission_without_an_answer_where_the_site_writes_the_comments(make: Make) -> None:
    """Without id and token, the job is the one whose script lies here, after a resume only one submitted since."""
    first = make(None)
    long_ago = "2026-11-01T21:00:00+00:00"
    again = make(None, restarts=1, submitted_at=long_ago, resumed_at=[f"{THEN}+00:00"])
    old = live("7", None, SubmitTime="2026-11-22T20:00:00")
    new = live("8", None, SubmitTime="2026-11-23T21:00:00")
    here = {"Command": f"{again.path}/job.sbatch"}
    assert ask_one(FakeSlurm(old | {"Command": f"{first.path}/job.sbatch"}), first).job_id == "7"
    assert ask_one(FakeSlurm(old | here), again).job_id is None
    assert ask_one(FakeSlurm(old | here, new | here), again).job_id == "8"


def test_an_id_given_out_again_to_a_run_of_ours(make: Make) -> None:
    """slurmctld was killed right after it had accepted the first job."""
    old, new = make("77", token="old"), make("77", token="new")
    slurm = FakeSlurm(live("77", "new"))
    found = ask(slurm, old, new)
    assert [state.state for state in found] == [QUEUED, RUNNING]
    age(marker(old), MISSING_S + 1)
    assert [state.state for state in ask(slurm, old, new)] == [LOST, RUNNING]


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_accounting_of_an_id_given_out_again(make: Make, state: str) -> None:
    """sacct lists no token. But it lists when the job was submitted, and squeue lists whose the id is now."""
    old, new = make("77", token="old"), make("77", token="new", submitted_at=f"{THEN}+00:00")
    slurm = FakeSlurm(live("77", "new", state), rows=[accounted("77", state)])
    found = ask(slurm, old, new)
    assert found[0].state in (QUEUED, LOST)
    assert kept(old) is None


@pytest.mark.parametrize("name", ["other", "mr2", ""])
def test_accounting_of_somebody_elses_job(make: Make, name: str) -> None:
    run = make()
    found = ask_one(FakeSlurm(rows=[accounted("77", "FAILED", JobName=name)]), run)
    assert found.state == QUEUED
    assert kept(run) is None


# ------------------------------------------------------------------ an interrupted submission
@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_without_an_id_is_found_by_its_token(make: Make, state: str) -> None:
    run = make(None, token="mine")
    slurm = FakeSlurm(live("5", "other"), live("6", None), live("9", "mine", state))
    assert ask_one(slurm, run).state == {"PENDING": QUEUED, "RUNNING": RUNNING}[state]
    found = read_run(run.path)
    assert found is not None
    assert run.record is not None
    assert found.record == msgspec.structs.replace(run.record, job_id="9")
    slurm.calls.clear()
    assert ask_one(slurm, run).state != LOST
    assert slurm.programs == ["squeue"]


def test_without_a_token_no_job_is_taken(make: Make) -> None:
    run = make(None, token="mine")
    assert ask_one(FakeSlurm(live("5", None), live("6", "other")), run).state == QUEUED
    found = read_run(run.path)
    assert found is not None
    assert found.record == run.record


def test_asking_writes_nothing_and_keeping_does(make: Make, tmp_path: Path) -> None:
    runs = [make(None), make("2"), make("3")]
    leave(runs[2], 0, "SUCCEEDED")
    slurm = FakeSlurm(live("9", "tNone"), rows=[accounted("3", "COMPLETED")])

    def content() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    before = content()
    answers = states(runs, SlurmCommands(slurm, {}))
    assert content() == before
    said = [(answer.job_id, answer.is_missing, answer.is_final) for answer in answers]
    assert said == [("9", False, False), (None, True, False), ("3", False, True)]
    for run, answer in zip(runs, answers, strict=True):
        keep(run, answer)
    changed = {file.name for file, data in content().items() if before.get(file) != data}
    assert changed == {"run.json", ".missing", "verdict.json"}


def test_a_run_that_cannot_be_written_is_told_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("prl_submit.runs.belonging.write_record", fail)
    assert ask_one(FakeSlurm(live("9", "tNone")), make(None)).state == RUNNING


def test_it_was_never_submitted(make: Make) -> None:
    run = make(None)
    assert ask_one(FakeSlurm(), run).state == QUEUED
    age(marker(run), MISSING_S + 1)
    found = ask_one(FakeSlurm(), run)
    assert found.state == LOST
    assert "never submitted" in str(found.reason)


def test_another_users_run_is_found_beside_ours(make: Make) -> None:
    """Without an id squeue lists a user's own jobs; runs in a shared output root may be other users'."""
    theirs, ours = make("5"), make(None)
    slurm = FakeSlurm(live("5", "t5", user="bob"), live("6", "tNone"))
    assert [state.started_at is not None for state in ask(slurm, theirs, ours)] == [True, True]


def test_the_end_of_an_adopted_job_is_kept(make: Make) -> None:
    run = make(None)
    found = ask_one(FakeSlurm(live("9", "tNone", "FAILED", exit_code="256")), run)
    assert found.state == FAILED
    assert kept(run) == found


# ------------------------------------------------------------------ missing, and lost
@pytest.mark.parametrize(
    ("began", "last", "why"),
    [(False, QUEUED, "it never began"), (True, RUNNING, "it left no exit.json")],
)
@pytest.mark.parametrize("answer", [None, UNKNOWN, Answer(0, "", "")])
def test_lost_only_after_a_while(
    make: Make, answer: Answer | None, began: bool, last: str, why: str
) -> None:
    run, slurm = make(), FakeSlurm(rows=[])
    if answer is not None:
        slurm.says(squeue=answer)
    if began:
        log(run)
    for _ in range(3):
        found = ask_one(slurm, run)
        assert (found.state, found.unreachable) == (last, None)
        assert "Slurm does not list job 77" in str(found.reason)
    age(marker(run), MISSING_S - 5)
    assert ask_one(slurm, run).state == last
    age(marker(run), MISSING_S + 1)
    found = ask_one(slurm, run)
    assert found.state == LOST
    assert why in str(found.reason)
    assert kept(run) is None, "it may yet turn up"


def test_a_job_that_is_listed_again_was_not_missing(make: Make) -> None:
    run = make()
    ask_one(FakeSlurm(), run)
    age(marker(run), MISSING_S + 1)
    assert ask_one(FakeSlurm(live("77", "t77")), run).state == RUNNING
    assert not marker(run).exists()
    assert ask_one(FakeSlurm(), run).state == QUEUED, "it is counted anew"


@pytest.mark.parametrize(
    "answer",
    [
        DOWN,
        Answer(124, "", "squeue: no answer within 60 s"),
        Answer(127, "", "squeue: not installed"),
        Answer(1, "", "slurm_load_jobs error: Unspecified error"),
        Answer(1, "", ""),
        Answer(-9, "", ""),
    ],
)
def test_no_answer_never_means_lost(make: Make, answer: Answer) -> None:
    run, slurm = make(), FakeSlurm()
    ask_one(slurm, run)
    age(marker(run), 10 * MISSING_S)
    slurm.says(squeue=answer)
    found = ask_one(slurm, run)
    assert found.state == QUEUED
    assert found.unreachable
    assert found.unreachable in str(found.reason)
    log(run)
    assert ask_one(slurm, run).state == RUNNING
    assert kept(run) is None


def test_no_answer_does_not_start_the_minute(make: Make) -> None:
    run, slurm = make(), FakeSlurm()
    slurm.says(squeue=DOWN)
    ask_one(slurm, run)
    assert not marker(run).exists()


def test_the_clock_of_an_earlier_job_of_the_run_does_not_count(make: Make) -> None:
    """The run was LOST and resumed; one empty answer about the new job proves nothing."""
    run = make()
    ask_one(FakeSlurm(), run)
    age(marker(run), 86_400)
    assert run.record is not None
    fresh = {"job_id": "78", "restarts": 1, "submitted_at": now()}
    write_record(run.path, msgspec.structs.replace(run.record, **fresh))
    assert ask_one(FakeSlurm(), run).state != LOST


def test_logs_that_somebody_removed(make: Make) -> None:
    run = make()
    (run.path / LOGS).rmdir()
    assert ask_one(FakeSlurm(), run).state in (QUEUED, LOST)


def test_a_colleagues_run_that_writes_its_log_is_not_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prl-submit cannot write a marker there; the time of the logs folder is that of its first log."""

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    run = make()
    log(run, "step 7\n")
    age(run.path / LOGS, 86_400)
    monkeypatch.setattr(Path, "write_text", fail)
    assert ask_one(FakeSlurm(), run).state == RUNNING


# ------------------------------------------------------------------ no answer, and what the files say
def test_exit_json_suffices_without_slurm(make: Make) -> None:
    run, slurm = make(), FakeSlurm()
    slurm.says(squeue=DOWN)
    leave(run, 0, SUCCEEDED)
    found = ask_one(slurm, run)
    assert (found.state, found.unreachable) == (SUCCEEDED, None)
    assert kept(run) is None, "Slurm may know more"


@pytest.mark.parametrize("restarts", [0, 1])
def test_an_earlier_jobs_exit_json_does_not_count(make: Make, restarts: int) -> None:
    run, slurm = make(restarts=2), FakeSlurm()
    leave(run, 0, SUCCEEDED, restarts=restarts)
    slurm.says(squeue=DOWN)
    assert ask_one(slurm, run).state == QUEUED


@pytest.mark.parametrize(
    ("code", "state", "words"),
    [(124, TIMEOUT, ""), (143, FAILED, "PREEMPTION"), (143, FAILED, "JOB REQUEUE")],
)
def test_a_job_that_may_start_again_is_not_finished_while_slurm_is_silent(
    make: Make, code: int, state: str, words: str
) -> None:
    """The job was stopped and requeued; then slurmctld went down."""
    run, slurm = make(limits=Limits(max_restarts=3)), FakeSlurm()
    leave(run, code, state)
    log(run, last_words(words) if words else "", "slurm.log")
    slurm.says(squeue=DOWN)
    found = ask_one(slurm, run)
    assert found.state in (QUEUED, RUNNING)
    assert found.unreachable


@pytest.mark.parametrize("silent", [True, False])
def test_the_log_of_an_earlier_job_says_nothing_of_this_one(make: Make, silent: bool) -> None:
    """All jobs of a run append to one slurm.log."""
    run, slurm = make("78", restarts=1), FakeSlurm()
    log(run, last_words(job_id="77"), "slurm.log")
    if silent:
        slurm.says(squeue=DOWN)
    assert ask_one(slurm, run).state == QUEUED
    assert kept(run) is None


def test_the_log_of_this_job_does(make: Make) -> None:
    """At a site without accounting, after squeue has forgotten the job."""
    run = make()
    log(run, last_words("TIME LIMIT"), "slurm.log")
    found = ask_one(FakeSlurm(), run)
    assert found.state == TIMEOUT
    assert kept(run) == found


# ------------------------------------------------------------------ processes that live on, and jobs that are not restarted
def test_a_held_lock_means_that_a_process_lives(make: Make) -> None:
    """Every process of the run holds the lock, on every node."""
    run = make()
    ended = FakeSlurm(live("77", "t77", "NODE_FAIL"))
    with open(run.path / ".node3.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = ask_one(ended, run)
        assert (found.state, kept(run)) == (RUNNING, None)
        assert "processes of the run are still alive" in str(found.reason)
        assert ask_one(FakeSlurm(), run).state == RUNNING  # forgotten
        assert ask_one(FakeSlurm(live("77", "t77", "PENDING")), run).state == QUEUED
    assert (ask_one(ended, run).state, kept(run) is None) == (FAILED, False)


def test_a_lock_file_of_another_kind_is_ignored(make: Make) -> None:
    run = make()
    os.mkfifo(run.path / ".node0.lock")
    (run.path / ".node1.lock").symlink_to("/dev/zero")
    (run.path / ".node2.lock").mkdir()
    assert ask_one(FakeSlurm(live("77", "t77", "NODE_FAIL")), run).state == FAILED


@pytest.mark.parametrize(
    ("most", "again", "checkpoint", "words"),
    [
        (0, 0, False, ""),
        (3, 0, True, ""),
        (3, 0, False, "; not started again: it has no checkpoint yet to go on from"),
        (3, 3, True, "; not started again: restarts.max is 3, and used up"),
        (3, 3, False, "; not started again: restarts.max is 3, and used up"),
    ],
)
def test_why_a_time_out_is_the_end(
    make: Make, most: int, again: int, checkpoint: bool, words: str
) -> None:
    run = make(limits=Limits(max_restarts=most))
    if checkpoint:
        (run.path / "checkpoint-1").mkdir()
    leave(run, 124, TIMEOUT, restarts=again, reason="out of time")
    job = live("77", "t77", "FAILED", RestartCnt=str(again), exit_code="31744")
    found = ask_one(FakeSlurm(job), run)
    assert (found.state, found.reason) == (TIMEOUT, f"out of time{words}")


# ------------------------------------------------------------------ accounting
@pytest.mark.parametrize(
    ("rows", "state", "reason"),
    [
        (None, CANCELLED, "cancelled by scancel"),
        ([], CANCELLED, "cancelled by scancel"),
        ([accounted("77", "CANCELLED by 0")], CANCELLED, "cancelled by root"),
        ([accounted("77", "CANCELLED by nobody-known")], CANCELLED, "cancelled by nobody-known"),
        # sacct is late: these rows say nothing yet.
        ([accounted("77", "RUNNING")], CANCELLED, "cancelled by scancel"),
        ([accounted("77", "PENDING")], CANCELLED, "cancelled by scancel"),
        ([accounted("77", "CANCELLED by 0", JobName="other")], CANCELLED, "cancelled by scancel"),
        (
            [
                accounted(
                    "77", "CANCELLED by 0", JobName="other", SubmitLine="sbatch RUN/job.sbatch"
                )
            ],
            CANCELLED,
            "cancelled by root",
        ),
        ([accounted("77", "TIMEOUT")], TIMEOUT, "the time limit was reached"),
        (
            [accounted("77", "NODE_FAIL"), accounted("77", "CANCELLED by 0")],
            CANCELLED,
            "cancelled by root",
        ),
    ],
)
def test_what_accounting_adds(
    make: Make, rows: list[dict[str, str]] | None, state: str, reason: str
) -> None:
    run = make()
    here = [
        {n: text.replace("RUN", str(run.path)) for n, text in row.items()} for row in rows or []
    ]
    slurm = FakeSlurm(live("77", "t77", "CANCELLED"), rows=None if rows is None else here)
    found = ask_one(slurm, run)
    assert (found.state, found.reason) == (state, reason)


@pytest.mark.parametrize(
    ("answer", "state"), [(DOWN, FAILED), (NO_ACCOUNTING, FAILED), (Answer(0, "", ""), FAILED)]
)
def test_squeue_suffices_without_accounting(make: Make, answer: Answer, state: str) -> None:
    slurm = FakeSlurm(live("77", "t77", "FAILED", exit_code="256"))
    slurm.says(sacct=answer)
    found = ask_one(slurm, make())
    assert (found.state, found.exit_code, found.unreachable) == (state, 1, None)


DBD_DOWN = Answer(1, "", "sacct: error: Problem talking to the database: Connection refused")
DBD_BUSY = Answer(1, "", "sacct: error: slurmdbd: Getting response to message type: DBD_GET_JOBS")


@pytest.mark.parametrize("answer", [DBD_DOWN, DBD_BUSY, Answer(124, "", "sacct: no answer")])
def test_accounting_that_gives_no_answer_ends_nothing_for_good(make: Make, answer: Answer) -> None:
    """Unlike at a site without accounting, sacct may answer in a minute."""
    known, forgotten = make("77"), make("78")
    slurm = FakeSlurm(live("77", "t77", "CANCELLED"))
    slurm.says(sacct=answer)
    ask(slurm, known, forgotten)
    for run in (known, forgotten):
        assert kept(run) is None
    found = ask(slurm, known, forgotten)
    assert (found[0].state, found[0].reason) == (CANCELLED, "cancelled by scancel")
    assert found[1].state == QUEUED
    assert found[1].unreachable
    assert not marker(forgotten).exists()


def test_a_site_without_sacct(make: Make) -> None:
    run, slurm = make(), FakeSlurm(live("77", "t77", "CANCELLED"))
    slurm.says(sacct=Answer(127, "", "sacct: not installed"))
    assert kept(run) is None
    found = ask_one(slurm, run)
    assert kept(run) == found


def test_the_job_of_an_interrupted_submission_is_told_at_once(make: Make) -> None:
    run = make(None, token="t")
    found = ask_one(FakeSlurm(live("77", "t")), run)
    assert (found.state, found.job_id) == (RUNNING, "77")
    assert status_of(run, found).job_id == "77"


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "REQUEUED"])
def test_a_row_that_lags_does_not_end_a_job(make: Make, state: str) -> None:
    run = make()
    assert ask_one(FakeSlurm(rows=[accounted("77", state)]), run).state == QUEUED
    assert kept(run) is None


def test_accounting_is_not_asked_about_live_jobs(make: Make) -> None:
    """sacct lists live jobs as PENDING, or with an earlier attempt's NODE_FAIL."""
    slurm = FakeSlurm(live("77", "t77", RestartCnt="1"), rows=[accounted("77", "NODE_FAIL")])
    assert ask_one(slurm, make()).state == RUNNING
    assert slurm.programs == ["squeue"]


def test_a_job_that_only_accounting_knows(make: Make) -> None:
    run = make()
    found = ask_one(FakeSlurm(rows=[accounted("77", "NODE_FAIL", NodeList="n7")]), run)
    assert (found.state, found.reason) == (FAILED, "node n7 failed")
    assert kept(run) == found


def test_who_cancelled_a_job_that_only_accounting_knows(make: Make) -> None:
    found = ask_one(FakeSlurm(rows=[accounted("77", "CANCELLED by 0")]), make())
    assert found.reason == "cancelled by root"


# ------------------------------------------------------------------ what is kept
@pytest.mark.parametrize(
    ("job", "rows"),
    [
        (live("77", "t77", "FAILED", exit_code="256"), None),  # no accounting here
        (live("77", "t77", "TIMEOUT"), [accounted("77", "TIMEOUT")]),
    ],
)
def test_an_end_is_kept(make: Make, job: dict[str, str], rows: list[dict[str, str]] | None) -> None:
    run = make()
    found = ask_one(FakeSlurm(job, rows=rows), run)
    assert kept(run) == found


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED"])
def test_the_end_of_a_live_job_is_not(make: Make, state: str) -> None:
    """exit.json exists, but Slurm may still requeue the job."""
    run = make()
    leave(run, 0, SUCCEEDED)
    ask_one(FakeSlurm(live("77", "t77", state), rows=[]), run)
    assert kept(run) is None


@pytest.mark.parametrize(
    "rows", [[], [accounted("77", "RUNNING")], [accounted("77", "CANCELLED", End="Unknown")]]
)
def test_an_end_is_kept_only_when_accounting_has_answered(
    make: Make, rows: list[dict[str, str]]
) -> None:
    run = make()
    slurm = FakeSlurm(live("77", "t77", "CANCELLED"), rows=rows)
    assert ask_one(slurm, run).reason == "cancelled by scancel"
    assert kept(run) is None
    slurm.rows = [accounted("77", "CANCELLED by 0")]
    found = ask_one(slurm, run)
    assert found.reason == "cancelled by root"
    assert kept(run) == found


def test_a_requeued_job_keeps_no_end_of_its_earlier_attempt(make: Make) -> None:
    run = make(limits=Limits(max_restarts=3))
    leave(run, 124, TIMEOUT)
    slurm = FakeSlurm(live("77", "t77", "PENDING", RestartCnt="1", Reason="BeginTime"))
    found = ask_one(slurm, run)
    assert found.state == QUEUED
    assert str(found.reason).startswith("out of time, restart 1 of 3, ")
    assert kept(run) is None


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"plan": null}', '{"plan": {"restarts": {"max": "x"}}}']
)
def test_a_damaged_plan_of_an_older_version_costs_a_number_only(make: Make, text: str) -> None:
    run = make()
    (run.path / PLAN).write_text(text)
    assert ask_one(FakeSlurm(live("77", "t77", RestartCnt="1")), run).reason == "restart 1"


def test_the_node_that_failed_is_read_from_its_file(make: Make) -> None:
    run = make()
    leave(run, 143, FAILED)
    failed = ExitRecord(exit_code=3, state=FAILED, node="n2", reason="its words")
    (run.path / LOGS / "node1.exit.json").write_bytes(msgspec.json.encode(failed))
    found = ask_one(FakeSlurm(live("77", "t77", "FAILED", exit_code="768")), run)
    assert (found.exit_code, found.reason) == (3, "node 1 (n2): its words")


# ------------------------------------------------------------------ sbatch --test-only
@pytest.mark.parametrize(
    ("err", "words"),
    [
        (
            "sbatch: Job 20 to start at 2026-11-22T21:00:00 using 1 processors on nodes node1\n",
            f"Slurm would start it in 10m ({slurm_time('2026-11-22T21:00:00')}) on node1",
        ),
        (
            "sbatch: Job 20 to start at 2026-11-22T21:00:00 using 64 processors on nodes n[1-2] in partition gpu\n",
            f"Slurm would start it in 10m ({slurm_time('2026-11-22T21:00:00')}) on n[1-2] of partition gpu",
        ),
        (  # 26.05
            "sbatch: Job 5 to start at 2026-11-22T21:00:00 a using 2 processors on nodes n[1-2] in partition gpu",
            f"Slurm would start it in 10m ({slurm_time('2026-11-22T21:00:00')}) on n[1-2] of partition gpu",
        ),
        (  # a federation
            "sbatch: Job 5 to start at 2026-11-22T21:00:00 on cluster two a using 2 processors on nodes n1",
            f"Slurm would start it in 10m ({slurm_time('2026-11-22T21:00:00')}) on n1",
        ),
        ("sbatch: something else\n", "Slurm would take it: something else"),
    ],
)
def test_a_forecast(err: str, words: str) -> None:
    """sbatch --test-only's answer becomes the expected start in words."""
    now = datetime(2026, 11, 22, 20, 50).timestamp()
    assert slurm_states.test_only_words(err, now) == words
