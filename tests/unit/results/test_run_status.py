"""What `--json` has of a training, its phases with their times, and what the plan tells."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.results.failure_log import failure_log
from prl_submit.results.phase import phase, phase_begin
from prl_submit.results.planned_settings import gpus_of, read_planned
from prl_submit.results.run_status import RunStatus, RunView, TrainingReader
from prl_submit.results.setting_differences import differing_values
from prl_submit.runs.directory import Run
from prl_submit.runs.labels import Labels, write_labels
from prl_submit.runs.states import State, Status, status_of
from tests.support.records import make_run
from tests.support.swift_logs import SWIFT_46, step, text_of, write_run

NOW = datetime(2026, 11, 30, 12).timestamp()
LOG = (SWIFT_46 / "logs" / "node0.log").read_bytes()


def look(run: Run, state: str = "RUNNING", **reader: Any) -> RunView:
    return TrainingReader(run, **reader).look(run, status_of(run, State(state=state)), NOW)


def test_keys_are_only_added() -> None:
    keys = RunStatus.__struct_fields__
    assert keys[: len(Status.__struct_fields__)] == Status.__struct_fields__
    assert keys[len(Status.__struct_fields__) :] == (
        "metrics", "phase", "phase_since", "hints", "gpus", "sweep", "tags", "note",
    )  # fmt: skip


def test_metrics(tmp_path: Path) -> None:
    """The means of the last 10 steps; the learning rate of the last one; the peak of the memory."""
    run = make_run(tmp_path / "v1-20261130-120000")
    more: Any = {"memory(GiB)": 70.0, "completions__clipped_ratio": 0.5}
    lines = [step(n, reward=float(n), learning_rate=n / 1e6, **more) for n in range(1, 21)]
    write_run(run.path, lines)
    os.utime(run.path / "logging.jsonl", (NOW - 4, NOW - 4))
    found = look(run).status
    assert found.metrics is not None
    assert (found.metrics.reward, found.metrics.at_step) == (15.5, 20)
    assert found.metrics.learning_rate == pytest.approx(2e-5)
    assert (found.metrics.memory_gib, found.metrics.clipped_share) == (70.0, 0.5)
    assert found.metrics.kl is None
    assert found.metrics.loss == pytest.approx(0.1)
    assert found.metrics.time_left_s == 796
    assert datetime.fromisoformat(found.metrics.ends_at or "").timestamp() == NOW + 796
    assert (found.phase, found.gpus) == ("training", None)
    ended = look(run, "SUCCEEDED").status
    assert ended.metrics is not None
    assert (ended.metrics.ends_at, ended.phase) == (None, None)


def test_labels(tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1-20261130-120000", name="mr")
    assert (look(run).status.tags, look(run).status.note) == ([], None)
    write_labels(run.path, Labels("baseline", "beta halved", ["keep"]))
    found = look(run).status
    assert (found.name, found.tags, found.note) == ("baseline", ["keep"], "beta halved")


def test_a_reader_reads_only_what_is_new(tmp_path: Path) -> None:
    """It finds new steps, a file that was replaced, and a first step that comes later."""
    run = make_run(tmp_path / "v1-20261130-120000")
    reader = TrainingReader(run)

    def step_now() -> int | None:
        metrics = reader.look(run, status_of(run, State(state="RUNNING")), NOW).status.metrics
        return metrics.at_step if metrics else None

    assert step_now() is None
    write_run(run.path, [step(n) for n in range(1, 4)])
    assert step_now() == 3
    with (run.path / "logging.jsonl").open("a") as file:
        file.write(text_of([step(4)]))
    assert step_now() == 4
    (run.path / "logging.jsonl").unlink()
    write_run(run.path, [step(1)])
    assert step_now() == 1


def test_a_resumed_training_that_loads_is_not_late(tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1-20261130-120000")
    write_run(run.path, [step(n) for n in range(1, 21)])
    os.utime(run.path / "logging.jsonl", (NOW - 9000, NOW - 9000))
    (run.path / "logs").mkdir()
    late = look(run)
    assert late.overview is not None
    assert late.overview.silence is not None
    (run.path / "logs" / "node0.log").write_bytes(LOG[: LOG.index(b"[INFO:swift]") + 20])
    found = look(run)
    assert found.status.phase == "loading the model and the data"
    assert found.overview is not None
    assert found.overview.silence is None


@pytest.mark.parametrize(
    ("mark", "time"),
    [
        (b"restarts 0\n", "14:29:00"),
        (b"torchrun, 2 processes\n", "14:29:06"),
        (b"args.remove_unused_columns: False", "14:29:06"),
        (b"The logging file will be saved in:", "14:29:14"),
    ],
)
def test_when_a_phase_began(mark: bytes, time: str) -> None:
    log = LOG[: LOG.index(mark) + len(mark)]
    found = phase_begin(log, phase(log, has_step=False), None)
    assert found is not None
    assert f"{datetime.fromtimestamp(found, timezone.utc):%H:%M:%S}" == time
    assert phase_begin(log, "first generation", 7.0) == 7.0
    assert phase_begin(b"prl-submit: 25:99:99 torchrun, ", "starting", None) is None


def test_torchrun_that_starts_after_midnight() -> None:
    log = b"prl-submit: 2026-11-30T23:59:58+01:00 on n, node 0 of 1, restarts 0\nprl-submit: 00:00:03 torchrun, 2\n"
    found = phase_begin(log, "starting the processes", None)
    assert found == datetime.fromisoformat("2026-12-01T00:00:03+01:00").timestamp()


def plan(folder: Path, values: dict[str, Any], **more: Any) -> Path:
    """A plan.json with these values."""
    items = [{"key": key, "value": value} for key, value in values.items()]
    (folder / "plan.json").write_text(json.dumps({"values": items, **more}))
    return folder


@pytest.mark.parametrize(
    ("values", "unstated", "gpus"),
    [
        ({}, [], None),
        ({"name": "x"}, [], 1),
        ({"resources.nodes": 2, "resources.nproc_per_node": 8}, [], 16),
        ({"resources.nproc_per_node": 8, "resources.accelerator": "cpu"}, [], 0),
        ({"resources.nproc_per_node": "many"}, [], None),
        ({"resources.nproc_per_node": 8}, ["resources.nodes"], None),
    ],
)
def test_gpus(
    tmp_path: Path, values: dict[str, Any], unstated: list[str], gpus: int | None
) -> None:
    run = plan(tmp_path, values, plan={"unstated": unstated})
    assert gpus_of(read_planned(run), run) == gpus


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"values": 3}', '{"values": [{"key": 3}]}', "[" * 9999]
)
def test_a_damaged_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert read_planned(tmp_path).values == {}


def test_the_plan_of_a_real_run() -> None:
    found = read_planned(SWIFT_46)
    assert (found.values["swift.beta"], found.swift_version) == (0.04, "4.6.0")
    assert gpus_of(found, SWIFT_46) == 0


def test_differing_values() -> None:
    """Only settings that differ, without what differs between any two runs; tokens are hidden."""
    plans = [
        {
            "name": "a",
            "swift.beta": 0.1,
            "swift.output_dir": "x",
            "swift.seed": 1,
            "swift.hub_token": "p",
        },
        {
            "name": "b",
            "swift.beta": 0.2,
            "swift.output_dir": "y",
            "swift.seed": 1,
            "swift.hub_token": "q",
        },
        {"name": "c", "swift.beta": 0.2, "swift.seed": 1, "resources.nodes": 2},
    ]
    assert differing_values(plans) == [
        {"swift.beta": 0.1, "swift.hub_token": "***"},
        {"swift.beta": 0.2, "swift.hub_token": "***"},
        {"swift.beta": 0.2, "resources.nodes": 2},
    ]


REPORT = """\
[default0]:loading
{mark}Traceback
{mark}ValueError: no
W1130 14:29:19.1 25101 torch/distributed/elastic/multiprocessing/api.py:1003] Sending process 5
E1130 14:29:19.2 25101 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
Root Cause (first observed failure):
[0]:
  time      : 2026-11-30_14:29:{second}
  host      : vm
  rank      : {rank} (local_rank: 2)
  exitcode  : 1 (pid: 77)
"""


def test_the_log_of_the_rank_that_failed_first(tmp_path: Path) -> None:
    """Of two nodes it is the one whose torchrun names the earlier time, and of its lines those of the rank."""
    logs = tmp_path / "logs"
    assert failure_log(tmp_path, 9) is None
    logs.mkdir()
    (logs / "node0.log").write_text(REPORT.format(mark="", second=20, rank=1))
    found = failure_log(tmp_path, 2)
    assert found is not None
    assert (found.node, found.rank, found.lines) == (0, 1, ["Traceback", "ValueError: no"])
    assert not found.has_several_nodes
    other = "[rank1]: other\n" + REPORT.format(mark="[rank10]: ", second=19, rank=10)
    (logs / "node1.log").write_text(other)
    found = failure_log(tmp_path, 9)
    assert found is not None
    assert (found.node, found.rank, found.is_first) == (1, 10, True)
    assert found.lines == ["[rank10]: Traceback", "[rank10]: ValueError: no"]


def test_the_log_of_a_run_that_torchrun_says_nothing_of(tmp_path: Path) -> None:
    """Only the last attempt counts; of a progress bar only the last state; no control characters."""
    (tmp_path / "logs").mkdir()
    begin = "prl-submit: 2026-11-30T14:29:00+00:00 on vm, node 0 of 1, restarts 0\n"
    text = f"{begin}old\n{begin}\x1b[2Jone\n\n  0%\r 50%\rtwo\nprl-submit: FAILED: x\n"
    (tmp_path / "logs" / "node0.log").write_text(text)
    found = failure_log(tmp_path, 9)
    assert found is not None
    assert (found.rank, found.is_first, found.lines) == (None, False, ["?one", "two"])


def test_a_page_of_a_real_run_encodes(tmp_path: Path) -> None:
    run = tmp_path / "v0-20261130-142859"
    shutil.copytree(SWIFT_46, run)
    found = look(make_run(run), whole=True)
    assert found.metrics.is_whole
    assert b'"at_step":12' in msgspec.json.encode(found.status)
