"""Runs of a sweep as tasks of job arrays, with a fake Slurm: submission, states, cancel, and whose a task is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.answers import keep
from prl_submit.backends.base import SweepItem, SweepOrder
from prl_submit.backends.slurm import sbatch_order
from prl_submit.backends.slurm.backend import BACKEND
from prl_submit.backends.slurm.partitions import SINFO
from prl_submit.backends.waiting.release import cancel_waiting
from prl_submit.errors import BackendRefusedError, OutcomeUnknownError, PrlSubmitError, RefusedError
from prl_submit.planning.plan import with_run_dir
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import CANCEL, JOB, LOGS, MISSING, SLURM_LOG
from prl_submit.runs.record import ArrayTask, Record, SweptRun, directory_of, write_record
from prl_submit.runs.states import CANCELLED, LOST, QUEUED, RUNNING, State
from prl_submit.system import shell
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell
from tests.support.plans import slurm_plan
from tests.support.records import record

CONFIG = ["scontrol", "show", "config"]
GPUS = "gpu|gpu*|1-00:00:00|4|64|500000|gpu:8\n"
FAILED = "sbatch: error: Batch job submission failed: "
SCRIPT = "#!/bin/bash\n#SBATCH --job-name=x\n#SBATCH --gres=gpu:{}\n"
LOST_ANSWER = Answer(1, "", f"{FAILED}Message receive failure")


class FakeSlurm(FakeShell):
    """Slurm with rows of squeue and sacct: a dictionary of the fields that differ from the usual ones."""

    def __init__(self) -> None:
        super().__init__(squeue=self._squeue, sacct=self._sacct)
        self.rows: list[dict[str, str]] = []
        self.accounted: list[dict[str, str]] | None = None
        self.says(
            sinfo=Answer(0, GPUS, ""),
            scontrol=Answer(0, "MaxArraySize = 1001\n", ""),
            sbatch=[Answer(0, f"{number}\n", "") for number in range(4711, 4720)],
            scancel=Answer(0, "", ""),
        )

    def _squeue(self, argv: Sequence[str]) -> Answer:
        usual = {"RestartCnt": "0", "State": "PENDING", "UserID": str(os.getuid())}
        usual |= {"JobID": "4711", "Reason": "Priority", "STDOUT": "(null)", "Command": "(null)"}
        names = [field.partition(":")[0] for field in argv[-1].partition("=")[2].split(",")]
        rows = [usual | row for row in self.rows]
        return Answer(0, "".join(f"{_joined(row, names)}\x1f\n" for row in rows), "")

    def _sacct(self, argv: Sequence[str]) -> Answer:
        if self.accounted is None:
            return Answer(1, "", "Slurm accounting storage is disabled")
        names = argv[-1].partition("=")[2].split(",")
        return Answer(0, "".join(f"{_joined(row, names)}\n" for row in self.accounted), "")

    def called(self, program: str) -> list[list[str]]:
        """The calls of one program."""
        return [argv for argv in self.argvs if argv[0] == program]


def _joined(row: dict[str, str], names: Sequence[str]) -> str:
    return "\x1f".join(row.get(name, "") for name in names)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A fake Slurm, and an environment without variables of a real one."""
    fake = FakeSlurm()
    monkeypatch.setattr(shell, "run", fake)
    monkeypatch.setattr(sbatch_order, "_LOOKUP_S", 0.0)
    monkeypatch.setattr(sbatch_order, "_LOOK_AGAIN_S", 0.0)
    for name in os.environ:
        if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_")):
            monkeypatch.delenv(name)
    return fake


Make = Callable[..., SweepOrder]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(1, 1, 2)`: a sweep whose runs want so many GPUs; its run directories wait to be submitted."""

    def made(*gpus: int, most: int | None = None, more: str = "") -> SweepOrder:
        folder = tmp_path / "output" / "sweeps" / "lr-20261130-180000"
        folder.mkdir(parents=True)
        items = [_item(folder, index, count, more) for index, count in enumerate(gpus, 1)]
        return SweepOrder(folder, "lr", "0123456789abcdef", most, items)

    return made


def _item(folder: Path, index: int, gpus: int, more: str) -> SweepItem:
    run = folder.parent.parent / f"v{index}-20261130-180000"
    (run / LOGS).mkdir(parents=True)
    (run / "job.sbatch").write_text(SCRIPT.format(gpus))
    swept = SweptRun(name="lr", id="0123456789abcdef", folder=folder.name, index=index)
    fields = {"name": f"lr-{index}", "backend": "slurm", "job_id": None, "token": f"run{index}"}
    waiting = record(sweep=swept, is_waiting=True, directory=directory_of(run), **fields)
    write_record(run, waiting)
    plan = with_run_dir(slurm_plan(more), str(run))
    return SweepItem(run, plan, msgspec.structs.replace(waiting, is_waiting=False))


def written(run: Path) -> Record:
    """run.json."""
    found = read_run(run)
    assert found is not None
    return found.require_record()


def token_of(run: Path) -> str:
    """The token of the array that has the run."""
    place = written(run).place
    assert isinstance(place, ArrayTask)
    return place.token


def runs_of(order: SweepOrder) -> list[Run]:
    """The sweep's runs, as commands read them."""
    runs = [read_run(item.run) for item in order.items]
    return [run for run in runs if run is not None]


def ask(order: SweepOrder) -> list[State]:
    """The states of the sweep's runs."""
    runs = runs_of(order)
    return [keep(run, answer) for run, answer in zip(runs, BACKEND.states(runs), strict=True)]


def row(order: SweepOrder, ids: str, state: str = "PENDING", **more: str) -> dict[str, str]:
    """A row of squeue of the sweep's array."""
    comment = f"prl-submit:{token_of(order.items[0].run)}"
    stdout = f"{order.folder}/job.tasks/%a/{SLURM_LOG}"
    return {"JobArrayID": ids, "State": state, "Comment": comment, "STDOUT": stdout} | more


# ------------------------------------------------------------------ submission
def test_one_sbatch_for_equal_runs(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1, 1)
    records = BACKEND.submit_many(order)
    script = order.folder / "job.sbatch"
    assert slurm.argvs == [CONFIG, SINFO, ["sbatch", "--parsable", str(script)]]
    assert [record.job_id for record in records] == ["4711_1", "4711_2", "4711_3"]
    assert [written(item.run) for item in order.items] == records
    assert [record.is_waiting for record in records] == [False] * 3
    lines = script.read_text().splitlines()
    token = token_of(order.items[0].run)
    assert token.startswith("0123456789abcdef-")
    assert "#SBATCH --gres=gpu:1" in lines
    assert f"#SBATCH --comment=prl-submit:{token}" in lines
    assert "#SBATCH --array=1-3" in lines
    assert [line for line in lines if "--job-name" in line] == ["#SBATCH --job-name=lr"]
    for number, item in enumerate(order.items, 1):
        link = order.folder / "job.tasks" / str(number)
        assert not os.path.isabs(os.readlink(link))
        assert link.resolve() == item.run.resolve()


def test_a_run_that_was_cancelled_meanwhile_has_no_task(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1, 1, 2)
    for index in (1, 3):
        assert cancel_waiting(runs_of(order)[index])
    records = BACKEND.submit_many(order)
    assert [record.job_id for record in records] == ["4711_1", None, "4711_3", None]
    assert [record.is_waiting for record in records] == [False, True, False, True]
    assert [written(item.run) for item in order.items] == records
    assert "#SBATCH --array=1,3" in (order.folder / "job.sbatch").read_text().splitlines()
    assert sum(argv[0] == "sbatch" for argv in slurm.argvs) == 1, "an array without a run is none"


def test_an_array_for_each_request(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 2, 1, 4)
    records = BACKEND.submit_many(order)
    assert [record.job_id for record in records] == ["4711_1", "4712_2", "4711_3", "4713_4"]
    names = [argv[-1].rpartition("/")[2] for argv in slurm.called("sbatch")]
    assert names == ["job.sbatch", "job2.sbatch", "job3.sbatch"]
    assert len({token_of(item.run) for item in order.items}) == 3


def test_how_many_may_run_at_a_time(slurm: FakeSlurm, make: Make) -> None:
    """Slurm limits each array; an array that would be too much waits for the one before."""
    order = make(1, 1, 1, 2, most=2)
    BACKEND.submit_many(order)
    first, second = slurm.called("sbatch")
    assert "#SBATCH --array=1-3%2" in Path(first[-1]).read_text()
    assert "#SBATCH --array=4\n" in Path(second[-1]).read_text()
    assert second[2:-1] == ["--dependency=afterany:4711"]
    places = [written(item.run).place for item in order.items]
    assert [(p.at_once, p.follows) for p in places if isinstance(p, ArrayTask)] == [
        *[(2, False)] * 3,
        (2, True),
    ]


def test_the_specs_own_dependency_stays(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 2, most=1, more="slurm: {dependency: 'afterok:7'}")
    BACKEND.submit_many(order)
    assert slurm.called("sbatch")[1][2] == "--dependency=afterok:7,afterany:4711"


def test_no_limit_where_all_may_run(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 2, most=2)
    BACKEND.submit_many(order)
    assert [len(argv) for argv in slurm.called("sbatch")] == [3, 3]
    assert "%" not in (order.folder / "job.sbatch").read_text().partition("--array")[2]


def test_the_records_are_there_before_sbatch(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1)
    seen: list[Record] = []

    def sbatch(argv: Sequence[str]) -> Answer:
        seen.extend(written(item.run) for item in order.items)
        return Answer(0, "4711\n", "")

    slurm.says(sbatch=sbatch)
    BACKEND.submit_many(order)
    assert [(record.job_id, record.is_waiting) for record in seen] == [(None, False)] * 2
    assert [type(record.place) for record in seen] == [ArrayTask] * 2


def test_a_refusal_takes_the_records_back(slurm: FakeSlurm, make: Make) -> None:
    """The runs of the array that was refused wait to be submitted; those of the array before are submitted."""
    order = make(1, 2)
    refused = Answer(1, "", f"{FAILED}Job violates accounting/QOS policy")
    slurm.says(sbatch=[Answer(0, "4711\n", ""), refused], sacctmgr=Answer(0, "", ""))
    with pytest.raises(RefusedError):
        BACKEND.submit_many(order)
    first, second = [written(item.run) for item in order.items]
    assert (first.job_id, first.is_waiting) == ("4711_1", False)
    assert (second.job_id, second.is_waiting) == (None, True)
    assert sorted(path.name for path in order.folder.iterdir()) == ["job.sbatch", "job.tasks"]


def test_a_file_that_cannot_be_written(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1)
    (order.folder / "job.tasks").write_text("mine")
    with pytest.raises(BackendRefusedError, match=r"job\.tasks: File exists; sbatch was not"):
        BACKEND.submit_many(order)
    assert slurm.called("sbatch") == []
    assert [written(item.run).is_waiting for item in order.items] == [True, True]


def test_the_rest_is_a_new_array(slurm: FakeSlurm, make: Make) -> None:
    """A resume of the sweep does not overwrite the script and the links of the array before."""
    order = make(1, 1)
    BACKEND.submit_many(order)
    rest = msgspec.structs.replace(order, items=order.items[1:])
    (record,) = BACKEND.submit_many(rest)
    assert record.job_id == "4712_2"
    assert token_of(order.items[0].run) != token_of(order.items[1].run)
    assert (order.folder / "job2.tasks" / "2").resolve() == order.items[1].run.resolve()


def test_a_lost_answer(slurm: FakeSlurm, make: Make) -> None:
    """sbatch failed, but Slurm has the array: its token is in the comment."""
    order = make(1, 1)

    def sbatch(argv: Sequence[str]) -> Answer:
        slurm.rows = [row(order, "4711_[1-2]")]
        return LOST_ANSWER

    slurm.says(sbatch=sbatch)
    assert [record.job_id for record in BACKEND.submit_many(order)] == ["4711_1", "4711_2"]
    assert len(slurm.called("sbatch")) == 1


def test_nobody_knows_whether_it_was_taken(slurm: FakeSlurm, make: Make) -> None:
    """The records stay, so that `status` finds the array later."""
    order = make(1, 1)
    silent = Answer(1, "", "slurm_load_jobs error: Unable to contact slurm controller")
    slurm.says(sbatch=LOST_ANSWER, squeue=silent)
    with pytest.raises(OutcomeUnknownError):
        BACKEND.submit_many(order)
    assert [written(item.run).is_waiting for item in order.items] == [False, False]
    slurm.says(squeue=slurm._squeue)
    slurm.rows = [row(order, "4711_[2]"), row(order, "4711_1", "RUNNING", JobID="4712")]
    assert [state.state for state in ask(order)] == [RUNNING, QUEUED]
    assert [written(item.run).job_id for item in order.items] == ["4711_1", "4711_2"]


def test_a_site_without_arrays(slurm: FakeSlurm, make: Make) -> None:
    """MaxArraySize 0 switches arrays off: each run is a job of its own."""
    order = make(1, 1)
    slurm.says(scontrol=Answer(0, "MaxArraySize = 0\n", ""))
    assert [record.job_id for record in BACKEND.submit_many(order)] == ["4711", "4712"]


# ------------------------------------------------------------------ states
def test_a_thousand_tasks_are_one_question(slurm: FakeSlurm, make: Make) -> None:
    order = make(*[1] * 1000, most=4)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_[3-1000%4]", Reason="JobArrayTaskLimit")]
    slurm.rows += [row(order, f"4711_{n}", "RUNNING", JobID=str(4711 + n)) for n in (1, 2)]
    slurm.calls.clear()
    states = ask(order)
    assert [state.state for state in states] == [RUNNING, RUNNING, *[QUEUED] * 998]
    words = "waits for its turn: the sweep runs at most 4 at a time (JobArrayTaskLimit)"
    assert {state.reason for state in states[2:]} == {words}
    assert slurm.programs == ["squeue"]
    assert "--jobs=4711" in slurm.argvs[0]


def test_an_array_that_follows_another_waits_for_its_turn(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 2, most=1)
    BACKEND.submit_many(order)
    second = {"Comment": f"prl-submit:{token_of(order.items[1].run)}", "Reason": "Dependency"}
    second["STDOUT"] = f"{order.folder}/job2.tasks/%a/{SLURM_LOG}"
    slurm.rows = [row(order, "4711_[1]"), row(order, "4712_[2]", **second)]
    waits = "waits for its turn: the sweep runs at most 1 at a time (Dependency)"
    assert ask(order)[1].reason == waits


def test_ends_from_accounting(slurm: FakeSlurm, make: Make) -> None:
    """Tasks that were cancelled together before they began are one row there too."""
    order = make(1, 1, 1)
    BACKEND.submit_many(order)
    ended = {"State": "CANCELLED by 0", "ExitCode": "0:0", "Start": "None", "JobName": "lr"}
    ended |= {"End": "2026-11-30T17:53:03", "SubmitLine": f"sbatch {order.folder}/job.sbatch"}
    failed = {"State": "FAILED", "ExitCode": "3:0", "Start": "2026-11-30T17:50:00"}
    slurm.accounted = [ended | {"JobID": "4711_[2-3%4]"}, ended | failed | {"JobID": "4711_1"}]
    assert [state.state for state in ask(order)] == ["FAILED", CANCELLED, CANCELLED]
    assert slurm.called("sacct")[0][-2] == "--jobs=4711"


def test_an_id_that_was_given_anew_to_the_same_sweep(slurm: FakeSlurm, make: Make) -> None:
    """After a crash Slurm may give 4711 to a later sweep from the same spec, which has the same name."""
    order = make(1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_1", "RUNNING", Comment="prl-submit:fedcba9876543210-00000000")]
    slurm.accounted = [{"JobID": "4711_1", "State": "FAILED", "End": "2026-11-30T17:53:03"}]
    (state,) = ask(order)
    assert state.state == QUEUED
    assert "Slurm does not list job 4711_1" in (state.reason or "")
    slurm.rows = []
    later = "sbatch /out/sweeps/lr-20261201-180000/job.sbatch"
    slurm.accounted[0] |= {"JobName": "lr", "SubmitLine": later}
    assert ask(order)[0].state == QUEUED


def test_a_waiting_task_that_somebody_cancelled(slurm: FakeSlurm, make: Make) -> None:
    """Neither squeue nor sacct lists a task that `scancel 4711_2` ended before it began."""
    order = make(1, 1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_[1]")]
    assert [state.state for state in ask(order)] == [QUEUED, QUEUED]
    long_ago = datetime.fromisoformat(written(order.items[1].run).submitted_at).timestamp()
    (order.items[1].run / MISSING).write_text(str(long_ago))
    state = ask(order)[1]
    assert state.state == LOST
    assert "scancel ends before it begins" in (state.reason or "")


def test_the_task_that_has_the_arrays_own_id(slurm: FakeSlurm, make: Make) -> None:
    """Slurm gives the last task to start the array's id as its other id."""
    order = make(1, 1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_1", "RUNNING", JobID="4712", NodeList="n1")]
    slurm.rows += [row(order, "4711_2", "COMPLETING", JobID="4711", NodeList="n2")]
    assert [state.reason for state in ask(order)] == [None, "ending"]


def test_a_task_that_was_put_back(slurm: FakeSlurm, make: Make) -> None:
    """slurmstepd's messages have the task's other id."""
    order = make(1)
    BACKEND.submit_many(order)
    log = "slurmstepd-n1: error: *** JOB 4715 ON n1 CANCELLED AT 2026 DUE TO PREEMPTION ***\n"
    (order.items[0].run / SLURM_LOG).write_text(log)
    slurm.rows = [row(order, "4711_1", JobID="4715", RestartCnt="1", Reason="BeginTime")]
    (state,) = ask(order)
    assert (state.state, state.restarts) == (QUEUED, 1)
    assert (state.reason or "").startswith("preempted, restart 1, ")


def test_a_job_by_hand_in_a_run_of_a_sweep(slurm: FakeSlurm, make: Make) -> None:
    order = make(1)
    BACKEND.submit_many(order)
    run = order.items[0].run
    (run / JOB).write_text("99\n")
    slurm.rows = [{"JobArrayID": "99", "JobID": "99", "State": "RUNNING"}]
    slurm.rows[0] |= {"Comment": "prl-submit:run1", "STDOUT": f"{run}/{SLURM_LOG}"}
    (state,) = ask(order)
    assert (state.state, state.job_id) == (RUNNING, "99")


def test_a_moved_output_root(slurm: FakeSlurm, make: Make, tmp_path: Path) -> None:
    order = make(1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_1", "RUNNING", JobID="4712")]
    (tmp_path / "output").rename(tmp_path / "moved")
    run = read_run(tmp_path / "moved" / order.items[0].run.name)
    assert run is not None
    assert BACKEND.states([run])[0].state.state == RUNNING


def test_a_copied_run_has_no_task(slurm: FakeSlurm, make: Make) -> None:
    order = make(1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_1", "RUNNING", JobID="4712")]
    copy = order.items[0].run.parent / "v9-20261130-180000"
    shutil.copytree(order.items[0].run, copy)
    run = read_run(copy)
    assert run is not None
    (answer,) = BACKEND.states([run])
    assert answer.state.state == LOST
    assert "this directory is a copy of that one" in (answer.state.reason or "")
    (fault,) = BACKEND.cancel_many([run], wait=False)
    assert isinstance(fault, PrlSubmitError)
    assert slurm.called("scancel") == []


# ------------------------------------------------------------------ cancel
def test_one_scancel_for_a_whole_sweep(slurm: FakeSlurm, make: Make) -> None:
    order = make(*[1] * 100, 2)
    BACKEND.submit_many(order)
    second = {"Comment": f"prl-submit:{token_of(order.items[100].run)}"}
    second["STDOUT"] = f"{order.folder}/job2.tasks/%a/{SLURM_LOG}"
    slurm.rows = [row(order, "4711_[2-100]"), row(order, "4712_[101]", **second)]
    slurm.rows += [row(order, "4711_1", "COMPLETED", JobID="4713", EndTime="2026-11-30T18:00:00")]
    slurm.calls.clear()
    assert BACKEND.cancel_many(runs_of(order), wait=False) == [True] * 101
    assert slurm.programs == ["squeue", "scancel"]
    assert slurm.called("scancel") == [["scancel", "4711_[2-100]", "4712_[101]"]]
    noted = [(item.run / CANCEL).exists() for item in order.items]
    assert noted == [False, *[True] * 100]
    slurm.rows = slurm.rows[2:]  # tasks that never began are forgotten at once
    assert [state.state for state in ask(order)][1:] == [CANCELLED] * 100


def test_a_refused_scancel_leaves_no_note(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_[1-2]")]
    slurm.says(scancel=Answer(1, "", "scancel: error: Kill job error: Access/permission denied"))
    faults = BACKEND.cancel_many(runs_of(order), wait=False)
    assert [isinstance(fault, PrlSubmitError) for fault in faults] == [True, True]
    assert not any((item.run / CANCEL).exists() for item in order.items)


def test_a_run_without_a_job_does_not_stop_the_others(slurm: FakeSlurm, make: Make) -> None:
    order = make(1, 1)
    BACKEND.submit_many(order)
    slurm.rows = [row(order, "4711_[2]")]
    assert BACKEND.cancel_many(runs_of(order), wait=False) == [False, True]
