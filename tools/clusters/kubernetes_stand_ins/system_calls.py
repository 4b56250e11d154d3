"""Linux system calls for which Python has no function: mounts, namespaces, capabilities."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

NEW_MOUNTS = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY = 1
NO_SUID = 2
NO_DEV = 4
REMOUNT = 32
BIND = 4096
RECURSIVE = 16384
PRIVATE = 1 << 18

_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_NO_NEW_PRIVILEGES = 38
_PARENT_DEATH_SIGNAL = 1
_DROP_CAPABILITY = 24
_HIGHEST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount something, or change a mount."""
    words = [os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {target}")


def detach(target: str) -> None:
    """Take a mount out of the tree; processes that use it keep it until they end."""
    _check(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """Enter new namespaces. In a new one of process ids only the children of this process live."""
    _check(_libc.unshare(flags), "unshare")


def join(file: int) -> None:
    """Enter the namespace of an open file in /proc/PID/ns."""
    _check(_libc.setns(file, 0), "setns")


def set_hostname(name: str) -> None:
    """Set the hostname of this UTS namespace."""
    data = os.fsencode(name)
    _check(_libc.sethostname(data, len(data)), "sethostname")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root directory. The former root is then at `old`, below it."""
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def forbid_privileges() -> None:
    """Let no program that is started from here on gain privileges, as sudo does."""
    _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    _check(_libc.prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0), "prctl")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Take all other capabilities from programs that root starts from here on."""
    for number in range(_HIGHEST_CAPABILITY + 1):
        if number not in kept:
            _libc.prctl(_DROP_CAPABILITY, number, 0, 0, 0)  # fails where the kernel has fewer


def make_private() -> None:
    """Enter a new mount namespace whose mounts are seen nowhere else."""
    unshare(NEW_MOUNTS)
    mount("none", "/", flags=RECURSIVE | PRIVATE)


def default_signals() -> None:
    """Give all signals their default action: Python ignores some, and a parent may have ignored others."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start_time(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None if it has ended.

    No two processes have the same id and the same start time.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def identity(pid: int) -> str:
    """Id and start time of a process, for `find`."""
    return f"{pid} {start_time(pid)}"


def find(words: str) -> int | None:
    """The id of the process that `identity` describes; None if it has ended."""
    pid, _, start = words.partition(" ")
    return int(pid) if pid.isdecimal() and start_time(int(pid)) == start else None


def send(words: str, number: signal.Signals) -> None:
    """Send a signal to the process that `identity` describes, if it lives."""
    pid = find(words)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _check(result: int, what: str) -> None:
    """Raise OSError if a system call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
