"""run.json is read as it was written, and its keys do not depend on the backend."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from prl_submit.runs import directory
from prl_submit.runs.directory import read_run
from prl_submit.runs.record import (
    ArrayTask,
    KubernetesJob,
    Limits,
    LocalProcess,
    Predecessor,
    ScheduledJob,
    SweptRun,
    decode_record,
    encode_record,
)
from tests.support.records import make_run, record

ROOT = Path(__file__).resolve().parents[3]
THEN = time.struct_time((2026, 11, 22, 21, 0, 0, 6, 326, 0))


PLACES = {
    "process": LocalProcess(pid=1, started=2, boot="b", host="h", namespace="n"),
    "server": KubernetesJob("test", "default", "https://127.0.0.1:6443"),
    "job_id": ScheduledJob(),
}


@pytest.mark.parametrize("key", PLACES)
def test_a_record_reads_back(tmp_path: Path, key: str) -> None:
    path = make_run(tmp_path / "v3-20261122-210300", restarts=2, place=PLACES[key]).path
    run = read_run(path)
    assert run == directory.Run(path, 3, record(restarts=2, place=PLACES[key]))
    assert run.name == path.name


@pytest.mark.parametrize("key", PLACES)
def test_the_keys_of_run_json_do_not_depend_on_the_place(key: str) -> None:
    written = json.loads(encode_record(record(place=PLACES[key])))
    keys = "name backend job_id submitted_at token restarts process context namespace server "
    assert set((keys + "directory resumed_at started_at").split()) <= set(written)
    assert {"queue", "nodes", "grace", "max_restarts"} <= set(written)
    filled = [name for name in ("process", "server") if written[name] is not None]
    assert filled == [name for name in [key] if name != "job_id"]


@pytest.mark.parametrize("limits", [None, Limits(nodes=2, grace=45, max_restarts=3)])
def test_the_limits_read_back(limits: Limits | None) -> None:
    assert decode_record(encode_record(record(limits=limits))).limits == limits


@pytest.mark.parametrize("key", ["nodes", "grace", "max_restarts"])
def test_limits_that_no_plan_has_are_damage(key: str) -> None:
    written = json.loads(encode_record(record(limits=Limits())))
    with pytest.raises(ValueError, match=key):
        decode_record(json.dumps(written | {key: -1}).encode())


def test_the_place_in_a_sweep_reads_back() -> None:
    swept = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=3, values={"a.b": [1]})
    one = record(sweep=swept, after=[Predecessor(run="/o/v2-x", job_id="7")], is_waiting=True)
    assert decode_record(encode_record(one)) == one


def test_the_task_of_an_array_reads_back() -> None:
    one = record(job_id="4711_3", place=ArrayTask(token="5f-0", task=3, at_once=4, follows=True))
    assert decode_record(encode_record(one)) == one
    assert json.loads(encode_record(record()))["array"] is None


@pytest.mark.parametrize("key", [{"token": "a b"}, {"token": ""}, {"task": -1}, {"at_once": 0}])
def test_a_task_that_no_array_has_is_damage(key: dict[str, object]) -> None:
    written = json.loads(encode_record(record(place=ArrayTask(token="5f", task=3))))
    written["array"] |= key
    with pytest.raises(ValueError, match=r"token|Expected"):
        decode_record(json.dumps(written).encode())


def test_records_from_before_there_were_sweeps() -> None:
    written = json.loads(encode_record(record()))
    for key in ("sweep", "after", "is_waiting"):
        del written[key]
    assert decode_record(json.dumps(written).encode()) == record()


@pytest.mark.parametrize("folder", ["..", "../x", "a/b", "", "A"])
def test_a_folder_that_no_sweep_has_is_damage(folder: str) -> None:
    swept = {"name": "lr", "id": "5f", "folder": folder, "index": 1}
    written = json.loads(encode_record(record())) | {"sweep": swept}
    with pytest.raises(ValueError, match="folder"):
        decode_record(json.dumps(written).encode())
