"""Calling Slurm's commands: whether slurmctld answered at all, and the environment they run in."""

from __future__ import annotations

from pathlib import Path

import pytest

from prl_submit.backends.slurm.inherited_environment import question_environ
from prl_submit.backends.slurm.sbatch_answer import job_id_of, was_never_sent, was_refused
from prl_submit.backends.slurm.slurm_commands import (
    QUESTION_S,
    SilentError,
    SlurmCommands,
    first_line,
    gave_no_answer,
    unreachable,
)
from prl_submit.errors import EXIT_UNREACHABLE, BackendUnreachableError
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell

DOWN = "Slurmctld(primary) at node1 is DOWN"
UP = "Slurmctld(primary) at node1 is UP"


def failed(err: str, code: int = 1) -> Answer:
    """The answer of a command that failed."""
    return Answer(code, "", err)


# ------------------------------------------------------------------ no answer, or a refusal
SENT_NOTHING = [
    failed("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"),
    failed("slurm_load_jobs error: Connection refused"),
    failed("squeue: fatal: Could not establish a configuration source"),
    failed("squeue: fatal: Unable to process configuration file"),
    failed("sbatch: not installed", 127),
    failed("sbatch: Permission denied", 126),
]  # fmt: skip
PERHAPS_SENT = [
    failed("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
    failed("sbatch: error: Batch job submission failed: Unable to contact slurm controller (send failure)"),
    failed("sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)"),
    failed("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
    failed("sbatch: error: Batch job submission failed: Unexpected message received"),
    failed("slurm_load_jobs error: Slurm backup controller in standby mode"),
    failed("slurm_load_jobs error: Connection timed out"),
    failed("sbatch: no answer within 60 s", 124),
]  # fmt: skip
A_NO = [
    failed("sbatch: error: Batch job submission failed: Invalid partition name specified"),
    failed("sbatch: unrecognized option '--zzz'", 255),
    failed("slurm_load_jobs error: Invalid job id specified"),
    failed(""),
]


@pytest.mark.parametrize("answer", [*SENT_NOTHING, *PERHAPS_SENT])
def test_no_answer(answer: Answer) -> None:
    """These words mean that no controller answered."""
    assert gave_no_answer(answer)


@pytest.mark.parametrize(
    "answer", [*A_NO, Answer(0, "77", ""), Answer(0, "77", "sbatch: warning: Connection refused")]
)
def test_an_answer(answer: Answer) -> None:
    """These words mean that a controller answered, with a refusal or not."""
    assert not gave_no_answer(answer)


SBATCH_FAILED = "sbatch: error: Batch job submission failed: "
NEVER_HEARD = [
    failed(f"{SBATCH_FAILED}Unable to contact slurm controller (connect failure)"),
    failed(f"{SBATCH_FAILED}Connection refused\n"),
    failed("sbatch: error: s_p_parse_file: unable to status file\nsbatch: fatal: Could not establish a configuration source"),
    failed("sbatch: fatal: Unable to process configuration file"),
    failed("sbatch: not installed", 127),
    failed("sbatch: Permission denied", 126),
]  # fmt: skip
REFUSED = [
    failed(f"{SBATCH_FAILED}Invalid partition name specified\n"),
    failed(f"sbatch: error: AssocMaxJobs\n{SBATCH_FAILED}Job violates accounting/QOS policy (job submit limit)\n"),
    failed(f"{SBATCH_FAILED}Requested node configuration is not available"),
    failed("sbatch: unrecognized option '--zzz'\nTry \"sbatch --help\" for more information", 255),
    failed("sbatch: nicht erkannte Option »--zzz«\nTry \"sbatch --help\" for more information", 255),
]  # fmt: skip
DOUBTFUL = [
    *(
        failed(f"{SBATCH_FAILED}{words}")
        for words in (
            "Message receive failure",
            "Transport endpoint is not connected",
            "Connection reset by peer",
            "Unspecified error",
            "Slurm temporarily unable to accept job, sleeping and retrying",
            "Socket timed out on send/recv operation",
            "Unable to contact slurm controller (send failure)",
            "Unable to contact slurm controller (receive failure)",
            "Zero Bytes were transmitted or received",
            "Unexpected message received",
            "Resource temporarily unavailable",
            "Broken pipe",
            "No route to host",
            "Slurm backup controller in standby mode",
            "Unable to create job record, try again",
            "I/O error writing script/environment to file",
            "a reason of a version to come",
        )
    ),
    failed("sbatch: no answer within 60 s", 124),
    failed(""),  # a wrapper script that fails without a message
    *(failed("", code) for code in (2, 126, 127, 137, 255)),
    failed("Killed", 137),
    failed("", -9),
    # A wrapper of a site, whose own last command fails when Slurm has taken the job.
    failed("/opt/site/sbatch: line 9: notify-quota: command not found", 127),
    failed("/opt/site/sbatch: line 9: /opt/site/log: Permission denied", 126),
    failed("curl: (7) Failed to connect to budget: Connection refused", 7),
    failed("Traceback (most recent call last):\nPermissionError: Access/permission denied"),
    failed("budget: Invalid account or account/partition combination specified"),
    # A wrapper script tries twice: slurmctld may have received the first request.
    failed(f"{SBATCH_FAILED}Socket timed out on send/recv operation\n{SBATCH_FAILED}Invalid qos specification"),
    failed(f"{SBATCH_FAILED}Message receive failure\n{SBATCH_FAILED}Unable to contact slurm controller (connect failure)"),
    # It printed an id, or a part of one, before it failed.
    Answer(1, "77\n", f"{SBATCH_FAILED}Invalid partition name specified"),
    Answer(1, "7", f"{SBATCH_FAILED}Unable to contact slurm controller (connect failure)"),
    Answer(0, "", ""),
    Answer(0, "Submitted batch job 77\n", ""),
]  # fmt: skip


@pytest.mark.parametrize("answer", NEVER_HEARD)
def test_nothing_was_sent_to_slurm(answer: Answer) -> None:
    assert (was_never_sent(answer), was_refused(answer)) == (True, False)


@pytest.mark.parametrize("answer", REFUSED)
def test_slurm_is_known_to_have_refused(answer: Answer) -> None:
    assert (was_never_sent(answer), was_refused(answer)) == (False, True)


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_everything_else_is_doubtful(answer: Answer) -> None:
    """prl-submit takes a submission back without asking Slurm only if the refusal is certain."""
    assert (was_never_sent(answer), was_refused(answer)) == (False, False)
    assert job_id_of(answer) is None


@pytest.mark.parametrize(
    ("answer", "job_id"),
    [
        (Answer(0, "77\n", ""), "77"),
        (Answer(0, "77;cluster\n", ""), "77"),
        (Answer(0, "a word of the site's\n77\n", "sbatch: warning"), "77"),
        (Answer(1, "77\n", ""), None),
        (Answer(0, "7²\n", ""), None),
    ],
)
def test_the_id_that_sbatch_prints(answer: Answer, job_id: str | None) -> None:
    assert job_id_of(answer) == job_id


# ------------------------------------------------------------------ words
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no answer"),
        ("\n  \n", "no answer"),
        ("plain", "plain"),
        ("squeue: error: x\nmore\n", "x"),
        ("sbatch: error: AssocMax\nsbatch: error: Batch job submission failed: y\n", "y"),
        ("sbatch: error: noise\nallocation failure: z\n", "z"),
        ("squeue: error: noise\nsqueue: fatal: Could not start\n", "Could not start"),
    ],
)
def test_the_line_that_says_what_failed(text: str, line: str) -> None:
    assert first_line(text) == line


def test_slurm_is_not_installed() -> None:
    error = unreachable(failed("squeue: not installed", 127))
    assert error.message == "squeue: not installed"
    assert error.exit_code == EXIT_UNREACHABLE
    assert "login node" in str(error.hint)


@pytest.mark.parametrize(
    ("answer", "silent"),
    [
        *((answer, False) for answer in SENT_NOTHING),
        (PERHAPS_SENT[0], True),
        (PERHAPS_SENT[-1], True),
        (failed(DOWN, 124), False),  # the message of scontrol ping
    ],
)
def test_a_controller_that_may_yet_act(answer: Answer, silent: bool) -> None:
    assert isinstance(unreachable(answer), SilentError) is silent


# ------------------------------------------------------------------ asking
def test_a_question_may_take_a_minute() -> None:
    shell = FakeShell(squeue=Answer(0, "out", ""))
    assert SlurmCommands(shell, {}).ask(["squeue", "--me"], stdin="text") == Answer(0, "out", "")
    (call,) = shell.calls
    assert (call.argv, call.timeout, call.stdin) == (["squeue", "--me"], QUESTION_S, "text")


@pytest.mark.parametrize("answer", [*SENT_NOTHING, *PERHAPS_SENT])
def test_a_question_without_an_answer(answer: Answer) -> None:
    with pytest.raises(BackendUnreachableError):
        SlurmCommands(FakeShell(squeue=answer), {}).ask(["squeue"])


@pytest.mark.parametrize("answer", A_NO)
def test_a_refusal_is_an_answer(answer: Answer) -> None:
    assert SlurmCommands(FakeShell(squeue=answer), {}).ask(["squeue"]) is answer


@pytest.mark.parametrize(
    ("ping", "why"),
    [
        (Answer(1, DOWN, ""), DOWN),
        (Answer(1, "", "slurm_ping error: x"), "slurm_ping error: x"),
        (Answer(1, f"{DOWN}\nSlurmctld(backup) at node2 is UP\n", ""), None),
        (Answer(0, UP, ""), None),
        (
            Answer(124, "", "scontrol: no answer within 2 s"),
            None,
        ),  # the controller may only be busy
        (Answer(1, "", ""), "no answer"),
    ],
)
def test_ping_is_asked_while_a_command_hangs(ping: Answer, why: str | None) -> None:
    shell = FakeShell(slow=["squeue"], scontrol=ping, squeue=Answer(0, "late", ""))
    slurm = SlurmCommands(shell, {})
    assert slurm.why_down() == why
    if why is None:
        assert slurm.ask(["squeue"]).out == "late"
    else:
        with pytest.raises(BackendUnreachableError) as caught:
            slurm.ask(["squeue"])
        assert why in caught.value.message
    assert shell.argvs[1:] == [["squeue"], ["scontrol", "ping"]]
    assert shell.calls[0].timeout < 5, "ping is the quick one"


def test_an_order_is_never_stopped_early() -> None:
    """slurmctld may have received the request of an sbatch that was killed."""
    shell = FakeShell(slow=["sbatch"], scontrol=Answer(1, DOWN, ""), sbatch=Answer(0, "77", ""))
    assert SlurmCommands(shell, {}).order(["sbatch"]).out == "77"
    assert shell.argvs == [["sbatch"]]


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """Slurm's commands would wait for it for a minute."""
    conf = tmp_path / "slurm.conf"
    shell = FakeShell(squeue=Answer(0, "", ""))
    slurm = SlurmCommands(shell, {"SLURM_CONF": str(conf)})
    with pytest.raises(BackendUnreachableError, match=r"SLURM_CONF=.* is not there"):
        slurm.ask(["squeue"])
    assert shell.argvs == []
    conf.touch()
    slurm.ask(["squeue"])
    assert shell.argvs == [["squeue"]]


# ------------------------------------------------------------------ the environment
SCRUBBED = {
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_FORMAT2": "JobID",
    "SQUEUE_STATES": "RUNNING",
    "SACCT_FORMAT": "JobID",
    "SINFO_FORMAT": "%n",
    "SINFO_PARTITION": "cpu",
    "SCONTROL_ALL": "1",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_BITSTR_LEN": "3",
    "SLURM_CLUSTERS": "other",
    "SLURM_EXIT_ERROR": "0",
    "SLURM_DEBUG_FLAGS": "all",
    "SCANCEL_STATE": "PENDING",
    "SCANCEL_INTERACTIVE": "1",
    "SBATCH_PARTITION": "gpu",
}
KEPT = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "x", "LANG": "C"}


def test_the_users_output_formats_are_removed() -> None:
    """SLURM_BITSTR_LEN: the numbers of an array's tasks are not cut after 64 characters."""
    assert question_environ(SCRUBBED | KEPT) == KEPT | {"SLURM_BITSTR_LEN": "0"}


def test_questions_and_orders_have_that_environment() -> None:
    shell = FakeShell(squeue=Answer(0, "", ""), scancel=Answer(0, "", ""))
    slurm = SlurmCommands(shell, SCRUBBED | {"PATH": "/bin"})
    slurm.ask(["squeue"])
    slurm.order(["scancel", "77"])
    slurm.order(["sbatch"], {"MINE": "1"})
    assert [call.environ for call in shell.calls] == [
        {"PATH": "/bin", "SLURM_BITSTR_LEN": "0"},
        {"PATH": "/bin", "SLURM_BITSTR_LEN": "0"},
        {"MINE": "1"},
    ]
