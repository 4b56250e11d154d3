"""Processes of a test cluster, found by what stands in their environment.

Run as a program, this file is the guard: it outlives the tests and ends what a killed pytest left.
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
    """The cluster did not do what it must; the message says what was seen."""


class SlurmError(ClusterError):
    """Slurm did not."""


def stat_of(pid: int) -> tuple[str, int] | None:
    """A process's state and its parent; None where it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = text.rpartition(")")[2].split()[:2]  # the name before may hold anything
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """Whether it still runs: a zombie, which nobody may ever reap here, does not."""
    seen = stat_of(pid)
    return seen is not None and seen[0] not in "ZX"


def environ_of(pid: int) -> set[bytes]:
    """What it was started with; nothing where it is gone or somebody else's."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def command_of(pid: int) -> str:
    """The name in /proc/PID/comm."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def all_processes() -> list[int]:
    """All processes but this one."""
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    ]


def with_environ(*wanted: str) -> list[int]:
    """Living processes that carry all these NAME=value."""
    words = {word.encode() for word in wanted}
    return [pid for pid in all_processes() if words <= environ_of(pid) and is_alive(pid)]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send it to those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(find: Callable[[], list[int]], timeout: float = 10.0) -> None:
    """SIGKILL what `find` finds, until it finds nothing: what is killed may just have forked."""
    deadline = time.monotonic() + timeout
    while left := find():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes that survive SIGKILL: {left}")
        send(left, signal.SIGKILL)
        time.sleep(0.01)


def wait_until(check: Callable[[], object], what: str, timeout: float, pause: float = 0.02) -> None:
    """Wait until `check` is true; `what` says what did not come."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)


def has_open(pid: int, path: str) -> bool:
    """Whether it holds the file open."""
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(file) == path:
                    return True
    return False


def with_open_log(folder: str, command: str) -> list[int]:
    """Living processes of that name that write to a log in the folder."""
    logs = [str(file) for file in Path(folder).glob("*.log")]
    return [
        pid
        for pid in all_processes()
        if command_of(pid) == command and any(has_open(pid, log) for log in logs) and is_alive(pid)
    ]


def of_slurm(folder: str, marks: Sequence[str]) -> list[int]:
    """What carries the marks of a Slurm cluster, and its slurmstepd's.

    From 23.11 on slurmd starts them without SLURM_CONF; the log of their node they have open.
    """
    return list({*with_environ(*marks), *with_open_log(folder, "slurmstepd")})


def guard(folder: str, marks: Sequence[str]) -> None:
    """Wait until the starter is gone, then end what is left of its cluster."""
    sys.stdin.buffer.read()
    kill_all(lambda: of_slurm(folder, marks))


if __name__ == "__main__":
    guard(sys.argv[1], sys.argv[2:])
