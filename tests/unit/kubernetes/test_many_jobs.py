"""Several jobs are created at a time: a run that somebody cancels meanwhile gets no job."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from prl_submit.backends.kubernetes import many_jobs
from prl_submit.backends.kubernetes.many_jobs import Creation, create_jobs
from prl_submit.backends.submit_once import Entry
from prl_submit.backends.waiting.release import cancel_waiting
from prl_submit.runs.directory import read_run
from tests.support.records import make_run, record


def creation(path: Path, name: str) -> Creation:
    waiting = make_run(path / f"v{name}-20261130-120000", backend="kubernetes", is_waiting=True)
    ordered = record(backend="kubernetes", job_id=None)
    api: Any = None
    return Creation(Entry(waiting.path, waiting, ordered), api, "", f"job-{name}")


def test_a_run_that_was_cancelled_gets_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All runs are cancelled while the first of them is created: each then has a job, or is cancelled."""
    todo = [creation(tmp_path, str(number)) for number in range(20)]
    created: list[str] = []
    under_way = threading.Event()

    def create(api: object, manifest: str, name: str, token: str) -> None:
        created.append(name)
        under_way.set()
        assert cancelled.wait(10)

    cancelled = threading.Event()
    monkeypatch.setattr(many_jobs, "create", create)
    maker = threading.Thread(target=create_jobs, args=(todo,))
    maker.start()
    assert under_way.wait(10)
    answers = {}
    for item in todo:
        run = read_run(item.entry.run)
        assert run is not None
        answers[item.name] = cancel_waiting(run)
    cancelled.set()
    maker.join()
    assert sorted(created) == sorted(
        name for name, was_in_time in answers.items() if not was_in_time
    )
    for item in todo:
        run = read_run(item.entry.run)
        assert run is not None
        assert run.record is not None
        assert run.record.is_waiting == answers[item.name]
