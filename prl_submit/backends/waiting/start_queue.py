"""Start the waiting queue as a detached process of this machine.

The child writes queue.json with its own identity and then becomes the queue. So whatever instant the submitting
process is killed at, the queue runs and is known, or it does not run and the runs are told to be LOST.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import prl_submit
from prl_submit.backends.base import SweepOrder
from prl_submit.backends.local import processes
from prl_submit.backends.local.start import detach, fork_into
from prl_submit.backends.submit_once import Entry, put_back
from prl_submit.backends.waiting.names import short_name
from prl_submit.backends.waiting.queue_file import (
    QUEUE_MODULE,
    QueueFile,
    end_queue,
    queue_folder,
    read_queue,
    write_queue,
)
from prl_submit.errors import BackendRefusedError
from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import QUEUE_LOCK, QUEUE_LOG
from prl_submit.runs.record import Record, write_record
from prl_submit.system.files import open_inside

#: The working directory is the queue's folder, where no module must be imported from.
_CODE = f"""\
import sys
sys.path = [path for path in sys.path if path]
sys.path.append(sys.argv[1])
from {QUEUE_MODULE} import main
main(sys.argv[2], int(sys.argv[3]))
"""


def queue_sweep(sweep: SweepOrder) -> list[Record]:
    """Start a queue for the runs of a sweep; the records that they keep until their turn. Raises BackendRefusedError."""
    names = [item.run.name for item in sweep.items]
    start_queue(sweep.folder, sweep.name, names, sweep.max_parallel)
    return [msgspec.structs.replace(item.record, is_waiting=True) for item in sweep.items]


def queue_run(run: Path, record: Record) -> Record:
    """Let a prepared run wait in the queue of its sweep, or in one of its own; its record.

    The record is written first: if this process is killed then, the run is LOST and can be resumed. Raises
    BackendRefusedError; then run.json is what it was before.
    """
    before = read_run(run)
    record = msgspec.structs.replace(record, is_waiting=True)
    write_record(run, record)
    folder = queue_folder(run, record)
    earlier = read_queue(folder)
    name = record.sweep.name if record.sweep is not None else short_name(run)
    try:
        start_queue(folder, name, [run.name], earlier.max_parallel if earlier else None)
    except BackendRefusedError:
        put_back(Entry(run, before, record))
        raise
    return record


def start_queue(folder: Path, name: str, runs: Sequence[str], max_parallel: int | None) -> None:
    """Start a queue for these runs, which wait already. Raises BackendRefusedError; then no queue runs.

    A queue that runs in this folder ends first, and the new one has its runs too. `name`: see `QueueFile`.
    """
    end_queue(folder)
    before = read_queue(folder)
    known = before.runs if before is not None else []
    everything = [*known, *(run for run in runs if run not in known)]
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with contextlib.ExitStack() as stack:
            lock = _lock(folder)
            stack.callback(os.close, lock)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            log = open_inside(folder, QUEUE_LOG, flags)
            stack.callback(os.close, log)
            queue = (name, everything, max_parallel)
            fault, killed_by = fork_into(
                lambda: _become_queue(folder, queue, lock, log),
                lambda words: QUEUE_MODULE in " ".join(words),
            )
            if killed_by is not None:
                fault = f"signal {killed_by} ended its process"
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if fault:
        raise BackendRefusedError(f"the waiting queue could not be started: {fault}")


def _lock(folder: Path) -> int:
    """The lock of the folder's queue. The queue's process keeps it. Raises OSError, BackendRefusedError."""
    lock = open_inside(folder, QUEUE_LOCK, os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BackendRefusedError(
            f"another waiting queue is just being started in {folder}", "ask again in a second"
        ) from None
    except OSError:
        pass  # this file system has no locks: two queues still start no run twice, because each run has a lock
    return lock


def _become_queue(
    folder: Path, queue: tuple[str, Sequence[str], int | None], lock: int, log: int
) -> None:
    """In the child: write queue.json and become the queue."""
    detach()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.set_inheritable(lock, True)
    name, runs, max_parallel = queue
    me = processes.identify(os.getpid())
    write_queue(
        folder, QueueFile(process=me, name=name, runs=list(runs), max_parallel=max_parallel)
    )
    environ = {key: text for key, text in os.environ.items() if not key.startswith("PRL_SUBMIT_")}
    if paths := environ.get("KUBECONFIG"):
        absolute = (os.path.abspath(path) for path in paths.split(os.pathsep) if path)
        environ["KUBECONFIG"] = os.pathsep.join(absolute)
    package = os.path.dirname(os.path.dirname(os.path.abspath(prl_submit.__file__)))
    os.chdir(folder)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
    # SIGTERM stays blocked: the queue looks for it between two starts.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM})
    os.execve(
        sys.executable, [sys.executable, "-c", _CODE, package, str(folder), str(lock)], environ
    )
