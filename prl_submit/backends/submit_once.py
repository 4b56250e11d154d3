"""Submitting at most once: run.json is written first, and then the order is given to the scheduler.

If a crash or Ctrl-C comes between the two, the record is there, and its token finds the job again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec

from prl_submit.errors import BackendRefusedError, BackendUnreachableError
from prl_submit.runs.directory import Run
from prl_submit.runs.exclusive import BusyError, locked
from prl_submit.runs.layout import CANCEL, RECORD
from prl_submit.runs.record import Record, write_record, write_records
from prl_submit.system.files import remove_inside
from prl_submit.system.side_by_side import side_by_side

#: Seconds that an order to a scheduler may still take after Ctrl-C.
_LET_END_S = 3.0
#: Seconds that somebody else may have the lock of a run, and seconds between two tries.
_BUSY_S = 10.0
_POLL_S = 0.02
#: So many runs are locked at a time, while their records are written.
_LOCKED_TOGETHER = 64


class Entry(NamedTuple):
    """A run that is to be submitted: what its record is now, and the one to write."""

    run: Path
    before: Run | None
    record: Record


def record_first(run: Path, before: Run | None, record: Record, order: Callable[[], str]) -> Record:
    """Write the record without a job id, give the order, and put the job's id into the record.

    `order` gives the order and returns the id. If `order` raises BackendRefusedError or
    BackendUnreachableError there is no job, and the record is put back to what it was in `before`. After any
    other error there may be a job, so the record stays.
    """
    entries = [Entry(run, before, record)]
    with _all_or_none(entries):
        write_record(run, record)
    return _order(entries, order, lambda job_id, _: job_id)[0]


def records_first(
    entries: Sequence[Entry],
    order: Callable[[Sequence[Entry]], str],
    id_of: Callable[[str, Record], str],
) -> list[Record]:
    """`record_first` for several runs that wait, and that one order submits.

    Runs that somebody has cancelled meanwhile are left out: `order` gets the others, and is not called if there
    are none. `id_of`: the id of a run's own part of that job.
    """
    taken: list[bool] = []
    with _all_or_none(entries):
        for first in range(0, len(entries), _LOCKED_TOGETHER):
            taken += _take_some(entries[first : first + _LOCKED_TOGETHER])
    ordered = [entry for entry, is_taken in zip(entries, taken, strict=True) if is_taken]
    records = _order(ordered, lambda: order(ordered), id_of) if ordered else []
    by_run = {entry.run: record for entry, record in zip(ordered, records, strict=True)}
    return [by_run.get(entry.run) or still_waiting(entry) for entry in entries]


@contextlib.contextmanager
def _all_or_none(entries: Sequence[Entry]) -> Iterator[None]:
    """Put all records back if one of them cannot be written."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the disk is full, which the user is told already
            _take_back(entries)
        raise


def _order(
    entries: Sequence[Entry], order: Callable[[], str], id_of: Callable[[str, Record], str]
) -> list[Record]:
    """Give the order, and put the ids into the records."""
    with _unhurried():
        try:
            job_id = order()
        except (BackendRefusedError, BackendUnreachableError):
            _take_back(entries)
            raise
        records = [
            msgspec.structs.replace(entry.record, job_id=id_of(job_id, entry.record))
            for entry in entries
        ]
        _write_ids([(entry.run, record) for entry, record in zip(entries, records, strict=True)])
        return records


def take(entry: Entry) -> bool:
    """Write the record of a run that waits. False if somebody has cancelled the run; then nothing is written.

    `cancel` writes cancel.json under the same lock, while the record says that the run waits. So either the run
    is never ordered, or `cancel` ends its job.
    """
    return _take_some([entry])[0]


def _take_some(entries: Sequence[Entry]) -> list[bool]:
    """`take` for so few runs that all can be locked at a time."""
    with contextlib.ExitStack() as locks:
        for entry in entries:
            if entry.before is not None:
                _lock(entry.before, locks)
        taken = [
            entry.before is None or not os.path.lexists(entry.run / CANCEL) for entry in entries
        ]
        write_records(
            [
                (entry.run, entry.record)
                for entry, is_it in zip(entries, taken, strict=True)
                if is_it
            ]
        )
    return taken


def _lock(run: Run, locks: contextlib.ExitStack) -> None:
    """Wait for the lock of a run, and keep it. Raises BusyError if somebody keeps it for long."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            locks.enter_context(locked(run))
            return
        except BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def still_waiting(entry: Entry) -> Record:
    """The record of a run that was not given to its backend."""
    before = entry.before.record if entry.before is not None else None
    return before or msgspec.structs.replace(entry.record, is_waiting=True)


def _write_ids(records: Sequence[tuple[Path, Record]]) -> None:
    """Put the ids of the jobs into the records. Where that cannot be done, the job's token finds the job."""
    try:
        write_records(records)
    except OSError:  # the disk may be full, or one run's directory may be gone
        for run, record in records:
            with contextlib.suppress(OSError):
                write_record(run, record)


def _take_back(entries: Sequence[Entry]) -> None:
    """Put the records back to what they were, because nothing was submitted."""
    side_by_side(put_back, entries)


def put_back(entry: Entry) -> None:
    """Put one record back to what it was."""
    if entry.before is not None and entry.before.record is not None:
        write_record(entry.run, entry.before.record)
    else:
        remove_inside(entry.run, RECORD)


@contextlib.contextmanager
def _unhurried() -> Iterator[None]:
    """Let an order end after Ctrl-C, for some seconds: nobody could say what an interrupted order did.

    Raises KeyboardInterrupt afterwards, or at once after a second Ctrl-C or when the seconds are over.
    """
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed or number == signal.SIGALRM:
            raise KeyboardInterrupt
        pressed = True
        signal.setitimer(signal.ITIMER_REAL, _LET_END_S)

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        raise KeyboardInterrupt
