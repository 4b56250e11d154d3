"""The loop of the waiting queue: what does not end it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from prl_submit.backends.local.processes import identify
from prl_submit.backends.waiting import queue_process
from prl_submit.backends.waiting.queue_file import QueueFile, write_queue
from prl_submit.backends.waiting.queue_process import WaitingQueue
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.record import write_record
from tests.support.records import make_run, record


def test_a_full_disk_ends_no_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the queue's own files nor a run that cannot be started end it: there may be room later."""
    run = make_run(tmp_path / "v1-20261130-120000", job_id=None, is_waiting=True)
    folder = tmp_path / "sweeps" / "lr-20261130-120000"
    folder.mkdir(parents=True)
    full = OSError(errno.ENOSPC, "No space left on device")
    asked: list[str] = []

    def fails_once(name: str, then: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object) -> object:
            asked.append(name)
            if asked.count(name) == 1:
                raise full
            return then(*words)

        return call

    def start(found: Run, *words: object) -> Run | None:
        write_record(found.path, record(job_id="77"))
        return read_run(found.path)

    needs = SimpleNamespace(nproc_per_node=1)
    plan = SimpleNamespace(backend="local", shares_gpus=False, resources=needs)
    monkeypatch.setattr(queue_process, "read_plan", lambda path: SimpleNamespace(plan=plan))
    monkeypatch.setattr(queue_process, "write_queue", fails_once("write", write_queue))
    monkeypatch.setattr(queue_process, "release", fails_once("release", start))
    monkeypatch.setattr(queue_process, "_AGAIN_S", 0.0)
    queue = QueueFile(process=identify(1), name="lr", runs=[run.path.name])
    WaitingQueue(folder, queue).run()
    assert asked.count("release") == 2
    assert asked.count("write") >= 2
    found = read_run(run.path)
    assert found is not None
    assert found.require_record().job_id == "77"
