"""Parsing the output of squeue and sacct, also odd and hostile lines."""

from __future__ import annotations

from datetime import datetime

import pytest

from prl_submit.backends.slurm.array_ids import JobIds
from prl_submit.backends.slurm.job_listing import (
    ListedJob,
    is_live,
    is_waiting,
    parse_sacct,
    parse_squeue,
    sacct_argv,
    squeue_argv,
)
from prl_submit.backends.slurm.job_table import JobTable

TOKEN = "0123456789abcdef"
THEN = "2026-11-22T21:00:00"


def squeue(**over: str) -> str:
    """One line of squeue."""
    fields = {
        "job_id": "77",
        "restarts": "0",
        "state": "RUNNING",
        "status": "0",
        "start": THEN,
        "end": "2026-11-23T09:00:00",
        "count": "2",
        "gres": "gres:gpu:4",
        "nodes": "n[1-2]",
        "reason": "None",
        "user": "1000",
        "submit": "2026-11-22T20:59:00",
        "command": "/out/v1/job.sbatch",
        "stdout": "/out/v1/logs/slurm.log",
        "name": "mr",
        "comment": f"prl-submit:{TOKEN}",
        "ids": over.get("job_id", "77"),
    }
    assert not over.keys() - fields.keys()
    return "".join(f"{value}\x1f" for value in (fields | over).values()) + "\n"


def sacct(**over: str) -> str:
    """One line of sacct."""
    fields = {
        "job_id": "77",
        "state": "COMPLETED",
        "status": "0:0",
        "start": THEN,
        "end": "2026-11-23T09:00:00",
        "count": "2",
        "nodes": "n[1-2]",
        "reason": "None",
        "line": "sbatch --parsable /out/v1/job.sbatch",
        "name": "mr",
    }
    assert not over.keys() - fields.keys()
    return "\x1f".join((fields | over).values())


def live(**over: str) -> ListedJob:
    """The one job of one line of squeue."""
    (job,) = parse_squeue(squeue(**over))
    return job


def local(text: str) -> str:
    """Slurm's time with the zone of this machine."""
    return datetime.fromisoformat(text).astimezone().isoformat()


# ------------------------------------------------------------------ questions
def test_the_question_to_squeue() -> None:
    argv = squeue_argv(job_ids=["7", "8"])
    assert argv[:5] == ["squeue", "--noheader", "--all", "--states=all", "--jobs=7,8"]
    fields = argv[5].removeprefix("--Format=").split(",")
    assert len(fields) == len(squeue().split("\x1f")) - 1
    assert all(field.endswith(":\x1f") for field in fields), "a width would cut the answer"


def test_all_jobs_of_a_user() -> None:
    argv = squeue_argv(uids=[1000])
    assert "--user=1000" in argv
    assert not [word for word in argv if word.startswith("--jobs")]


def test_the_question_to_sacct() -> None:
    argv = sacct_argv(["7", "8"])
    assert "--jobs=7,8" in argv
    assert "--delimiter=\x1f" in argv
    assert "--allocations" in argv, "steps would be taken for jobs"
    assert len(argv[-1].split(",")) == len(sacct().split("\x1f"))


# ------------------------------------------------------------------ squeue
def test_a_running_job() -> None:
    assert live() == ListedJob(
        job_id="77",
        ids=JobIds("77"),
        raw_id="77",
        state="RUNNING",
        restarts=0,
        gpus=4,
        started_at=local(THEN),
        ended_at=None,  # squeue's end time of a running job is a forecast
        node_count=2,
        nodes="n[1-2]",
        reason=None,
        comment=f"prl-submit:{TOKEN}",
        name="mr",
        user_id=1000,
        submitted_at=local("2026-11-22T20:59:00"),
        command="/out/v1/job.sbatch",
        stdout="/out/v1/logs/slurm.log",
    )


def test_a_waiting_job() -> None:
    job = live(
        state="PENDING", start="N/A", end="N/A", nodes="", reason="Resources", restarts="2", count="1"
    )  # fmt: skip
    assert (job.started_at, job.nodes, job.reason, job.restarts) == (None, None, "Resources", 2)
    assert is_waiting(job)


def test_an_ended_job() -> None:
    job = live(state="FAILED", status="256", reason="NonZeroExitCode")
    assert (job.exit_code, job.signal, job.ended_at) == (1, None, local("2026-11-23T09:00:00"))


@pytest.mark.parametrize(
    ("status", "code", "signal"),
    [
        ("0", 0, None),
        ("256", 1, None),
        ("19968", 78, None),
        ("65280", 255, None),
        ("9", 0, 9),
        ("15", 0, 15),
        ("53", 0, 53),
        ("139", 0, 11),  # 11 with the bit for a core
        ("0:0", 0, None),  # 24.11
        ("1:0", 1, None),
        ("0:9", 0, 9),
        ("1:", 1, None),
        ("1:x", 1, None),
        ("", None, None),
        ("N/A", None, None),
        ("-1", None, None),
        ("x:9", None, None),
    ],
)
def test_wait_status(status: str, code: int | None, signal: int | None) -> None:
    """squeue's status gives the exit code or the signal."""
    job = live(state="FAILED", status=status)
    assert (job.exit_code, job.signal) == (code, signal)


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "COMPLETING", "REQUEUED"])
def test_an_earlier_attempts_exit_code_is_not_told(state: str) -> None:
    job = live(state=state, status="256", restarts="1")
    assert (job.exit_code, job.signal, job.ended_at) == (None, None, None)


@pytest.mark.parametrize("text", ["", "None", "(null)", "N/A", "Unknown"])
def test_words_for_a_missing_value(text: str) -> None:
    assert live(reason=text).reason is None


@pytest.mark.parametrize("text", ["N/A", "Unknown", "None", "", "(null)", "2026-13-01T00:00:00"])
def test_no_time(text: str) -> None:
    """Slurm's words for an unknown time, and impossible times, give none."""
    assert live(start=text).started_at is None


def test_times_have_a_zone() -> None:
    started = live().started_at
    assert started is not None
    assert datetime.fromisoformat(started).tzinfo is not None


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("mr", f"a | b || prl-submit:{TOKEN}"),
        ("mr", f"| prl-submit:{TOKEN}"),
        ("mr", f"Ünï 中文 prl-submit:{TOKEN}"),
        ("mr", f"two\nlines prl-submit:{TOKEN}"),
    ],
)
def test_a_comment_may_hold_anything(name: str, comment: str) -> None:
    job = live(name=name, comment=comment)
    assert (job.name, job.comment, job.has_token(TOKEN)) == (name, comment, True)


def test_a_bar_in_a_name_or_path_moves_no_other_field() -> None:
    job = live(name="a|b", command="/a|b/job.sbatch", stdout="/a|b/%j")
    assert (job.job_id, job.state, job.name, job.command) == (
        "77",
        "RUNNING",
        "a|b",
        "/a|b/job.sbatch",
    )
    assert job.has_token(TOKEN)


def test_what_slurm_does_not_tell_is_none() -> None:
    job = live(command="(null)", stdout="", submit="N/A", user="")
    assert (job.command, job.stdout, job.submitted_at, job.user_id) == (None, None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "slurm_load_jobs error: Invalid job id specified\n",
        "CLUSTER: other\n",
        squeue(job_id="12_3"),
        squeue(job_id="12_[4-9]"),
        squeue(job_id="12+1"),
        squeue(restarts="x"),
        squeue(job_id=""),
        squeue().replace("\x1f", ","),
        "77|0|RUNNING|",
        squeue(job_id="5", name="a\x1fb"),
    ],
)
def test_lines_that_are_no_jobs_are_skipped(text: str) -> None:
    assert [job.job_id for job in parse_squeue(f"{text}\n{squeue(job_id='78')}")] == ["78"]


@pytest.mark.parametrize("broken", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028"])
def test_a_line_end_in_somebodys_name(broken: str) -> None:
    theirs = squeue(job_id="5", name=f"a{broken}b", comment="(null)")
    jobs = parse_squeue(f"{squeue()}\n{theirs}\n{squeue(job_id='78')}\n")
    assert [job.job_id for job in jobs if job.has_token(TOKEN)] == ["77", "78"]
    assert not [job for job in jobs if job.job_id == "5" and job.name != f"a{broken}b"]


def test_digits_of_other_scripts_are_no_numbers() -> None:
    assert parse_squeue(squeue(restarts="²")) == []


def test_a_name_made_to_look_like_a_job_does_not_have_the_token() -> None:
    """A job whose owner does not know the token cannot look like the run's."""
    forged = squeue(state="COMPLETED", comment="prl-submit:f0f0f0f0f0f0f0f0")
    theirs = squeue(job_id="5", name=f"a\n{forged}", comment="(null)")
    jobs = parse_squeue(f"{squeue()}\n{theirs}")
    assert [job.state for job in jobs if job.has_token(TOKEN)] == ["RUNNING"]


# ------------------------------------------------------------------ the token
@pytest.mark.parametrize(
    ("comment", "has"),
    [
        (f"prl-submit:{TOKEN}", True),
        (f"ours prl-submit:{TOKEN}", True),
        (f"prl-submit:{TOKEN} added by the site", True),
        (f"prl-submit:other prl-submit:{TOKEN}", True),  # the spec's own comment stands first
        (f"prl-submit:{TOKEN} prl-submit:other", False),
        (f"prl-submit:{TOKEN}0", False),
        (f"prl-submit:{TOKEN[:-1]}", False),
        ("prl-submit:", False),
        ("prl-submit:other", False),
        ("(null)", None),
        ("", None),
        ("the site's own words", None),
        (TOKEN, None),
    ],
)
def test_the_token(comment: str, has: bool | None) -> None:
    """The last token in a job's comment counts; without one nobody can say whose the job is."""
    assert live(comment=comment).has_token(TOKEN) is has


def test_accounting_tells_no_token() -> None:
    assert parse_sacct(sacct())[0].has_token(TOKEN) is None


# ------------------------------------------------------------------ sacct
def test_an_accounted_job() -> None:
    assert parse_sacct(sacct()) == [
        ListedJob(
            job_id="77",
            ids=JobIds("77"),
            state="COMPLETED",
            restarts=None,
            exit_code=0,
            started_at=local(THEN),
            ended_at=local("2026-11-23T09:00:00"),
            node_count=2,
            nodes="n[1-2]",
            command="sbatch --parsable /out/v1/job.sbatch",
            name="mr",
        )
    ]


@pytest.mark.parametrize(
    ("state", "word", "by"),
    [
        ("CANCELLED by 1000", "CANCELLED", "1000"),
        ("CANCELLED", "CANCELLED", None),
        ("TIMEOUT", "TIMEOUT", None),
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY", None),
    ],
)
def test_who_cancelled(state: str, word: str, by: str | None) -> None:
    """sacct's state tells who cancelled the job."""
    (job,) = parse_sacct(sacct(state=state))
    assert (job.state, job.cancelled_by) == (word, by)


@pytest.mark.parametrize(
    ("status", "code", "signal"),
    [("0:0", 0, None), ("1:0", 1, None), ("0:15", 0, 15), ("0:53", 0, 53), ("", None, None)],
)
def test_accounted_exit_codes(status: str, code: int | None, signal: int | None) -> None:
    (job,) = parse_sacct(sacct(status=status))
    assert (job.exit_code, job.signal) == (code, signal)


@pytest.mark.parametrize("text", ["None assigned", "Unknown", "", "(null)"])
def test_no_node_was_assigned(text: str) -> None:
    assert parse_sacct(sacct(nodes=text))[0].nodes is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Slurm accounting storage is disabled",
        sacct(job_id="77.batch"),
        "\x1f".join(sacct().split("\x1f")[:-1]),
        sacct(name="a\x1fb"),
    ],
)
def test_accounted_rows_that_are_no_jobs_are_skipped(text: str) -> None:
    assert [job.job_id for job in parse_sacct(f"{text}\n{sacct(job_id='78')}\n")] == ["78"]


@pytest.mark.parametrize("char", ["|", "\x0b", "\x85", "\u2028", "\r"])
def test_odd_characters_in_an_accounted_name(char: str) -> None:
    (job,) = parse_sacct(sacct(name=f"a{char}b"))
    assert job.name == f"a{char}b"


def test_a_line_end_in_an_accounted_name_costs_only_that_row() -> None:
    rows = parse_sacct(f"{sacct(job_id='5', name='a' + chr(10) + 'b')}\n{sacct()}\n")
    assert [(job.job_id, job.name) for job in rows] == [("5", "a"), ("77", "mr")]


def test_of_several_rows_the_last_is_the_newest() -> None:
    rows = parse_sacct("\n".join([sacct(state="NODE_FAIL"), sacct(state="COMPLETED")]))
    assert [job.state for job in JobTable(rows).with_id("77")] == ["NODE_FAIL", "COMPLETED"]


# ------------------------------------------------------------------ live and waiting
@pytest.mark.parametrize(
    ("state", "alive", "waits"),
    [
        ("PENDING", True, True),
        ("CONFIGURING", True, True),
        ("REQUEUED", True, True),
        ("REQUEUE_FED", True, True),
        ("REQUEUE_HOLD", True, True),
        ("RESV_DEL_HOLD", True, True),
        ("SPECIAL_EXIT", True, True),
        ("EXPEDITING", True, True),
        ("RUNNING", True, False),
        ("COMPLETING", True, False),
        ("SIGNALING", True, False),
        ("STAGE_OUT", True, False),
        ("STOPPED", True, False),
        ("SUSPENDED", True, False),
        ("RESIZING", True, False),
        ("COMPLETED", False, False),
        ("CANCELLED", False, False),
        ("FAILED", False, False),
        ("TIMEOUT", False, False),
        ("DEADLINE", False, False),
        ("NODE_FAIL", False, False),
        ("BOOT_FAIL", False, False),
        ("PREEMPTED", False, False),
        ("OUT_OF_MEMORY", False, False),
        ("REVOKED", False, False),
    ],
)
def test_states_of_jobs(state: str, alive: bool, waits: bool) -> None:
    job = live(state=state)
    assert (is_live(job), is_waiting(job)) == (alive, waits)


@pytest.mark.parametrize("state", ["POWER_UP_NODE", "UPDATE_DB", "A_WORD_OF_LATER_VERSIONS"])
def test_an_unknown_state_does_not_end_a_job(state: str) -> None:
    """New versions of Slurm add states; they do not add final ones."""
    assert is_live(live(state=state))
