"""The parent process of one container: starts it, writes its log, and writes down how it ended.

usage: python -m tools.clusters.kubernetes_stand_ins.shim FOLDER
It lives longer than the kubelet, so that the next kubelet finds everything in FOLDER:
  spec.json  what to run; the kubelet writes it
  shim       the shim's identity. A new kubelet that finds no such file writes it itself, and the shim,
             which comes too late then, starts nothing
  started    the identity of the container's first process, and when it was started
  log        the container's output; see log_file.py
  exit.json  how the container ended, or why it did not start
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import time
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import namespaces, rootfs, system_calls, whole_files
from tools.clusters.kubernetes_stand_ins.log_file import LogWriter

CHUNK = 65536


class Shim:
    """The life of one container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spec: Any = whole_files.read_json(folder / "spec.json")
        self._memory = Path(self._spec["memory"]["group"]) if self._spec["memory"] else None

    def run(self) -> None:
        """Run the container from its start to its end."""
        started = time.time()
        try:
            namespaces.join(self._spec["sandbox"], "mnt", "uts", "ipc", "net")
            made = rootfs.make_places(self._spec["mounts"], self._spec["live"])
            self._make_group()
            code, failure = self._run_container()
        except OSError as error:
            made, code, failure = [], 128, str(error)
        result = {
            "exitCode": code,
            "failure": failure,
            "startedAt": started,
            "finishedAt": time.time(),
            "outOfMemory": self._was_out_of_memory(),
        }
        rootfs.remove_places(made)
        if self._memory:
            with contextlib.suppress(OSError):
                self._memory.rmdir()
        whole_files.write_json(self._folder / "exit.json", result)

    def _run_container(self) -> tuple[int, str | None]:
        """The container's exit code, and the reason if it did not start."""
        out, err, failure = os.pipe(), os.pipe(), os.pipe()
        system_calls.unshare(system_calls.NEW_PIDS)
        pid = os.fork()
        if pid == 0:
            self._become_container(out[1], err[1], failure[1])
        for _, end in (out, err, failure):
            os.close(end)
        # This returns when the other end is closed, which the start of the program does.
        reason = os.read(failure[0], CHUNK).decode()
        if not reason:
            whole_files.write(
                self._folder / "started", f"{system_calls.identity(pid)} {time.time()}"
            )
        self._copy(out[0], err[0])
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return (128, reason) if reason else (code if code >= 0 else 128 - code, None)

    def _become_container(self, out: int, err: int, failure: int) -> None:
        """Become the container's program, in the child process. Never returns."""
        spec = self._spec
        try:
            os.setsid()
            if self._memory:
                (self._memory / "cgroup.procs").write_text("0")
            system_calls.make_private()
            rootfs.enter(self._folder, spec["mounts"], spec["live"])
            if spec["workingDir"]:
                os.makedirs(spec["workingDir"], exist_ok=True)
            for number, file in enumerate((os.open("/dev/null", os.O_RDONLY), out, err)):
                os.dup2(file, number)
            namespaces.become(spec["user"])
            system_calls.end_with_parent()  # if somebody kills this shim; only now, since `become` would undo it
            namespaces.run(spec["argv"], spec["env"], spec["workingDir"] or "/")
        except OSError as error:
            is_own = error.filename is None and "mount" in str(error)
            text = str(error) if is_own else namespaces.reason(error, spec["argv"][0])
            os.write(failure, text.encode())
        finally:
            os._exit(128)

    def _copy(self, out: int, err: int) -> None:
        """Copy stdout and stderr into the log until both have ended."""
        log = LogWriter(str(self._folder / "log"))
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(err, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, CHUNK)
                    if data:
                        log.add(key.fd, data)
                    else:
                        log.end(key.fd)
                        selector.unregister(key.fd)

    def _make_group(self) -> None:
        """Make the control group that limits the container's memory."""
        if self._memory:
            self._memory.mkdir(parents=True, exist_ok=True)
            limit = self._spec["memory"]["limit"]
            (self._memory / "memory.limit_in_bytes").write_text(str(limit))

    def _was_out_of_memory(self) -> bool:
        """True if the kernel killed a process of the container because of its memory limit."""
        text = whole_files.read(self._memory / "memory.oom_control") if self._memory else None
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0"
            for line in (text or "").splitlines()
        )


def main() -> None:
    """Run the container, unless a new kubelet has given it up meanwhile."""
    folder = Path(sys.argv[1])
    if whole_files.claim(folder / "shim", system_calls.identity(os.getpid())):
        Shim(folder).run()


if __name__ == "__main__":
    main()
