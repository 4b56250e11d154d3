"""The record first, then the order to the scheduler: what a crash or Ctrl-C between them leaves is found again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec

from prl_submit.errors import BackendRefusedError, BackendUnreachableError
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import RECORD
from prl_submit.runs.record import Record, write_record
from prl_submit.system.files import remove_inside

#: Seconds that an order to a scheduler has after Ctrl-C.
_LET_END_S = 3.0


def record_first(run: Path, before: Run | None, record: Record, order: Callable[[], str]) -> Record:
    """Write the record without a job id, give the order, and complete the record with the id.

    `before`: the run as it was, to which it goes back where `order` raises that there is no job
    (BackendRefusedError, BackendUnreachableError). What else it raises leaves the record there.
    """
    write_record(run, record)
    with _unhurried():
        try:
            job_id = order()
        except (BackendRefusedError, BackendUnreachableError):
            _take_back(run, before)
            raise
        record = msgspec.structs.replace(record, job_id=job_id)
        with contextlib.suppress(OSError):  # a full disk: the job is there, its token finds it
            write_record(run, record)
    return record


def _take_back(run: Path, before: Run | None) -> None:
    """Nothing was submitted: the record is what it was."""
    if before is not None and before.record is not None:
        write_record(run, before.record)
    else:
        remove_inside(run, RECORD)


@contextlib.contextmanager
def _unhurried() -> Iterator[None]:
    """Ctrl-C lets an order come to its end, for some seconds: else nobody could say what it did."""
    pressed = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed or number == signal.SIGALRM:
            raise KeyboardInterrupt
        pressed = True
        signal.setitimer(signal.ITIMER_REAL, _LET_END_S)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        raise KeyboardInterrupt
