"""System calls that Python has no function for: mounts, namespaces, capabilities."""

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
    """Take a mount out of the tree; it ends with its last user."""
    _check(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """Namespaces of our own; a new one of process ids is that of the children."""
    _check(_libc.unshare(flags), "unshare")


def join(file: int) -> None:
    """The namespace that an open file of /proc/PID/ns stands for."""
    _check(_libc.setns(file, 0), "setns")


def set_hostname(name: str) -> None:
    """Of this UTS namespace."""
    data = os.fsencode(name)
    _check(_libc.sethostname(data, len(data)), "sethostname")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root; the one before is found at `old`, below it."""
    number = _PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, os.fsencode(new), os.fsencode(old)), "pivot_root")


def forbid_privileges() -> None:
    """No program that is started from here on gains any, as sudo does."""
    _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def end_with_parent() -> None:
    """This process is killed when its parent ends, whatever it runs by then."""
    _check(_libc.prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0), "prctl")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Root's programs started from here on have no others."""
    for number in range(_HIGHEST_CAPABILITY + 1):
        if number not in kept:
            _libc.prctl(_DROP_CAPABILITY, number, 0, 0, 0)  # fails where the kernel has fewer


def make_private() -> None:
    """A mount namespace of our own whose mounts are seen nowhere else."""
    unshare(NEW_MOUNTS)
    mount("none", "/", flags=RECURSIVE | PRIVATE)


def default_signals() -> None:
    """What a fresh process has: Python ignores some, and a parent may have."""
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start_time(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; with its number it is unique."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def identity(pid: int) -> str:
    """Number and start of a process, to be read by `find`."""
    return f"{pid} {start_time(pid)}"


def find(words: str) -> int | None:
    """The process that `identity` wrote down, if it lives."""
    pid, _, start = words.partition(" ")
    return int(pid) if pid.isdecimal() and start_time(int(pid)) == start else None


def send(words: str, number: signal.Signals) -> None:
    """A signal to the process that `identity` wrote down, if it lives."""
    pid = find(words)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _check(result: int, what: str) -> None:
    """Raise what the kernel said."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
