"""Run directories with a run.json, made without submitting anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.record import Record, write_record


def record(**fields: Any) -> Record:
    """What run.json says of a local job, each field changed that is given."""
    usual: dict[str, Any] = {
        "name": "mr",
        "backend": "local",
        "job_id": "77",
        "submitted_at": "2026-11-22T21:00:00+01:00",
        "token": "t",
    }
    return Record(**usual | fields)


def make_run(path: Path, **fields: Any) -> Run:
    """A run directory with that record, as commands read it."""
    path.mkdir(parents=True, exist_ok=True)
    write_record(path, record(**fields))
    run = read_run(path)
    assert run is not None
    return run
