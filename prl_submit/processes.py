"""Processes of this machine, told apart for good (proc(5))."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from prl_submit.runs import Process

_PROC = Path("/proc")
TOKEN_VARIABLE = "PRL_SUBMIT_TOKEN"


def boot_id() -> str:
    """The kernel's id of this boot; pids and start times mean nothing across boots."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def identify(pid: int) -> Process:
    """The process that has `pid` now. Raises ProcessLookupError."""
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return Process(pid, stat[1], boot_id(), os.uname().nodename, pid_namespace())


def pid_namespace() -> str | None:
    """The pid namespace that this process sees, as the kernel writes it: `pid:[4026531836]`."""
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return None


def is_visible(process: Process) -> bool:
    """Whether its pid means here what it meant there: same boot, same pid namespace."""
    return process.boot == boot_id() and process.namespace == pid_namespace()


def is_alive(process: Process) -> bool:
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


def with_token(token: str) -> list[int]:
    """Pids of all processes that carry the job's token, of whichever node, except this one."""
    wanted = f"{TOKEN_VARIABLE}={token}.".encode()
    return [
        int(name)
        for name in os.listdir(_PROC)
        if name.isdigit()
        and int(name) != os.getpid()
        and any(entry.startswith(wanted) for entry in _environment(name))
    ]


def _environment(pid: str) -> list[bytes]:
    try:
        return (_PROC / pid / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
