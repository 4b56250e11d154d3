"""Processes of this machine, identified so that a later one with the same pid is not mistaken for them (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prl_submit.runs.record import LocalProcess

_PROC = Path("/proc")
TOKEN_VARIABLE = "PRL_SUBMIT_TOKEN"


def boot_id() -> str:
    """The kernel's id of this boot. Pids and start times of another boot mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def identify(pid: int) -> LocalProcess:
    """The process that has `pid` now. Raises ProcessLookupError."""
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return LocalProcess(pid, stat[1], boot_id(), os.uname().nodename, pid_namespace())


def pid_namespace() -> str | None:
    """The pid namespace that this process sees, as the kernel writes it: `pid:[4026531836]`."""
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return None


def is_visible(process: LocalProcess) -> bool:
    """True if its pid means the same here: the boot and the pid namespace are the same."""
    return process.boot == boot_id() and process.namespace == pid_namespace()


def is_alive(process: LocalProcess) -> bool:
    """True if this very process runs: it is visible from here, has the same start, and is no zombie."""
    if not is_visible(process):
        return False
    stat = _stat(process.pid)
    return stat is not None and stat[1] == process.started and stat[0] not in "ZX"


def _stat(pid: int) -> tuple[str, int] | None:
    """The state letter and the start time in clock ticks. The command name before them may hold brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode("ascii"), int(fields[19])


def command_line(pid: int) -> list[str]:
    """The words that a process was started with; empty if it has ended."""
    try:
        data = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


class Mark(NamedTuple):
    """What every process of a job has in its environment: the run's token and its directory.

    launch.sh gives its children `TOKEN.RANK.DEVICE.INODE`. launch.sh itself is started with `launch` in place
    of the rank. Only the owner of a process, and root, can set its environment.
    """

    token: str
    device: int
    inode: int

    @property
    def of_launcher(self) -> str:
        """The value of the variable with which launch.sh is started."""
        return f"{self.token}.launch.{self.device}.{self.inode}"

    def is_on(self, entries: Sequence[bytes]) -> bool:
        """True if one of these variables is the mark, of any node."""
        begin = f"{TOKEN_VARIABLE}={self.token}.".encode()
        end = f".{self.device}.{self.inode}".encode()
        return any(
            entry.startswith(begin) and entry.endswith(end) and len(entry) > len(begin) + len(end)
            for entry in entries
        )


def mark_of(token: str, run: Path) -> Mark | None:
    """The mark of a run's processes; None if its directory is gone."""
    try:
        found = os.stat(run)
    except OSError:
        return None
    return Mark(token, found.st_dev, found.st_ino)


def marked(mark: Mark | None) -> list[int]:
    """Pids of all processes that carry the mark, except this one."""
    if mark is None:
        return []
    return [
        int(name)
        for name in os.listdir(_PROC)
        if name.isdigit() and int(name) != os.getpid() and mark.is_on(environment(int(name)) or ())
    ]


def of_jobs() -> list[int]:
    """Pids of all processes that carry the mark of some job, as far as we may look at them."""
    begin = f"{TOKEN_VARIABLE}=".encode()
    return [
        int(name)
        for name in os.listdir(_PROC)
        if name.isdigit() and any(item.startswith(begin) for item in environment(int(name)) or ())
    ]


def environment(pid: int) -> list[bytes] | None:
    """The variables that a process was started with; None if we may not read them."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None


def leads(pid: int, children: Sequence[int]) -> bool:
    """True if the process leads its session and is the parent of one of `children`."""
    parents = {parent_of(child) for child in children}
    own = _fields(pid)
    return own is not None and own[3] == pid and pid in parents


def _fields(pid: int) -> tuple[int, int, int, int] | None:
    """pid, parent, group and session."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return pid, int(fields[1]), int(fields[2]), int(fields[3])


def parent_of(pid: int) -> int | None:
    """The pid of its parent: the process that started it, or that took it over; None if it has ended."""
    fields = _fields(pid)
    return None if fields is None else fields[1]


def user_of(pid: int) -> int | None:
    """The real uid of a process; None if it is gone or hidden."""
    try:
        text = (_PROC / str(pid) / "status").read_text("ascii", "replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line[:4] == "Uid:"), None)


def age(process: LocalProcess) -> float:
    """Seconds since the process was started, according to its record."""
    up = float((_PROC / "uptime").read_text("ascii").split()[0])
    return up - process.started / os.sysconf("SC_CLK_TCK")


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process. If it is gone already, nothing happens."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
