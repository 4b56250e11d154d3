"""Into the namespaces of a process that runs, and into the shoes of a container's user."""

from __future__ import annotations

import os
from typing import Any

from tools.clusters.kubernetes_stand_ins import linux


def join(pid: int, *kinds: str) -> None:
    """Its namespaces of these kinds, as /proc/PID/ns calls them; with mnt comes its root."""
    files = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for file in files:
        linux.join(file)
        os.close(file)


def become(user: Any) -> None:
    """Take a container's user, groups and capabilities for good."""
    linux.keep_capabilities(frozenset(user["capabilities"]))
    os.setgroups(user["groups"])
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])
    if user["noNewPrivileges"]:
        linux.forbid_privileges()


def run(argv: list[str], environment: dict[str, str], folder: str) -> None:
    """Become this program; an OSError says why not."""
    os.umask(0o022)
    os.chdir(folder)
    linux.default_signals()
    words = [_encoded(word) for word in argv]
    os.execvpe(
        words[0], words, {_encoded(name): _encoded(text) for name, text in environment.items()}
    )


def reason(error: OSError, program: str) -> str:
    """Why a program could not be started, as a container runtime says it."""
    what = os.strerror(error.errno or 0).lower()
    if isinstance(error, FileNotFoundError) and "/" not in program:
        what = "executable file not found in $PATH"
    elif isinstance(error, FileNotFoundError):
        what = f"stat {program}: {what}"
    return f'exec: "{program}": {what}: unknown'


def _encoded(text: str) -> bytes:
    """The bytes that the API had."""
    return text.encode("utf-8", "surrogateescape")
