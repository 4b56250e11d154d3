"""Enter the namespaces of a running process, and become a container's user and program."""

from __future__ import annotations

import os
from typing import Any

from tools.clusters.kubernetes_stand_ins import system_calls


def join(pid: int, *kinds: str) -> None:
    """Enter these namespaces of a process, by their names in /proc/PID/ns. `mnt` brings its root."""
    files = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for file in files:
        system_calls.join(file)
        os.close(file)


def become(user: Any) -> None:
    """Become a container's user, with its groups and capabilities; there is no way back."""
    system_calls.keep_capabilities(frozenset(user["capabilities"]))
    os.setgroups(user["groups"])
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    if user["noNewPrivileges"]:
        system_calls.forbid_privileges()


def run(argv: list[str], environment: dict[str, str], folder: str) -> None:
    """Become this program. Raises OSError if that cannot be."""
    os.umask(0o022)
    os.chdir(folder)
    system_calls.default_signals()
    words = [_encoded(word) for word in argv]
    os.execvpe(
        words[0], words, {_encoded(name): _encoded(text) for name, text in environment.items()}
    )


def reason(error: OSError, program: str) -> str:
    """Why a program could not be started, in a container runtime's words."""
    what = os.strerror(error.errno or 0).lower()
    if isinstance(error, FileNotFoundError) and "/" not in program:
        what = "executable file not found in $PATH"
    elif isinstance(error, FileNotFoundError):
        what = f"stat {program}: {what}"
    return f'exec: "{program}": {what}: unknown'


def _encoded(text: str) -> bytes:
    """The bytes of a text from the API."""
    return text.encode("utf-8", "surrogateescape")
