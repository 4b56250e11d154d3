"""verdict.json: how a job ended. The first command that hears of the end writes it, because schedulers forget."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.runs.belonging import stranger
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import LOGS, VERDICT, node_log, starts_file
from prl_submit.runs.record import Record
from prl_submit.runs.states import FINISHED, State
from prl_submit.spec.traits import find_traits
from prl_submit.system.files import write_inside
from prl_submit.system.reading import decode_json, read_record


class FinalState(Struct, frozen=True):
    """`job_id` and `attempt` (the record's restarts) say which job of the run it is about."""

    job_id: str | None
    attempt: int
    state: State


def read_verdict(run: Run, *, is_copy: bool = False) -> State | None:
    """The kept end of the run's present job, or None: not kept, or it has begun again since.

    `is_copy`: the directory is a copy, so the times of its files say nothing.
    """
    if run.record is None:
        return None
    try:
        verdict: FinalState = decode_json(read_record(run.path / VERDICT), FinalState)
        if not is_copy and _changed(_sign_of_life(run.path, run.record)) > _changed(
            run.path / VERDICT
        ):
            return None  # put back into the queue, or submitted by hand
    except (OSError, ValueError):
        return None
    if verdict.state.state not in FINISHED:
        return None  # damaged: the backend is asked again
    same = (verdict.job_id, verdict.attempt) == (run.record.job_id, run.record.restarts)
    return verdict.state if same else None


def _sign_of_life(run: Path, record: Record) -> Path:
    """The file that a job writes when it begins. On Kubernetes that is not the log, which may be copied here later."""
    traits = find_traits(record.backend)
    if traits is not None and traits.in_pods:
        return starts_file(run, 0, record.token)
    return node_log(run / LOGS, 0)


def _changed(path: Path) -> int:
    """Nanoseconds; 0 where there is no such file."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def write_verdict(run: Run, state: State) -> None:
    """Write how the job ended, unless the run is another user's."""
    if run.record is None or stranger(run.path) is not None:
        return
    job_id = run.record.job_id if state.job_id is None else state.job_id
    verdict = FinalState(job_id, run.record.restarts, state)
    with contextlib.suppress(OSError):
        data = msgspec.json.format(msgspec.json.encode(verdict), indent=2)
        # A file that a power cut spoilt is not read; the backend is asked again.
        write_inside(run.path, VERDICT, data + b"\n", durable=False)
