"""Submitting exactly once, whatever sbatch and slurmctld do, and cancelling."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.backends.slurm import backend as slurm_backend
from prl_submit.backends.slurm import sbatch_order
from prl_submit.backends.slurm.job_listing import slurm_time
from prl_submit.backends.slurm.partitions import SINFO
from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    OutcomeUnknownError,
    RefusedError,
)
from prl_submit.planning.plan import Plan
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import CANCEL, LOGS, RECORD
from prl_submit.runs.record import Record, write_record
from prl_submit.system import shell
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell, Said
from tests.support.plans import planned
from tests.support.records import record

NEW = record(backend="slurm", job_id=None, token="mine")
FAILED = "sbatch: error: Batch job submission failed: "
TIMED_OUT = Answer(1, "", f"{FAILED}Socket timed out on send/recv operation")
KILLED = Answer(124, "", "sbatch: no answer within 60 s")
HALF_SENT = Answer(1, "", f"{FAILED}Unable to contact slurm controller (receive failure)")
LOST_ANSWER = Answer(1, "", f"{FAILED}Message receive failure")
SILENT = Answer(1, "", "")
UNKNOWN_WORDS = Answer(1, "", "sbatch: error: see the wiki\n" + FAILED + "Unspecified error\n")
DOWN = Answer(1, "", f"{FAILED}Unable to contact slurm controller (connect failure)")
BAD_PARTITION = Answer(1, "", f"{FAILED}Invalid partition name specified\n")
NO_CONTROLLER = Answer(1, "", "slurm_load_jobs error: Unable to contact slurm controller")
GPUS = "gpu|gpu*|1-00:00:00|4|64|500000|gpu:8\n"


class Jobs:
    """squeue's output for these jobs (comments and states by id), with the fields that were asked for."""

    def __init__(self, *jobs: tuple[str, str | None, str], **more: str) -> None:
        self.jobs = jobs
        self.more = more

    def __call__(self, argv: Sequence[str]) -> Answer:
        """The output lines for the fields in `argv`."""
        words = dict(word.removeprefix("--").partition("=")[::2] for word in argv[1:])
        wanted = words["jobs"].split(",") if "jobs" in words else None
        lines = []
        for job_id, comment, state in self.jobs:
            told = {
                "JobID": job_id,
                "JobArrayID": job_id,
                "RestartCnt": "0",
                "State": state,
                "Name": "mr",
                "NodeList": "n1",
            }
            told |= {
                "Comment": "(null)" if comment is None else comment,
                "UserID": str(os.getuid()),
            }
            told |= {"StartTime": "2026-11-22T21:00:00", "EndTime": "2026-11-22T21:00:01"}
            told |= self.more
            names = [field.partition(":")[0] for field in words["Format"].split(",")]
            if wanted is None or job_id in wanted:
                lines.append("".join(f"{told.get(name, '')}\x1f" for name in names) + "\n")
        return Answer(0, "".join(lines), "")


class FakeSlurm(FakeShell):
    """Fake programs of Slurm. They record what run.json contained at each call."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run
        self.records: dict[str, Record | None] = {}

    def __call__(self, argv: Sequence[str], **how: Any) -> Answer:
        """Record the call, and answer as the program would."""
        self.records[argv[0]] = written(self.run)
        return super().__call__(argv, **how)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """A fake Slurm that accepts the job as 77, and an environment without variables of a real one."""
    run = tmp_path / "v1-20261122-210000"
    (run / LOGS).mkdir(parents=True)
    slurm = FakeSlurm(run)
    slurm.says(sinfo=Answer(0, GPUS, ""), sbatch=Answer(0, "77\n", ""), squeue=Jobs())
    monkeypatch.setattr(shell, "run", slurm)
    monkeypatch.setattr(sbatch_order, "_LOOKUP_S", 0.0)
    monkeypatch.setattr(sbatch_order, "_LOOK_AGAIN_S", 0.0)
    for name in os.environ:
        if name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_")):
            monkeypatch.delenv(name)
    yield slurm
    assert slurm.programs.count("sbatch") <= 1, "a second sbatch may start a second job"


@pytest.fixture
def plan() -> Plan:
    """The plan of a job that asks for nothing special."""
    return planned("name: mr\nbackend: slurm").plan


def written(run: Path) -> Record | None:
    """run.json."""
    found = read_run(run)
    return None if found is None else found.record


# ------------------------------------------------------------------ submissions that succeed
@pytest.mark.parametrize(
    "out", ["77\n", "77;cluster\n", "77", "sbatch: a word of the site's\n77\n"]
)
def test_a_submission(fake: FakeSlurm, plan: Plan, out: str) -> None:
    """A job is submitted by one sbatch, and its id is written down."""
    fake.says(sbatch=Answer(0, out, "sbatch: warning: x"))
    record = slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert record == msgspec.structs.replace(NEW, job_id="77")
    assert written(fake.run) == record
    assert fake.argvs == [SINFO, ["sbatch", "--parsable", str(fake.run / "job.sbatch")]]


def test_what_sbatch_says_of_a_job_that_it_takes_is_told(fake: FakeSlurm, plan: Plan) -> None:
    """A site's plugin prints budgets, or that it changed the partition."""
    fake.says(sbatch=Answer(0, "77\n", "sbatch: 120 GPU hours are left\n"))
    heard: list[str] = []
    slurm_backend.BACKEND.submit(fake.run, plan, NEW, heard.append)
    fake.says(sbatch=Answer(0, "77\n", ""))
    assert heard == ["sbatch: 120 GPU hours are left"]


def test_no_job_id_and_no_job(fake: FakeSlurm, plan: Plan) -> None:
    fake.says(sbatch=Answer(0, "queued, thank you\n", ""))
    with pytest.raises(BackendRefusedError, match=r"gave no job id, .*: queued, thank you"):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert written(fake.run) is None


LONG = "resources: {time_limit: 2d}"


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (Answer(0, "DenyOnLimit\nOverPartQOS,PartitionTimeLimit\n", ""), False),
        (Answer(0, "\nDenyOnLimit\n", ""), True),
        (Answer(1, "", "You are not running a supported accounting_storage plugin"), True),
        (Answer(127, "", "sacctmgr: not installed"), True),
    ],
)
def test_a_qos_that_may_lift_the_time_limit(fake: FakeSlurm, answer: Answer, refused: bool) -> None:
    """A user's default QoS is not in the spec, so only Slurm knows whether the limit applies."""
    plan = planned(f"name: mr\nbackend: slurm\n{LONG}").plan
    fake.says(sacctmgr=answer)
    if refused:
        with pytest.raises(RefusedError, match="it would wait forever"):
            slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    else:
        assert slurm_backend.BACKEND.submit(fake.run, plan, NEW).job_id == "77"


def test_the_record_is_there_before_the_job(fake: FakeSlurm, plan: Plan) -> None:
    """If prl-submit is killed here, `status` finds the job by its token."""
    slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.records["sbatch"] == NEW


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_interrupted_in_between_the_record_stays(
    fake: FakeSlurm, plan: Plan, stop: BaseException
) -> None:
    fake.says(sbatch=stop)
    with pytest.raises(type(stop)):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert written(fake.run) == NEW


def test_a_disk_that_is_full_once_the_job_is_there(
    fake: FakeSlurm, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To say `nothing was submitted` would be wrong."""

    def write(run: Path, record: Record) -> None:
        if record.job_id is not None:
            raise OSError(28, "No space left on device")
        write_record(run, record)

    def write_all(records: list[tuple[Path, Record]]) -> None:
        for pair in records:
            write(*pair)

    monkeypatch.setattr("prl_submit.backends.submit_once.write_record", write)
    monkeypatch.setattr("prl_submit.backends.submit_once.write_records", write_all)
    assert slurm_backend.BACKEND.submit(fake.run, plan, NEW).job_id == "77"
    assert written(fake.run) == NEW


# ------------------------------------------------------------------ no clear answer
@pytest.mark.parametrize(
    "answer", [TIMED_OUT, KILLED, HALF_SENT, LOST_ANSWER, SILENT, UNKNOWN_WORDS]
)
@pytest.mark.parametrize(
    "looks",
    [
        [Jobs(("77", "prl-submit:mine", "PENDING"))],
        [Jobs(("5", None, "RUNNING"), ("77", "prl-submit:mine", "RUNNING"), ("78", "prl-submit:x", "RUNNING"))],
        [Jobs(("77", "a|b prl-submit:mine", "COMPLETED"))],  # the job has ended already
        [Jobs(), Jobs(("77", "prl-submit:mine", "PENDING"))],  # the first question came too early
    ],
)  # fmt: skip
def test_the_job_is_found_by_its_token(
    fake: FakeSlurm, plan: Plan, answer: Answer, looks: list[Said]
) -> None:
    fake.says(sbatch=answer, squeue=looks)
    record = slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert record.job_id == "77"
    assert written(fake.run) == record


def test_a_controller_that_comes_back_in_time(
    fake: FakeSlurm, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbatch_order, "_LOOKUP_S", 60.0)
    there = Jobs(("77", "prl-submit:mine", "PENDING"))
    fake.says(sbatch=TIMED_OUT, squeue=[NO_CONTROLLER, NO_CONTROLLER, there])
    assert slurm_backend.BACKEND.submit(fake.run, plan, NEW).job_id == "77"


@pytest.mark.parametrize("answer", [TIMED_OUT, KILLED, HALF_SENT, LOST_ANSWER])
@pytest.mark.parametrize("other", [Jobs(), Jobs(("5", "prl-submit:other", "RUNNING"))])
def test_two_empty_answers_prove_that_there_is_no_job(
    fake: FakeSlurm, plan: Plan, answer: Answer, other: Jobs
) -> None:
    fake.says(sbatch=answer, squeue=other)
    with pytest.raises(BackendUnreachableError):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.programs.count("squeue") == 2
    assert not (fake.run / RECORD).exists()


def test_an_empty_answer_counts_across_a_failed_one(
    fake: FakeSlurm, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbatch_order, "_LOOKUP_S", 60.0)
    fake.says(sbatch=TIMED_OUT, squeue=[Jobs(), NO_CONTROLLER, Jobs()])
    with pytest.raises(BackendUnreachableError):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.programs.count("squeue") == 3


@pytest.mark.parametrize("looks", [[NO_CONTROLLER], [Jobs(), NO_CONTROLLER]])
def test_the_outcome_stays_unknown_after_a_minute(
    fake: FakeSlurm, plan: Plan, looks: list[Said]
) -> None:
    """The record stays, because there may be a job."""
    fake.says(sbatch=TIMED_OUT, squeue=looks)
    with pytest.raises(OutcomeUnknownError) as caught:
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert written(fake.run) == NEW
    assert "do not submit again" in str(caught.value.hint)


def test_a_failed_question_is_no_empty_answer(fake: FakeSlurm, plan: Plan) -> None:
    """A squeue command that failed does not prove that there is no such job."""
    fake.says(sbatch=TIMED_OUT, squeue=Answer(1, "", "slurm_load_jobs error: Unspecified error"))
    with pytest.raises(OutcomeUnknownError):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert written(fake.run) == NEW


@pytest.mark.parametrize(
    "answer",
    [
        Answer(0, "", ""),
        Answer(0, "Submitted batch job 77\n", ""),  # a site's wrapper around sbatch
        Answer(0, "77\nthank you for using our cluster\n", ""),
        Answer(-9, "", ""),
        Answer(-15, "", ""),
    ],
)
def test_an_answer_that_does_not_read_is_no_refusal(
    fake: FakeSlurm, plan: Plan, answer: Answer
) -> None:
    """The job may exist, so its directory must stay."""
    fake.says(sbatch=answer, squeue=Jobs(("77", "prl-submit:mine", "PENDING")))
    assert slurm_backend.BACKEND.submit(fake.run, plan, NEW).job_id == "77"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (UNKNOWN_WORDS, "Slurm refused the job: see the wiki"),
        (SILENT, "sbatch failed without a word"),
        (Answer(-9, "", ""), "sbatch was ended by signal 9"),
        (Answer(127, "", "/bin/sbatch: line 3: log: command not found"), "log: command not found"),
        (Answer(3, "", "budget: used up\n"), "Slurm refused the job: budget: used up"),
    ],
)
def test_a_failure_of_which_slurm_has_no_job(
    fake: FakeSlurm, plan: Plan, answer: Answer, words: str
) -> None:
    """A site's plugin refuses in unknown words: reported once Slurm has twice listed no such job."""
    fake.says(sbatch=answer)
    with pytest.raises(BackendRefusedError, match=words):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.programs.count("squeue") == 2
    assert written(fake.run) is None


@pytest.mark.parametrize("answer", [LOST_ANSWER, SILENT, UNKNOWN_WORDS, Answer(0, "", "")])
def test_a_failure_after_which_slurm_is_silent(fake: FakeSlurm, plan: Plan, answer: Answer) -> None:
    """The directory stays, because there may be a job."""
    fake.says(sbatch=answer, squeue=NO_CONTROLLER)
    with pytest.raises(OutcomeUnknownError, match="whether it took the job is not known"):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert written(fake.run) == NEW


def test_a_job_that_slurm_listed_only_to_refuse_it_does_not_count(
    fake: FakeSlurm, plan: Plan
) -> None:
    """slurmctld lists a FAILED job that never had a node."""
    time = "2026-11-22T21:00:00"
    refused = Jobs(("77", "prl-submit:mine", "FAILED"), NodeList="", StartTime=time, EndTime=time)
    fake.says(sbatch=UNKNOWN_WORDS, squeue=refused)
    with pytest.raises(RefusedError):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)


def test_a_job_whose_comment_the_site_has_rewritten_is_found(fake: FakeSlurm, plan: Plan) -> None:
    jobs = Jobs(("77", "project=x", "PENDING"), STDOUT=f"{fake.run}/logs/slurm.log")
    fake.says(sbatch=LOST_ANSWER, squeue=jobs)
    assert slurm_backend.BACKEND.submit(fake.run, plan, NEW).job_id == "77"


# ------------------------------------------------------------------ clear refusals
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (DOWN, BackendUnreachableError),
        (Answer(127, "", "sbatch: not installed"), BackendUnreachableError),
        (Answer(1, "", f"{FAILED}Access/permission denied"), RefusedError),
        (Answer(255, "", "sbatch: unrecognized option '--zzz'"), RefusedError),
        (BAD_PARTITION, RefusedError),
    ],
)
def test_nothing_was_submitted_and_nothing_is_left(
    fake: FakeSlurm, plan: Plan, answer: Answer, error: type[Exception]
) -> None:
    fake.says(sbatch=answer)
    with pytest.raises(error):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert not (fake.run / RECORD).exists()
    assert fake.programs.count("squeue") == 0


@pytest.mark.parametrize("answer", [DOWN, BAD_PARTITION, TIMED_OUT])
def test_a_run_that_could_not_be_resumed_is_what_it_was(
    fake: FakeSlurm, plan: Plan, answer: Answer
) -> None:
    old = msgspec.structs.replace(NEW, job_id="50")
    write_record(fake.run, old)
    fake.says(sbatch=answer)
    with pytest.raises((RefusedError, BackendUnreachableError)):
        slurm_backend.BACKEND.submit(fake.run, plan, msgspec.structs.replace(NEW, restarts=1))
    assert written(fake.run) == old


def test_a_resumed_run_whose_fate_is_unknown(fake: FakeSlurm, plan: Plan) -> None:
    write_record(fake.run, msgspec.structs.replace(NEW, job_id="50"))
    fake.says(sbatch=TIMED_OUT, squeue=NO_CONTROLLER)
    again = msgspec.structs.replace(NEW, restarts=1)
    with pytest.raises(OutcomeUnknownError):
        slurm_backend.BACKEND.submit(fake.run, plan, again)
    assert written(fake.run) == again


@pytest.mark.parametrize(
    ("sinfo", "hint"),
    [
        ([Answer(0, GPUS, ""), Answer(0, "gpu\ncpu\n", "")], "did you mean 'gpu'? has: gpu, cpu"),
        ([Answer(0, GPUS, ""), Answer(1, "", "nonsense")], None),
        ([Answer(0, GPUS, ""), NO_CONTROLLER], None),
    ],
)
def test_a_refusal_names_its_key_and_what_there_is(
    fake: FakeSlurm, sinfo: list[Said], hint: str | None
) -> None:
    fake.says(sbatch=BAD_PARTITION, sinfo=sinfo)
    wanted = planned("name: mr\nbackend: slurm\nslurm: {partition: gppu}").plan
    with pytest.raises(RefusedError) as caught:
        slurm_backend.BACKEND.submit(fake.run, wanted, NEW)
    refusal = caught.value.refusals[0]
    assert refusal.key == "slurm.partition"
    assert refusal.message == "'gppu': Slurm refused the job: Invalid partition name specified"
    assert refusal.hint == hint


# ------------------------------------------------------------------ before sbatch
def test_a_hopeless_job_never_reaches_sbatch(fake: FakeSlurm) -> None:
    """It would use up a job id and leave a FAILED job behind."""
    wanted = planned("name: mr\nbackend: slurm\nresources: {nproc_per_node: 9}").plan
    with pytest.raises(RefusedError) as caught:
        slurm_backend.BACKEND.submit(fake.run, wanted, NEW)
    assert caught.value.refusals[0].key == "resources.nproc_per_node"
    assert fake.programs.count("sbatch") == 0
    assert not (fake.run / RECORD).exists()


def test_the_partition_may_be_named_by_the_environment(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.says(sinfo=Answer(0, f"{GPUS}big|big|1-00:00:00|1|64|500000|gpu:16\n", ""))
    wanted = planned("name: mr\nbackend: slurm\nresources: {nproc_per_node: 9}").plan
    monkeypatch.setenv("SBATCH_PARTITION", "big")
    assert slurm_backend.BACKEND.submit(fake.run, wanted, NEW).job_id == "77"


@pytest.mark.parametrize(
    "answer",
    [Answer(0, "", ""), Answer(1, "", "sinfo: error: nonsense"), Answer(124, "", "no answer within 60 s")],
)  # fmt: skip
def test_missing_partitions_in_sinfo_refuse_nothing(fake: FakeSlurm, answer: Answer) -> None:
    fake.says(sinfo=answer)
    wanted = planned("name: mr\nbackend: slurm\nresources: {nproc_per_node: 9}").plan
    assert slurm_backend.BACKEND.submit(fake.run, wanted, NEW).job_id == "77"


def test_a_controller_that_is_down_is_seen_before_anything_is_written(
    fake: FakeSlurm, plan: Plan
) -> None:
    fake.says(sinfo=NO_CONTROLLER)
    with pytest.raises(BackendUnreachableError):
        slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.programs.count("sbatch") == 0
    assert not (fake.run / RECORD).exists()


# ------------------------------------------------------------------ what the job inherits
@pytest.mark.parametrize(
    ("slurm", "environ", "kept"),
    [
        ("", {"SBATCH_PARTITION": "p", "SBATCH_ACCOUNT": "a"}, "SBATCH_PARTITION SBATCH_ACCOUNT"),
        ("partition: gpu", {"SBATCH_PARTITION": "p", "SBATCH_ACCOUNT": "a"}, "SBATCH_ACCOUNT"),
        ("account: b", {"SBATCH_PARTITION": "gpu", "SBATCH_ACCOUNT": "a"}, "SBATCH_PARTITION"),
        ("", {"SBATCH_OUTPUT": "x", "SBATCH_EXPORT": "NONE", "SBATCH_ARRAY_INX": "1-9"}, ""),
        ("", {"HF_TOKEN": "secret", "WANDB_MODE": "offline"}, "HF_TOKEN WANDB_MODE"),
        ("", {"NODE_RANK": "1", "MASTER_ADDR": "h", "MASTER_PORT": "1"}, ""),
        ("", {"PRL_SUBMIT_TOKEN": "outer", "PRL_SUBMIT_RESTARTS": "2"}, ""),
        ("", {"PRL_PREFLIGHT": "off"}, "PRL_PREFLIGHT"),
        ("", {"SLURM_CPU_BIND": "none", "SLURM_TIMELIMIT": "1", "SLURM_JWT": "x"}, "SLURM_JWT"),
        # Inside of an allocation these variables describe the outer job.
        ("", {"SLURM_JOB_ID": "5", "SLURM_NTASKS": "8", "SRUN_CPUS_PER_TASK": "2", "SLURM_RESTART_COUNT": "1"}, ""),
        ("", {"SLURM_JOB_ID": "5", "SBATCH_QOS": "q"}, "SBATCH_QOS"),
    ],
)  # fmt: skip
def test_the_environment_of_sbatch(
    fake: FakeSlurm,
    monkeypatch: pytest.MonkeyPatch,
    slurm: str,
    environ: dict[str, str],
    kept: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    slurm_backend.BACKEND.submit(
        fake.run, planned(f"name: mr\nbackend: slurm\nslurm: {{{slurm}}}").plan, NEW
    )
    given = fake.environ_of("sbatch")
    assert {name for name in environ if name in given} == set(kept.split())
    assert given["PATH"] == os.environ["PATH"]


def test_the_configuration_stays_inside_an_allocation(
    fake: FakeSlurm, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "slurm.conf"
    conf.touch()
    monkeypatch.setenv("SLURM_CONF", str(conf))
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert fake.environ_of("sbatch")["SLURM_CONF"] == str(conf)


def test_another_cluster_is_not_chosen_by_a_variable(
    fake: FakeSlurm, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM_CLUSTERS has the same effect on sbatch and squeue as SBATCH_CLUSTERS."""
    monkeypatch.setenv("SLURM_CLUSTERS", "other")
    slurm_backend.BACKEND.submit(fake.run, plan, NEW)
    assert "SLURM_CLUSTERS" not in fake.environ_of("sbatch")
    assert "SLURM_CLUSTERS" not in fake.environ_of("sinfo")


# ------------------------------------------------------------------ cancel
def submitted(fake: FakeSlurm, job_id: str | None = "77") -> Run:
    """A run with its job."""
    write_record(fake.run, msgspec.structs.replace(NEW, job_id=job_id))
    run = read_run(fake.run)
    assert run is not None
    return run


@pytest.mark.parametrize("job_id", ["77", None])
@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "REQUEUE_HOLD"])
def test_cancel(fake: FakeSlurm, state: str, job_id: str | None) -> None:
    """cancel calls scancel with the job's id, and leaves its mark in the run directory."""
    fake.says(squeue=Jobs(("77", "prl-submit:mine", state)), scancel=Answer(0, "", ""))
    slurm_backend.BACKEND.cancel(submitted(fake, job_id), wait=False)
    assert fake.argvs[-1] == ["scancel", "77"]
    assert (fake.run / CANCEL).exists()


ENDED = Jobs(("77", "prl-submit:mine", "COMPLETED"))


@pytest.mark.parametrize(
    "jobs",
    [
        Jobs(),
        ENDED,
        Jobs(("77", "prl-submit:other", "RUNNING")),  # the id was given out again
    ],
)
def test_nothing_to_cancel(fake: FakeSlurm, jobs: Jobs) -> None:
    fake.says(squeue=jobs)
    assert slurm_backend.BACKEND.cancel(submitted(fake), wait=False) is (
        jobs.jobs[-1:] == ENDED.jobs
    )
    assert fake.programs.count("scancel") == 0
    assert not (fake.run / CANCEL).exists()


def test_without_an_id_only_the_token_counts(fake: FakeSlurm) -> None:
    fake.says(squeue=Jobs(("5", None, "RUNNING"), ("6", "prl-submit:other", "RUNNING")))
    slurm_backend.BACKEND.cancel(submitted(fake, None), wait=False)
    assert fake.programs.count("scancel") == 0


def test_a_run_without_a_record(fake: FakeSlurm) -> None:
    slurm_backend.BACKEND.cancel(Run(fake.run, 1, None, "damaged"), wait=False)
    assert fake.argvs == []


def test_cancel_where_the_site_writes_the_comments(fake: FakeSlurm) -> None:
    """The job's id, and that its script lies here, prove that it is the run's."""
    jobs = Jobs(("77", "project=x", "RUNNING"), Command=f"{fake.run}/job.sbatch")
    fake.says(squeue=jobs, scancel=Answer(0, "", ""))
    assert slurm_backend.BACKEND.cancel(submitted(fake), wait=False)
    assert fake.programs.count("scancel") == 1


@pytest.mark.parametrize("comment", [None, "project=x"])
def test_a_job_that_says_nothing_of_this_run_is_not_cancelled(
    fake: FakeSlurm, comment: str | None
) -> None:
    """Anybody can write the id and name of another user's job into a run.json."""
    fake.says(squeue=Jobs(("77", comment, "RUNNING")), scancel=Answer(0, "", ""))
    assert not slurm_backend.BACKEND.cancel(submitted(fake), wait=False)
    assert fake.programs.count("scancel") == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"UserID": "4242"}, "belongs to another user than this directory"),
        ({"STDOUT": "RUN/logs/slurm.log"}, "this directory is a copy of that one"),
    ],
)
def test_a_copied_token_is_no_proof(
    fake: FakeSlurm, tmp_path: Path, more: dict[str, str], words: str
) -> None:
    original = tmp_path / "v0-20261122-200000"
    original.mkdir()
    write_record(original, msgspec.structs.replace(NEW, job_id="77"))
    more = {name: text.replace("RUN", str(original)) for name, text in more.items()}
    fake.says(squeue=Jobs(("77", "prl-submit:mine", "RUNNING"), **more), scancel=Answer(0, "", ""))
    with pytest.raises(BackendRefusedError, match=words):
        slurm_backend.BACKEND.cancel(submitted(fake), wait=False)
    assert fake.programs.count("scancel") == 0


def test_a_failed_question_is_not_taken_for_cancelled(fake: FakeSlurm) -> None:
    fake.says(squeue=Answer(1, "", "slurm_load_jobs error: Unspecified error"))
    with pytest.raises((BackendRefusedError, BackendUnreachableError)):
        slurm_backend.BACKEND.cancel(submitted(fake), wait=False)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(1, "", "scancel: error: Kill job error on job id 77: Access/permission denied"), BackendRefusedError),
        (Answer(1, "", "scancel: error: Socket timed out on send/recv operation"), BackendUnreachableError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)  # fmt: skip
def test_a_failed_cancellation_leaves_no_cancel_json(
    fake: FakeSlurm, answer: Answer | BaseException, error: type[BaseException]
) -> None:
    fake.says(squeue=Jobs(("77", "prl-submit:mine", "RUNNING")), scancel=answer)
    with pytest.raises(error):
        slurm_backend.BACKEND.cancel(submitted(fake), wait=False)
    assert not (fake.run / CANCEL).exists()


def test_cancel_waits_until_the_job_is_gone(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("prl_submit.backends.slurm.backend.time.sleep", slept.append)
    stages: list[Said] = [
        Jobs(("77", "prl-submit:mine", state)) for state in ("RUNNING", "COMPLETING", "CANCELLED")
    ]
    fake.says(squeue=stages, scancel=Answer(0, "", ""))
    slurm_backend.BACKEND.cancel(submitted(fake), wait=True)
    assert (fake.programs.count("squeue"), len(slept)) == (3, 1)


# ------------------------------------------------------------------ check --online
def test_the_online_check(fake: FakeSlurm, plan: Plan) -> None:
    answer = "sbatch: Job 20 to start at 2026-11-22T21:00:00 using 1 processors on nodes node1\n"
    fake.says(sbatch=Answer(0, "", answer))
    assert slurm_backend.BACKEND.ask(plan, "#!/bin/bash") == (
        f"Slurm would start it now ({slurm_time('2026-11-22T21:00:00')}) on node1"
    )
    assert fake.argvs[-1] == ["sbatch", "--test-only"]


def test_the_online_check_refuses(fake: FakeSlurm, plan: Plan) -> None:
    fake.says(sbatch=Answer(1, "", "allocation failure: Invalid qos specification"), sacctmgr=Answer(0, "normal,long\n", ""))  # fmt: skip
    with pytest.raises(RefusedError) as caught:
        slurm_backend.BACKEND.ask(plan, "#!/bin/bash")
    assert (caught.value.refusals[0].key, caught.value.refusals[0].hint) == (
        "slurm.qos",
        "has: normal, long",
    )


def test_the_online_check_sees_what_submit_would_hide(
    fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Slurm would judge another job than the one that would be sent."""
    monkeypatch.setenv("SBATCH_PARTITION", "p")
    fake.says(sbatch=Answer(0, "", "x"))
    wanted = planned("name: mr\nbackend: slurm\nslurm: {partition: gpu}").plan
    slurm_backend.BACKEND.ask(wanted, "#!/bin/bash")
    assert "SBATCH_PARTITION" not in fake.environ_of("sbatch")
