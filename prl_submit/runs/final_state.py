"""verdict.json: how a job ended.

The first command to which the backend reports the end writes the file, because schedulers forget old jobs.
"""

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
from prl_submit.runs.signs_of_life import footprint
from prl_submit.runs.states import FINISHED, State
from prl_submit.spec.traits import find_traits
from prl_submit.system.files import write_inside
from prl_submit.system.reading import decode_json, read_record


class FinalState(Struct, frozen=True):
    """The content of verdict.json. `job_id` and `attempt` (the record's restarts): which job of the run ended.

    `footprint`: what the files of the run were like then, for a backend that knows a job by its files alone.
    """

    job_id: str | None
    attempt: int
    state: State
    footprint: str | None = None


def read_verdict(run: Run, *, is_copy: bool = False) -> State | None:
    """The end of the run's present job. None if verdict.json has no such end, or if the job started again.

    `is_copy`: the directory is a copy, so the times of its files are not compared.
    """
    if run.record is None:
        return None
    try:
        verdict: FinalState = decode_json(read_record(run.path / VERDICT), FinalState)
        if not is_copy and _has_moved(run.path, run.record, verdict):
            return None  # since then the scheduler requeued the job, or a user submitted it by hand
    except (OSError, ValueError):
        return None
    if verdict.state.state not in FINISHED:
        return None  # the file is damaged, so the backend is asked again
    same = (verdict.job_id, verdict.attempt) == (run.record.job_id, run.record.restarts)
    return verdict.state if same else None


def _has_moved(run: Path, record: Record, verdict: FinalState) -> bool:
    """True if the job has given a sign of life since the verdict."""
    if verdict.footprint is not None:
        return verdict.footprint != footprint(run)
    return _changed(_sign_of_life(run, record)) > _changed(run / VERDICT)


def _sign_of_life(run: Path, record: Record) -> Path:
    """A file that the job writes when it begins. In pods that is not the log, because it may be copied here later."""
    traits = find_traits(record.backend)
    if traits is not None and traits.starts_nodes_alone:
        return starts_file(run, 0, record.token)
    return node_log(run / LOGS, 0)


def _changed(path: Path) -> int:
    """When the file was last changed, in nanoseconds since 1970; 0 if there is no such file."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def write_verdict(run: Run, state: State, footprint: str | None = None) -> None:
    """Write how the job ended, unless the run is another user's. `footprint`: see `FinalState`."""
    if run.record is None or stranger(run.path) is not None:
        return
    job_id = run.record.job_id if state.job_id is None else state.job_id
    verdict = FinalState(job_id, run.record.restarts, state, footprint)
    with contextlib.suppress(OSError):
        data = msgspec.json.format(msgspec.json.encode(verdict), indent=2)
        # Not flushed to disk: if a power cut damages the file, the backend is asked again.
        write_inside(run.path, VERDICT, data + b"\n", durable=False)
