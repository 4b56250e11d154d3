"""Several PyTorchJobs are created or deleted at a time, because each request waits for the API server's disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from prl_submit.backends.kubernetes.api import Api
from prl_submit.backends.kubernetes.submitting import create
from prl_submit.backends.submit_once import Entry, put_back, still_waiting, take
from prl_submit.errors import BackendRefusedError, BackendUnreachableError
from prl_submit.runs.record import Record, write_record

#: So many requests are under way at a time. More would be held back by the server's limits for one user.
_AT_ONCE = 8
#: Seconds that requests under way may still take after Ctrl-C.
_LET_END_S = 3.0


class Creation(NamedTuple):
    """A PyTorchJob to create. `entry`: its run, with the record that is written first; `name`: the job's."""

    entry: Entry
    api: Api
    manifest: str
    name: str


class _Creations:
    """Creates jobs in the order of the list, several at a time, until one is refused."""

    def __init__(self, todo: Sequence[Creation]) -> None:
        self._todo = list(enumerate(todo))[::-1]
        self._lock = threading.Lock()
        self._is_over = False
        self.records: dict[int, Record] = {}
        self.faults: dict[int, BaseException] = {}

    def stop(self) -> None:
        """Begin no further creation."""
        with self._lock:
            self._is_over = True

    def work(self) -> None:
        """Create one job after the other."""
        while (item := self._next()) is not None:
            index, creation = item
            try:
                self.records[index] = _create(creation)
            except BaseException as fault:
                self.faults[index] = fault
                self.stop()

    def _next(self) -> tuple[int, Creation] | None:
        with self._lock:
            return None if self._is_over or not self._todo else self._todo.pop()


def _create(item: Creation) -> Record:
    """Write the record, create the job, and put the job's name into the record, unless the run is cancelled."""
    run, record = item.entry.run, item.entry.record
    if not take(item.entry):
        return still_waiting(item.entry)
    try:
        create(item.api, item.manifest, item.name, record.token)
    except (BackendRefusedError, BackendUnreachableError):
        put_back(item.entry)
        raise
    record = msgspec.structs.replace(record, job_id=item.name)
    try:
        write_record(run, record)
    except OSError:
        pass  # a full disk: the job exists, and its token finds it
    return record


def create_jobs(todo: Sequence[Creation]) -> list[Record]:
    """Create the jobs; their records. Each job's record is written before the job is created.

    A run that somebody has cancelled meanwhile is left out.

    If one is refused, no further one is begun, and the first error is raised when those under way have
    ended: then each run has a job, or a record that says that it waits. After Ctrl-C likewise.
    """
    creations = _Creations(todo)
    in_threads(creations.work, min(_AT_ONCE, len(todo)), creations.stop)
    if creations.faults:
        raise creations.faults[min(creations.faults)]
    return [creations.records[index] for index in range(len(todo))]


def in_threads(work: Callable[[], None], count: int, stop: Callable[[], None]) -> None:
    """Let several threads work to their end. After Ctrl-C `stop` is called, and they have seconds to end.

    They are daemons: the process need not wait for an answer that never comes.
    """
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        stop()
        deadline = time.monotonic() + _LET_END_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise
