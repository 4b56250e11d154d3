"""Find and end the processes of a test cluster, by the variables in their environment.

Run as a program, this file is the guard of a Slurm cluster: it lives longer than pytest and ends what
a killed pytest left running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


class ClusterError(Exception):
    """A cluster did not do what it must; the message says what was seen."""


class SlurmError(ClusterError):
    """A Slurm cluster did not do what it must."""


def stat_of(pid: int) -> tuple[str, int] | None:
    """A process's state and its parent's id; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[
        :2
    ]  # the process's name, before it, may hold spaces and brackets
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """True if the process still runs. A zombie does not: in a container perhaps nobody ever reaps it."""
    seen = stat_of(pid)
    return seen is not None and seen[0] not in "ZX"


def environ_of(pid: int) -> set[bytes]:
    """The variables the process was started with; none if it is gone or another user's."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def command_of(pid: int) -> str:
    """The process's name, from /proc/PID/comm."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def all_processes() -> list[int]:
    """The ids of all processes but this one."""
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    ]


def with_environ(*wanted: str) -> list[int]:
    """The living processes whose environment holds all of these NAME=value."""
    words = {word.encode() for word in wanted}
    return [pid for pid in all_processes() if words <= environ_of(pid) and is_alive(pid)]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those processes that still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(find: Callable[[], list[int]], timeout: float = 10.0) -> None:
    """Kill what `find` finds until it finds nothing: a killed process may just have started another."""
    deadline = time.monotonic() + timeout
    while left := find():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes that survive SIGKILL: {left}")
        send(left, signal.SIGKILL)
        time.sleep(0.01)


def wait_until(check: Callable[[], object], what: str, timeout: float, pause: float = 0.02) -> None:
    """Wait until `check` is true. Raises ClusterError, in which `what` says what did not happen."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)


def has_open(pid: int, path: str) -> bool:
    """True if the process has the file open."""
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(file) == path:
                    return True
    return False


def with_open_log(folder: str, command: str) -> list[int]:
    """The living processes of that name that have a log in the folder open."""
    logs = [str(file) for file in Path(folder).glob("*.log")]
    return [
        pid
        for pid in all_processes()
        if command_of(pid) == command and any(has_open(pid, log) for log in logs) and is_alive(pid)
    ]


def of_slurm(folder: str, marks: Sequence[str]) -> list[int]:
    """All processes of a Slurm cluster. `marks`: the NAME=value that its processes carry.

    From 23.11 on slurmd starts slurmstepd without SLURM_CONF; it is known by its open log instead.
    """
    return list({*with_environ(*marks), *with_open_log(folder, "slurmstepd")})


def guard(folder: str, marks: Sequence[str]) -> None:
    """Wait until the process that started the cluster has ended, then kill what is left of the cluster."""
    sys.stdin.buffer.read()
    kill_all(lambda: of_slurm(folder, marks))


if __name__ == "__main__":
    guard(sys.argv[1], sys.argv[2:])


def ends_of_logs(folder: Path, pattern: str, lines: int = 20) -> str:
    """The last lines of the log files whose names match `pattern`, each below a line with its name."""
    parts = []
    for file in sorted(folder.glob(pattern)):
        tail = file.read_text(errors="replace").splitlines()[-lines:]
        if tail:
            parts.append("\n".join([f"--- {file.name}", *tail]))
    return "\n".join(parts)
