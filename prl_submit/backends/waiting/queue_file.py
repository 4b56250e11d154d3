"""queue.json: which process is the waiting queue of some runs, and why its runs wait.

It lies in the sweep's folder; for a run that was submitted alone, in `logs/` of the run directory.
"""

from __future__ import annotations

import os
import signal
import time
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from prl_submit.backends.local import processes
from prl_submit.runs.layout import LOGS, QUEUE, sweep_folder
from prl_submit.runs.record import LocalProcess, Record
from prl_submit.system.files import write_inside
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_record

_POLL_S = 0.02
#: Seconds in which a queue that got SIGTERM ends the start of a run, until it gets SIGKILL.
_LET_END_S = 5.0


class QueueFile(Struct, frozen=True, kw_only=True):
    """The content of queue.json.

    `name`: what the user types to resume the runs: the sweep's name, or the run's. `runs`: the names of the
    directories of all runs, in the order in which they start. `running`: how many of them run. `reasons`: why
    each other one waits, in words.
    """

    process: LocalProcess
    name: str
    runs: list[Annotated[str, Meta(pattern=r"^v[0-9]+-[0-9]{8}-[0-9]{6}$")]]
    max_parallel: int | None = None
    running: int = 0
    reasons: dict[str, str] = {}


def queue_folder(run: Path, record: Record) -> Path:
    """The folder that has the queue.json of a run that waits."""
    if record.sweep is not None:
        return sweep_folder(run.parent, record.sweep.folder)
    return run / LOGS


def output_root_of_queue(folder: Path) -> Path:
    """The output root that has the runs of a queue: `output/sweeps/NAME` and `output/v1-…/logs` are both in it."""
    return folder.parent.parent


def read_queue(folder: Path) -> QueueFile | None:
    """queue.json of a folder; None if there is none, or if prl-submit cannot have written it."""
    try:
        seen = os.lstat(folder / QUEUE)
    except OSError:
        return None
    return _read(folder / QUEUE, (seen.st_ino, seen.st_mtime_ns, seen.st_size))


@lru_cache(maxsize=16)
def _read(file: Path, seen: tuple[int, int, int]) -> QueueFile | None:
    """The content of a file that looked so. All runs of a sweep have the same one."""
    try:
        found: QueueFile = decode_json(read_record(file, PLAN_BYTES), QueueFile)
    except (OSError, ValueError):
        return None
    return found


def write_queue(folder: Path, queue: QueueFile) -> None:
    """Write queue.json. Raises OSError."""
    data = msgspec.json.format(msgspec.json.encode(queue), indent=1)
    write_inside(folder, QUEUE, data + b"\n", durable=False)


def is_elsewhere(queue: QueueFile) -> bool:
    """True if the queue is a process of another machine, or of another container of this one."""
    process = queue.process
    return not processes.is_visible(process) and process.host != os.uname().nodename


def was_restarted(queue: QueueFile) -> bool:
    """True if the machine was restarted since the queue began."""
    return queue.process.boot != processes.boot_id()


def end_queue(folder: Path) -> bool:
    """End the queue of a folder, if it runs on this machine; True if it ran. Its runs that wait go on waiting.

    Any instant is safe for that. SIGTERM lets the queue end the start of a run first.
    """
    queue = read_queue(folder)
    if queue is None or not _is_queue(queue.process):
        return False
    for number, seconds in ((signal.SIGTERM, _LET_END_S), (signal.SIGKILL, _LET_END_S)):
        processes.send(queue.process.pid, number)
        deadline = time.monotonic() + seconds
        while processes.is_alive(queue.process) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if not processes.is_alive(queue.process):
            break
    return True


def _is_queue(process: LocalProcess) -> bool:
    """True if that very process lives and is ours. Anybody may have written queue.json, so nothing else is signalled."""
    if not processes.is_alive(process) or processes.user_of(process.pid) != os.geteuid():
        return False
    return QUEUE_MODULE in " ".join(processes.command_line(process.pid))


#: The module of the queue's process, which stands in its command line.
QUEUE_MODULE = "prl_submit.backends.waiting.queue_process"
