"""Submitting at most once: run.json is written first, and then the order is given to the scheduler.

If a crash or Ctrl-C comes between the two, the record is there, and its token finds the job again.
"""

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

#: Seconds that an order to a scheduler may still take after Ctrl-C.
_LET_END_S = 3.0


def record_first(run: Path, before: Run | None, record: Record, order: Callable[[], str]) -> Record:
    """Write the record without a job id, give the order, and put the job's id into the record.

    `order` gives the order and returns the id. If `order` raises BackendRefusedError or
    BackendUnreachableError there is no job, and the record is put back to what it was in `before`. After any
    other error there may be a job, so the record stays.
    """
    write_record(run, record)
    with _unhurried():
        try:
            job_id = order()
        except (BackendRefusedError, BackendUnreachableError):
            _take_back(run, before)
            raise
        record = msgspec.structs.replace(record, job_id=job_id)
        with contextlib.suppress(OSError):  # a full disk: the job exists, and its token finds it
            write_record(run, record)
    return record


def _take_back(run: Path, before: Run | None) -> None:
    """Put the record back to what it was, because nothing was submitted."""
    if before is not None and before.record is not None:
        write_record(run, before.record)
    else:
        remove_inside(run, RECORD)


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
