"""Processes of this machine, told apart for good (proc(5))."""

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
    """The kernel's id of this boot; pids and start times mean nothing across boots."""
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
    """Whether its pid means here what it meant there: same boot, same pid namespace."""
    return process.boot == boot_id() and process.namespace == pid_namespace()


def is_alive(process: LocalProcess) -> bool:
    """Whether this very process runs: visible from here, same start, and not a zombie."""
    if not is_visible(process):
        return False
    stat = _stat(process.pid)
    return stat is not None and stat[1] == process.started and stat[0] not in "ZX"


def _stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time in clock ticks; the command name may hold spaces and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode("ascii"), int(fields[19])


def command_line(pid: int) -> list[str]:
    """The words a process was started with; empty where it has ended."""
    try:
        data = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


class Mark(NamedTuple):
    """What every process of a job carries in its environment: the run's token and its directory.

    launch.sh gives its children `TOKEN.RANK.DEVICE.INODE`, and is itself started with the word
    `launch` for the rank. Nobody but the owner of a process, and root, can put it there.
    """

    token: str
    device: int
    inode: int

    @property
    def of_launcher(self) -> str:
        """The value of the variable with which launch.sh is started."""
        return f"{self.token}.launch.{self.device}.{self.inode}"

    def is_on(self, entries: Sequence[bytes]) -> bool:
        """Whether these variables have it, of whichever node."""
        begin = f"{TOKEN_VARIABLE}={self.token}.".encode()
        end = f".{self.device}.{self.inode}".encode()
        return any(
            entry.startswith(begin) and entry.endswith(end) and len(entry) > len(begin) + len(end)
            for entry in entries
        )


def mark_of(token: str, run: Path) -> Mark | None:
    """The mark of a run's processes; None where its directory is gone."""
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


def environment(pid: int) -> list[bytes] | None:
    """The variables that a process was started with; None where we may not see them."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None


def leads(pid: int, children: Sequence[int]) -> bool:
    """Whether it leads its session and is the parent of one of these."""
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
    """The pid of the process that started it, or that took it over; None where it has ended."""
    fields = _fields(pid)
    return None if fields is None else fields[1]


def user_of(pid: int) -> int | None:
    """The uid that a process really has; None where it is gone or hidden."""
    try:
        text = (_PROC / str(pid) / "status").read_text("ascii", "replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in text.splitlines() if line[:4] == "Uid:"), None)


def age(process: LocalProcess) -> float:
    """Seconds since it was started, by its record."""
    up = float((_PROC / "uptime").read_text("ascii").split()[0])
    return up - process.started / os.sysconf("SC_CLK_TCK")


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
