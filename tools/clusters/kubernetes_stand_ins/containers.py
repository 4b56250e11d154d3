"""The containers of pods. Each attempt to run one has a folder, and a shim that outlives the kubelet."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.clusters.kubernetes_stand_ins import system_calls, whole_files
from tools.clusters.kubernetes_stand_ins.api import Object
from tools.clusters.kubernetes_stand_ins.times import stamp

#: Seconds that a shim gets to start its container.
PATIENCE = 10.0
LONGEST_MESSAGE = 4096
LONGEST_LOG_MESSAGE = 2048
LINES_OF_LOG_MESSAGE = 80


class Ended(NamedTuple):
    """How an attempt ended."""

    code: int
    reason: str
    message: str
    started: float
    finished: float

    def state(self, container_id: str) -> Object:
        """The end as it stands in the container's status."""
        return {
            "exitCode": self.code,
            "reason": self.reason,
            "startedAt": stamp(self.started),
            "finishedAt": stamp(self.finished),
            "containerID": container_id,
        } | ({"message": self.message} if self.message else {})


class Attempt:
    """One attempt to run a container."""

    def __init__(self, folder: Path, number: int, *, changed: Callable[[], None]) -> None:
        self.folder = folder
        self.number = number
        self.log = folder / "log"
        self.spec: Any = whole_files.read_json(folder / "spec.json")
        self.ended: Ended | None = None
        #: Set when the attempt has ended and all its output is in the log.
        self.is_over = threading.Event()
        self._changed = changed

    @property
    def container_id(self) -> str:
        """The id that stands in the container's status."""
        return str(self.spec["id"])

    def start(self) -> None:
        """Start the shim; return when the container runs or could not be started."""
        with open(self.folder / "shim.log", "ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-S",
                    "-E",
                    "-m",
                    "tools.clusters.kubernetes_stand_ins.shim",
                    str(self.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=self._follow, args=[process], daemon=True).start()
        self._await_start()

    def adopt(self) -> bool:
        """Take over an attempt that an earlier kubelet started; False if its shim never ran."""
        if whole_files.claim(self.folder / "shim", "given up"):
            return False
        threading.Thread(target=self._follow, args=[None], daemon=True).start()
        if self._process_words() is None:
            self._await_start()
        return True

    def started(self) -> float | None:
        """When it was started, in seconds since 1970; None if it was not."""
        words = (whole_files.read(self.folder / "started") or "").split()
        return float(words[2]) if words else None

    def pid(self) -> int | None:
        """The id of its first process; None if that has ended."""
        words = self._process_words()
        return None if words is None else system_calls.find(words)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        if words := self._process_words():
            system_calls.send(words, number)

    def kill(self) -> None:
        """Kill its first process; the kernel then kills all others of the container."""
        while not self.is_over.is_set():
            self.signal(signal.SIGKILL)
            if self.is_over.wait(0.02):
                return

    def _process_words(self) -> str | None:
        """Number and start time of its first process; see system_calls.find."""
        words = (whole_files.read(self.folder / "started") or "").split()
        return " ".join(words[:2]) if words else None

    def _await_start(self) -> None:
        """Wait until the container runs, or has ended without having run."""
        deadline = time.monotonic() + PATIENCE
        while self.started() is None and not self.is_over.wait(0.005):
            if time.monotonic() > deadline:
                return

    def _follow(self, process: subprocess.Popen[bytes] | None) -> None:
        """Wait for the shim's end, then read how the container ended."""
        if process is not None:
            process.wait()
        elif pid := system_calls.find(whole_files.read(self.folder / "shim") or ""):
            with contextlib.suppress(OSError):
                file = os.pidfd_open(pid)
                poll = select.poll()
                poll.register(file, select.POLLIN)
                poll.poll()
                os.close(file)
        self.ended = self._read_end()
        self.is_over.set()
        self._changed()

    def _read_end(self) -> Ended:
        """How the attempt ended, as the shim wrote it down. A killed shim wrote nothing."""
        result: Any = whole_files.read_json(self.folder / "exit.json")
        if result is None:
            self.signal(signal.SIGKILL)
            now = time.time()
            text = "The container could not be located when the pod was terminated"
            return Ended(137, "ContainerStatusUnknown", text, self.started() or now, now)
        code, failure = result["exitCode"], result["failure"]
        if failure is not None:
            text = (
                "failed to create containerd task: OCI runtime create failed: "
                f"container_linux.go:370: starting container process caused: {failure}"
            )
            return Ended(code, "StartError", text, 0, result["finishedAt"])
        reason = "Completed" if code == 0 else "Error"
        if result["outOfMemory"]:
            reason = "OOMKilled"
        started = self.started() or result["startedAt"]
        return Ended(code, reason, self._message(code), started, result["finishedAt"])

    def _message(self, code: int) -> str:
        """The message that the container left at its end."""
        data = b""
        with contextlib.suppress(OSError), open(self.folder / "termination-log", "rb") as file:
            data = file.read(LONGEST_MESSAGE)
        if data or code == 0 or self.spec["messagePolicy"] != "FallbackToLogsOnError":
            return data.decode(errors="replace")
        return self._end_of_log().decode(errors="replace")

    def _end_of_log(self) -> bytes:
        """The last lines of its log, for a container that left no message."""
        text = b""
        with contextlib.suppress(OSError):
            lines = self.log.read_bytes().splitlines()[-2 * LINES_OF_LOG_MESSAGE :]
            for line in lines:
                _, flag, content = line.split(b" ", 2)
                text += content + (b"\n" if flag == b"F" else b"")
        kept = b"".join(text.splitlines(keepends=True)[-LINES_OF_LOG_MESSAGE:])
        return kept[-LONGEST_LOG_MESSAGE:]


class Container:
    """A container of a pod: its attempts, and why it waits between two of them."""

    def __init__(self, spec: Object, folder: Path, *, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.folder = folder
        self.attempts: list[Attempt] = []
        #: Reason and message in the status while the container waits.
        self.waiting = ("ContainerCreating", "")
        #: The next attempt starts at this time of the monotonic clock, not before.
        self.due = 0.0
        self._changed = changed

    @property
    def latest(self) -> Attempt | None:
        """The latest attempt; None before the first."""
        return self.attempts[-1] if self.attempts else None

    @property
    def is_running(self) -> bool:
        """True while an attempt runs."""
        return self.latest is not None and not self.latest.is_over.is_set()

    @property
    def ended(self) -> Ended | None:
        """How the latest attempt ended; None if it has not."""
        return self.latest.ended if self.latest else None

    @property
    def is_done(self) -> bool:
        """True if the latest attempt ended with exit code 0."""
        return self.ended is not None and self.ended.code == 0

    def adopt(self) -> None:
        """Take over the attempts that an earlier kubelet started."""
        with contextlib.suppress(FileNotFoundError):
            for number in sorted(int(one.name) for one in self.folder.iterdir()):
                folder = self.folder / str(number)
                if not (folder / "spec.json").exists():
                    continue
                attempt = Attempt(folder, number, changed=self._changed)
                if attempt.adopt():
                    if (folder / "exit.json").exists():
                        attempt.is_over.wait(PATIENCE)
                    self.attempts.append(attempt)

    def new_attempt(self, spec_in: Callable[[Path], Object]) -> Attempt:
        """Make the next attempt without starting it. `spec_in`: gives what the shim must know, by its folder."""
        number = self.attempts[-1].number + 1 if self.attempts else 0
        folder = self.folder / str(number)
        shutil.rmtree(folder, ignore_errors=True)  # left by a start that was given up
        folder.mkdir(parents=True)
        (folder / "log").touch()
        whole_files.write_json(folder / "spec.json", spec_in(folder))
        attempt = Attempt(folder, number, changed=self._changed)
        self.attempts.append(attempt)
        return attempt
